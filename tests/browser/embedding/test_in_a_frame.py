"""The tab in a frame: on another site, or where the page's own htmx is too old."""

from __future__ import annotations

import pytest
from flask import Flask
from playwright.sync_api import Locator, expect

from app.embed.service import allow_origin
from tests.browser.embedding.conftest import Show
from tests.browser.embedding.everything import do_everything
from tests.conftest import HARBOUR
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
    assert person.told("navigate")[-1] == "?sort=company_name"
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


def test_a_page_that_is_not_registered_cannot_frame_us_and_says_so(show: Show) -> None:
    _host, person = show("framed", is_registered=False)
    person.expects_of_console("frame-ancestors")
    person.expects_of_console("Failed to execute 'postMessage'")
    person.page.clock.install()
    with person.page.expect_response("**/embed/frame?*") as answer:
        person.open(PAGE)
    assert "frame-ancestors 'none'" in answer.value.headers["content-security-policy"]
    person.page.clock.fast_forward(10_000)
    expect(person.element.get_by_role("alert")).to_contain_text("is not among the shell origins")
    assert person.told("ready") == []


def test_a_page_with_an_older_htmx_gets_the_frame(show: Show, app: Flask, clients: None) -> None:
    _host, person = show(htmx="1.9.12")
    with app.app_context():
        allow_origin(HARBOUR, person.url)
    person.expects_of_console("this page has htmx 1.9.12")
    person.open(PAGE)
    expect(person.framed.rows).to_have_count(3)
