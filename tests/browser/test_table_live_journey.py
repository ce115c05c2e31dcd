"""Rows show by themselves what has changed, in a real browser, and nobody loses the place."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Request, expect

from tests.browser.conftest import BERGHOF, CORDOBA, NORDWIND, join
from tests.browser.table_parts import number
from tests.support.app_driver import AppDriver
from tests.support.chromium import SECONDS, Person
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser


def test_a_mail_that_was_sent_is_seen_without_a_reload_and_nobody_loses_the_place(
    ada: Person, app_driver: AppDriver, mail_server: MailServer
) -> None:
    for open_meanwhile in ("nothing", "menu", "filters", "dialog"):
        other, ticked = (f"{name}@{open_meanwhile}.test" for name in ("other", "ticked"))
        with mail_server.answering_nobody():
            for email in (other, ticked):
                app_driver.invite(email)
            ada.page.reload()
            ada.page.evaluate("window.isTheSamePage = true")
            ada.tick(ticked)
            place = go_to_work(ada, open_meanwhile, ticked)
            expect(place, open_meanwhile).to_be_focused()
            assert ada.row(other).get_attribute("data-delivery") in {"queued", "sending"}, open_meanwhile
        for email in (other, ticked):
            expect(ada.row(email)).to_have_attribute("data-delivery", "sent")
            expect(ada.cell(email, "status")).to_contain_text("Link expires in 7 days")
        expect(place, open_meanwhile).to_be_focused()
        expect(place, open_meanwhile).to_be_visible()
        if open_meanwhile in {"filters", "dialog"}:
            expect(place).to_have_value("half a wo")
        expect(ada.row(ticked).locator("[type=checkbox]")).to_be_checked()
        assert ada.page.evaluate("window.isTheSamePage"), open_meanwhile


def test_who_looks_at_nothing_special_is_not_taken_anywhere(clients: None, ada: Person, app_driver: AppDriver) -> None:
    """The focus that was given back once is not given back again at every refresh."""
    ada.button(NORDWIND, "Remove").click()
    expect(ada.dialog).to_be_visible()
    ada.page.keyboard.press("Escape")
    expect(ada.button(NORDWIND, "Remove")).to_be_focused()
    ada.heading.click()
    expect(ada.place).to_have_count(0)
    join(app_driver, BERGHOF)
    expect(ada.row(BERGHOF)).to_contain_text("Joined")
    expect(ada.place).to_have_count(0)


def test_a_client_that_joins_turns_to_joined_and_the_focus_stays_in_its_row(
    clients: None, ada: Person, app_driver: AppDriver
) -> None:
    ada.button(BERGHOF, "Resend Invite").focus()
    join(app_driver, BERGHOF)
    expect(ada.cell(BERGHOF, "status")).to_have_text(re.compile("^Joined"), timeout=10 * SECONDS)
    expect(ada.row(BERGHOF).get_by_role("button")).to_have_count(0)
    expect(ada.cell(BERGHOF, "company_name").get_by_role("link")).to_be_focused()
    expect(number(ada, "joined").locator(".number")).to_have_text("1")


@pytest.mark.usefixtures("own_windows")
def test_news_are_asked_for_only_while_there_is_something_to_wait_for_and_somebody_who_looks(
    clients: None, ada: Person, app_driver: AppDriver
) -> None:
    for email in (NORDWIND, CORDOBA):
        join(app_driver, email)
    ada.page.clock.install()
    ada.page.reload()
    asked: list[Request] = []
    ada.page.on("request", lambda request: asked.append(request) if "/table?" in request.url else None)

    # Events come in their order: what had been asked for in the dark would be in the list by then.
    ada.looks_away()
    ada.page.clock.run_for(20 * SECONDS)
    ada.looks_again()
    with ada.page.expect_response(re.compile("/table")) as answer:
        ada.page.clock.run_for(2 * SECONDS)
    assert answer.value.status == 204
    assert len(asked) == 1

    join(app_driver, BERGHOF)
    ada.page.clock.run_for(2 * SECONDS)
    ada.page.clock.run_for(1 * SECONDS)
    expect(ada.row(BERGHOF)).to_contain_text("Joined")
    expect(ada.page.locator("[data-live]")).to_have_count(0)
    asked.clear()
    ada.page.clock.run_for(20 * SECONDS)
    with ada.page.expect_response(re.compile("/table")):
        ada.page.evaluate("document.body.dispatchEvent(new Event('clients-changed'))")
    assert len(asked) == 1


@pytest.mark.usefixtures("own_windows")
def test_a_page_that_nobody_has_touched_for_ten_minutes_asks_more_slowly(clients: None, ada: Person) -> None:
    ada.page.clock.install()
    ada.page.reload()
    asked: list[Request] = []
    ada.page.on("request", lambda request: asked.append(request) if "/table?" in request.url else None)
    with ada.page.expect_response(re.compile("/table")):
        ada.page.clock.fast_forward(10 * 60 * SECONDS)
    expect(ada.page.locator(".htmx-request")).to_have_count(0)
    asked.clear()
    ada.page.clock.run_for(29 * SECONDS)
    assert asked == []
    with ada.page.expect_response(re.compile("/table")):
        ada.page.clock.run_for(1 * SECONDS)
    expect(ada.page.locator(".htmx-request")).to_have_count(0)
    with ada.page.expect_response(re.compile("/table")):
        ada.page.mouse.move(100, 100)
    expect(ada.page.locator(".htmx-request")).to_have_count(0)
    with ada.page.expect_response(re.compile("/table")):
        ada.page.clock.run_for(2 * SECONDS)


@pytest.mark.usefixtures("own_windows")
def test_nothing_looks_as_if_it_were_pressed_while_news_are_asked_for(clients: None, ada: Person) -> None:
    ada.tick(NORDWIND)
    ada.page.clock.install()
    with ada.page.expect_request("**/table?*"):
        ada.page.route("**/table?*", lambda _: None)
        ada.page.clock.run_for(2 * SECONDS)
    expect(ada.page.locator("#imported-clients.htmx-request")).to_have_count(1)
    for button in [*ada.selection.get_by_role("button").all(), ada.button(NORDWIND, "Remove")]:
        assert button.evaluate("button => getComputedStyle(button).opacity") == "1"


def go_to_work(person: Person, what: str, email: str) -> Locator:
    """Open something, or go to a row, and begin there; the place where the focus is then."""
    if what == "nothing":
        person.button(email, "Resend Invite").focus()
        return person.button(email, "Resend Invite")
    if what == "menu":
        person.press("Add Client")
        person.page.keyboard.press("Tab")
        return person.menu.get_by_role("link", name="Manual Add")
    if what == "filters":
        person.press("Filter")
        place = person.filters.get_by_label("Company Name")
    else:
        person.choose("Manual Add")
        place = person.dialog.get_by_label("Company Name")
    place.press_sequentially("half a wo")
    return place
