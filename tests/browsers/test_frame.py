"""The tab in a page of a shell: of its own origin, or of another site, in a frame or, where none works, a window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from app.embed.service import allow_origin
from tests.browsers.window import Window
from tests.conftest import HARBOUR
from tests.support import shell
from tests.support.embedding import hosting, other_site
from tests.support.host_shell import PAGE, HostShell
from tests.support.live import LiveServer
from tests.support.webdriver import ELEMENT, WebDriver

OFFER = "return document.querySelector('imported-clients').shadowRoot.querySelector('[data-open-window]')"
HAS_ROWS = "return document.querySelectorAll('tr[data-client-id]').length === 3"


ROWS_IN_PAGE = """
return document.querySelector("imported-clients").shadowRoot?.querySelectorAll("tr[data-client-id]").length === 3"""
# Where the menu has opened: below its button, by how much, and how far their right edges are from each other.
MENU_IN_PAGE = """
const root = document.querySelector("imported-clients").shadowRoot;
root.getElementById("add-client").click();
const placeOf = (what) => root.querySelector(what).getBoundingClientRect();
const [menu, button] = [".menu-list:popover-open", "#add-client"].map(placeOf);
return [menu.top - button.bottom, Math.abs(menu.right - button.right)]"""


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"TRUSTED_PROXIES": "1"}


@pytest.mark.parametrize("htmx", ["2.0.11", "4.0.1"])
def test_the_tab_is_in_a_page_of_the_same_origin(
    driver: WebDriver, app: Flask, site: LiveServer, clients: None, htmx: str
) -> None:
    shell.register(app, HARBOUR)
    with hosting(HostShell(app, htmx=htmx, aud=site.url)) as server:
        window = Window(driver, server.url)
        window.is_as_wide_as(1280)
        window.open(PAGE)
        window.sees(ROWS_IN_PAGE)
        below, aside = driver.script(MENU_IN_PAGE)
        assert 0 <= below <= 16, below
        assert aside <= 2, aside


@pytest.fixture
def shell_page(driver: WebDriver, app: Flask, site: LiveServer, clients: None) -> Iterator[Window]:
    """Somebody at a page of a shell on another site."""
    shell.register(app, HARBOUR)
    with hosting(HostShell(app, ours=site.url, aud=site.url)) as server:
        with app.app_context():
            allow_origin(HARBOUR, other_site(server))
        window = Window(driver, other_site(server))
        window.open(PAGE)
        yield window
        assert driver.complaints() == []


def test_the_tab_is_in_the_page_or_a_window_is_offered_that_has_it(shell_page: Window, site: LiveServer) -> None:
    driver = shell_page.driver
    if driver.name == "Firefox":
        frame = shell_page.sees("return document.querySelector('imported-clients > iframe')")
        driver.do("SwitchToFrame", id=frame)
        shell_page.sees(HAS_ROWS)
        return
    # WebKitGTK keeps nothing in a frame of another site.
    button = shell_page.sees(OFFER)
    shell_page.sees("return document.querySelector('imported-clients').shadowRoot.textContent.includes('session')")
    driver.do("ElementClick", id=button[ELEMENT])
    (window,) = (one for one in driver.do("GetWindowHandles") if one != driver.do("GetWindowHandle"))
    driver.do("SwitchToWindow", handle=window)
    shell_page.sees(HAS_ROWS)
    assert driver.script("return location.href") == f"{site.url}/portals/{HARBOUR}/settings/accounts/imported-clients"
