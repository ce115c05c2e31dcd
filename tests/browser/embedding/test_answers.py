"""A proxy that answers in our place, while somebody is at work inside a page of the shell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from playwright.sync_api import expect

from tests.browser.embedding.conftest import Show
from tests.support.embedding import Visitor, Way
from tests.support.host_shell import PAGE, HostShell
from tests.support.live import LiveServer, answering
from tests.support.proxy import Mode, Proxy

pytestmark = pytest.mark.browser

NAME = "Nordwind Reisen und Segelschule Kiel"


@pytest.fixture
def environment(environment: dict[str, str], proxy: Proxy) -> dict[str, str]:
    return environment | {"PUBLIC_BASE_URL": proxy.url}


@pytest.fixture
def site(server: LiveServer, app: Flask, proxy: Proxy) -> Iterator[Proxy]:
    with answering(server, app):
        yield proxy


@contextmanager
def away(host: HostShell, proxy: Proxy) -> Iterator[None]:
    """For a while the proxy before us answers: the frame's, or the page's."""
    host.is_away = True
    with proxy.doing(Mode.BAD_GATEWAY):
        yield
    host.is_away = False


def asks_now(person: Visitor) -> None:
    for frame in person.page.frames:
        frame.evaluate("window.dispatchEvent(new Event('online'))")


@pytest.mark.parametrize("way, htmx", [("inline", "2.0.11"), ("inline", "4.0.1"), ("framed", None)])
def test_nothing_of_it_is_shown_and_nothing_typed_is_lost(
    way: Way, htmx: str | None, show: Show, proxy: Proxy, clients: None
) -> None:
    host, person = show(way, htmx=htmx)
    person.expects(502)
    person.expects_of_console("Response Status Error Code 502")
    person.open(PAGE)
    inside = person.inside(way)
    expect(inside.rows).to_have_count(3)
    inside.choose("Manual Add")
    name = inside.dialog.get_by_label("Company Name")
    name.click()
    connection, alert = inside.place.locator("#connection"), inside.dialog.locator("[data-alert]")
    with away(host, proxy):
        asks_now(person)
        expect(connection).to_contain_text("We can't reach the server right now")
        person.page.keyboard.type(NAME[:18])
        asks_now(person)
        person.page.keyboard.type(NAME[18:])
        expect(name).to_be_focused()
        expect(name).to_have_value(NAME)
        expect(alert).to_have_count(0)
        inside.dialog.get_by_label("Email Address").fill("neu@kunde.test")
        inside.press("Save")
        expect(alert).to_contain_text("We don't know whether this was done")
        expect(alert).to_be_focused()
    asks_now(person)
    expect(connection).to_be_hidden()
    expect(inside.rows).to_have_count(3)
    inside.press("Save")
    expect(inside.dialog).to_be_hidden()
    expect(inside.row(NAME)).to_be_visible()
