"""Sessions that end, or are exchanged, while somebody is at work inside a page of the shell."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NORDWIND
from tests.browser.embedding.conftest import Show
from tests.browser.embedding.everything import BAD_FILE
from tests.support.app_driver import AppDriver
from tests.support.embedding import Way
from tests.support.host_shell import PAGE

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("way", ["inline", "framed"])
def test_one_that_has_ended_is_renewed_as_long_as_the_shell_has_a_token(
    way: Way, show: Show, app_driver: AppDriver, clients: None
) -> None:
    host, person = show(way, htmx="4.0.1")
    person.expects(401)
    person.open(PAGE)
    inside = person.inside(way)
    expect(inside.rows).to_have_count(3)
    if way == "inline":
        # A file that is asked for by a form is no exception.
        person.expects(422)
        inside.choose("Bulk Invite")
        inside.upload(BAD_FILE)
        app_driver.end_sessions()
        inside.dialog.get_by_role("button", name="Download error report").click()
        person.waits_until(lambda: person.downloads == ["import-errors.csv"])
        inside.dialog.get_by_role("link", name="Cancel").click()
    resend = inside.row("Nordwind").get_by_role("button", name="Resend Invite")
    if way == "inline":
        # With its cookie the page has lost its CSRF token, too.
        person.context.clear_cookies()
        resend.click()
    else:
        app_driver.end_sessions()
        resend.click()
        # The frame begins anew, and nothing is done twice.
        person.waits_until(lambda: len(person.told("ready")) == 2)
        resend.click()
    person.waits_until(lambda: app_driver.client(NORDWIND).generation == 2)
    assert person.told("session-ended") == []

    host.has_tokens = False
    person.expects(403)
    app_driver.end_sessions()
    inside.row("Nordwind").get_by_role("button", name="Remove", exact=True).click()
    expect(person.element.get_by_role("alert").filter(has_text="Your session has ended")).to_have_count(1)
    person.waits_until(lambda: person.told("session-ended"))
    assert person.page.url == f"{person.url}{PAGE}"


@pytest.mark.parametrize("way, htmx", [("inline", "2.0.11"), ("inline", "4.0.1"), ("framed", None)])
def test_what_is_pressed_with_the_token_of_an_older_one_is_done(
    way: Way, htmx: str | None, show: Show, app_driver: AppDriver, clients: None
) -> None:
    _host, person = show(way, htmx=htmx)
    person.expects(400)
    person.open(PAGE)
    inside = person.inside(way)
    expect(inside.rows).to_have_count(3)
    # Another tab has got the browser another session.
    person.looks_away()
    person.context.clear_cookies()
    with person.in_another_tab():
        person.open(PAGE)
        expect(person.inside(way).rows).to_have_count(3)
    inside.row("Nordwind").get_by_role("button", name="Resend Invite").click()
    person.waits_until(lambda: app_driver.client(NORDWIND).generation == 2)
    expect(inside.place.locator("#page-alert")).to_be_empty()
