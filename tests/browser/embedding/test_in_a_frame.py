"""The tab in a frame: on another site, or where the page's own htmx is too old."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Locator, expect

from app.embed.service import allow_origin
from tests.browser.embedding.conftest import Show
from tests.browser.embedding.everything import do_everything
from tests.conftest import HARBOUR
from tests.support.browser import ic
from tests.support.embedding import Visitor
from tests.support.host_shell import PAGE
from tests.support.live import LiveServer
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser


def height(place: Locator) -> float:
    found = place.bounding_box()
    assert found
    return found["height"]


def test_everything_is_done_on_another_site(
    show: Show, site: LiveServer, crowd: list[str], mail_server: MailServer
) -> None:
    host, person = show("framed")
    host.attributes = 'theme="dark"'
    person.open(f"{PAGE}?view=%3Fcompany_name%3DCompany")
    expect(person.framed.place.get_by_role("link", name="Remove filter")).to_have_count(1)
    person.framed.place.get_by_role("link", name="Clear", exact=True).click()
    do_everything(person, person.framed, mail_server)
    # Back from the list of imports.
    assert person.told("navigate")[-2:] == ["?sort=company_name", ""]
    assert person.told("ready") == [None]
    # As high as what is in it.
    body = person.framed.place.locator("body")
    person.waits_until(lambda: 0 <= height(person.page.locator("iframe")) - height(body) <= 1)
    # In the page's colours, as far as they are some; it may change them at any time.
    person.sets_colours()
    primary = person.framed.place.locator("#add-client")
    expect(primary).to_have_css("background-color", "rgb(255, 136, 0)")
    expect(primary).to_have_css("color", "color(xyz-d65 0 0 0)")
    expect(primary).to_have_css("border-radius", "8px")
    # Nobody else is listened to, on either side.
    person.page.frame_locator("iframe").locator("html").evaluate(
        """() => postMessage({ to: "imported-clients", type: "theme", tokens: { accent: "#00ff00" } }, "*")"""
    )
    tall = height(person.page.locator("iframe"))
    person.page.evaluate("""postMessage({ to: "imported-clients-shell", type: "height", height: 9000 }, "*")""")
    person.waits_a_moment()
    expect(primary).to_have_css("background-color", "rgb(255, 136, 0)")
    assert height(person.page.locator("iframe")) == tall
    expect(body).to_have_css("color-scheme", "dark")
    # A dialog opens where somebody looks: the page need not be scrolled to it.
    person.framed.rows.last.scroll_into_view_if_needed()
    scrolled = person.page.evaluate("scrollY")
    person.framed.rows.last.get_by_role("button", name="Remove", exact=True).click()
    expect(person.framed.dialog.get_by_role("link", name="Cancel")).to_be_focused()
    expect(person.framed.dialog).to_be_in_viewport(ratio=1)
    assert person.page.evaluate("scrollY") == scrolled
    # The session's cookie is for this site's frames alone.
    (cookie,) = person.context.cookies(site.url)
    assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("None", True, True)
    assert cookie["partitionKey"] == "http://localhost"


@pytest.mark.usefixtures("own_windows")
def test_a_page_that_is_not_registered_cannot_frame_us_and_says_so(show: Show) -> None:
    _host, person = show("framed", is_registered=False)
    person.expects_of_console("frame-ancestors")
    person.expects_of_console("Failed to execute 'postMessage'")
    person.page.clock.install()
    with person.page.expect_response("**/embed/frame?*") as answer:
        person.open(PAGE)
    assert "frame-ancestors 'none'" in answer.value.headers["content-security-policy"]
    person.page.clock.fast_forward(10_000)
    expect(person.element.get_by_role("alert")).to_contain_text("isn't on the list of allowed sites")
    assert person.told("ready") == []


def test_a_page_with_an_older_htmx_gets_the_frame(show: Show, app: Flask, clients: None) -> None:
    _host, person = show(htmx="1.9.12")
    with app.app_context():
        allow_origin(HARBOUR, person.url)
    person.expects_of_console("this page has htmx 1.9.12")
    person.open(PAGE)
    expect(person.framed.rows).to_have_count(3)


@pytest.mark.usefixtures("own_windows")
def test_with_third_party_cookies_blocked_the_frame_has_its_session(show: Show, clients: None) -> None:
    _host, person = show("framed")
    block_third_party_cookies(person)
    person.open(PAGE)
    expect(person.framed.rows).to_have_count(3)


@pytest.mark.parametrize("has_token", [True, False])
@pytest.mark.usefixtures("own_windows")
def test_where_the_browser_keeps_no_session_in_a_frame_a_window_is_offered(
    show: Show, app: Flask, site: LiveServer, clients: None, has_token: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "wsgi_app", without_partitions(app.wsgi_app))
    host, person = show("framed")
    person.expects(401)
    block_third_party_cookies(person)
    person.open(f"{PAGE}?view=%3Fstatus%3Djoined")
    offer = person.element.get_by_role("button", name="Open in a new window")
    expect(offer).to_be_visible(timeout=5000)
    expect(person.element.get_by_role("alert")).to_contain_text("doesn't keep a session")
    expect(person.page.locator("iframe")).to_have_count(0)
    assert person.told("session-ended") == []

    host.has_tokens = has_token
    asked: list[str] = []
    person.context.on("request", lambda request: asked.append(request.url))
    with person.page.expect_popup() as popup:
        offer.click()
    if has_token:
        expect(popup.value).to_have_url(f"{site.url}{ic(HARBOUR)}?status=joined")
        expect(popup.value.get_by_role("button", name="Add Client")).to_be_visible()
        assert f"{site.url}/handover" in asked
        assert [address for address in asked if "token=" in address] == []
        # Neither page can reach into the other.
        assert popup.value.evaluate("window.opener") is None
    else:
        person.expects(403)
        expect(person.element.get_by_role("alert")).to_contain_text("Your session has ended")
        person.waits_until(lambda: popup.value.is_closed())
        assert person.told("session-ended") == [None]


def test_without_an_address_for_tokens_the_window_is_a_link(show: Show, site: LiveServer) -> None:
    _host, person = show("framed")
    person.expects(401)
    person.open(PAGE)
    expect(person.framed.place.get_by_text("No clients yet")).to_be_visible()
    person.context.clear_cookies()
    person.element.evaluate("(element) => { element.removeAttribute('handover'); element.reload(); }")
    link = person.element.get_by_role("link", name="Open in a new window")
    expect(link).to_have_attribute("href", f"{site.url}{ic(HARBOUR)}")
    expect(link).to_have_attribute("target", "_blank")


def block_third_party_cookies(person: Visitor) -> None:
    network = person.context.new_cdp_session(person.page)
    network.send("Network.enable")
    network.send("Network.setCookieControls", {"enableThirdPartyCookieRestriction": True})


def without_partitions(app: Any) -> Any:
    """The application as browsers read it that know no partitioned cookies."""

    def answer(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [(name, text.replace("; Partitioned", "")) for name, text in headers], *more)

        return app(environ, start)

    return answer
