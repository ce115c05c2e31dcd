"""Answers that are not ours, connections that break, sessions that change: what is shown and typed stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Locator, expect

from app.models import Role
from tests.browser.conftest import BERGHOF, NORDWIND
from tests.conftest import ALPINE, HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.chromium import Person
from tests.support.factories import PASSWORD, make_member
from tests.support.live import LiveServer, answering
from tests.support.proxy import Mode, Proxy

pytestmark = pytest.mark.browser

AWAY = "We can't reach the server right now"
UNKNOWN = "We don't know whether this was done"
LONG_NAME = "Nordwind Reisen und Segelschule Kiel"
NEW = "neu@kunde.test"


@pytest.fixture
def site(server: LiveServer, app: Flask, proxy: Proxy) -> Iterator[Proxy]:
    """The application, which people reach through the proxy only."""
    with answering(server, app):
        yield proxy


def quiet(person: Person) -> Locator:
    return person.page.locator("#connection")


def asks_now(person: Person) -> None:
    """Let the page ask for news, as when the network comes back, and look on until that has come to something."""
    person.page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(person.page.locator("#imported-clients.htmx-request")).to_have_count(0)


def test_answers_of_others_are_never_shown_and_nothing_is_lost(
    ada: Person, proxy: Proxy, clients: None, app_driver: AppDriver
) -> None:
    for expected in (502, "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_CONTENT_LENGTH_MISMATCH"):
        ada.expects(expected)
    ada.expects_of_console("htmx:error: network error")
    ada.page.reload()
    expect(ada.rows).to_have_count(3)
    ada.choose("Manual Add")
    ada.dialog.get_by_label("Email Address").fill(NEW)
    name = ada.dialog.get_by_label("Company Name")
    name.click()
    typed = ""
    # While nothing of ours comes back, typing is not disturbed; a letter goes where the last one went.
    for mode in (Mode.BAD_GATEWAY, Mode.CAPTIVE_PORTAL, Mode.RESET, Mode.CUT):
        app_driver.invite(f"{mode.name.lower()}@client.test", f"Client {mode.name}")
        with proxy.doing(mode):
            asks_now(ada)
            expect(quiet(ada)).to_contain_text(AWAY)
            for letter in LONG_NAME[len(typed) : len(typed) + 9]:
                ada.page.keyboard.type(letter)
                typed += letter
            asks_now(ada)
            expect(name).to_be_focused()
            expect(name).to_have_value(typed)
            expect(ada.dialog.locator("[data-alert]")).to_have_count(0)
        asks_now(ada)
        expect(quiet(ada)).to_be_hidden()
        expect(ada.page.locator("#imported-clients-table")).to_have_count(1)
        expect(ada.row(f"{mode.name.lower()}@client.test")).to_have_count(1)
    assert typed == LONG_NAME

    # Save and whatever else is pressed: the sentence stands where the eye is, and the same button works afterwards.
    with proxy.doing(Mode.BAD_GATEWAY):
        ada.press("Save")
        expect(ada.dialog.get_by_role("alert")).to_contain_text(UNKNOWN)
        expect(ada.dialog.locator("[data-alert]")).to_be_focused()
    expect(name).to_have_value(LONG_NAME)
    ada.press("Save")
    expect(ada.dialog).to_be_hidden()
    expect(ada.row(NEW)).to_be_visible()
    for mode in (Mode.BAD_GATEWAY, Mode.CAPTIVE_PORTAL):
        with proxy.doing(mode):
            ada.page.get_by_role("link", name="Company Name").first.click()
            expect(ada.page.locator("#page-alert")).to_contain_text("This couldn't be loaded")
            expect(ada.page.locator(".toolbar")).to_be_visible()
    ada.page.get_by_role("link", name="Company Name").first.click()
    expect(ada.page.locator("#page-alert")).to_be_empty()
    expect(ada.rows.first.locator("[data-col=company_name]")).to_have_text("Berghof")
    # A file is fetched in the same way, so the page stays.
    export = ada.page.get_by_role("link", name="Export CSV")
    with proxy.doing(Mode.BAD_GATEWAY):
        export.click()
        expect(ada.page.locator("#page-alert")).to_contain_text("This couldn't be loaded")
    with ada.page.expect_download():
        export.click()
    expect(ada.page.locator("#page-alert")).to_be_empty()
    # The filter that was sent in vain is still in its panel.
    with proxy.doing(Mode.BAD_GATEWAY):
        ada.press("Filter")
        ada.filters.get_by_label("Company Name").fill("nordwind")
        ada.filters.get_by_role("button", name="Done").click()
        expect(ada.page.locator("#page-alert")).to_contain_text("This couldn't be loaded")
    ada.press("Filter")
    expect(ada.filters.get_by_label("Company Name")).to_have_value("nordwind")
    ada.filters.get_by_role("button", name="Done").click()
    expect(ada.chips).to_have_count(1)


def test_when_the_answer_to_a_post_is_lost_nobody_says_that_nothing_was_done(
    ada: Person, proxy: Proxy, clients: None, app_driver: AppDriver
) -> None:
    ada.expects("ERR_EMPTY_RESPONSE")
    ada.expects("ERR_CONNECTION_RESET")
    ada.choose("Manual Add")
    ada.type_client("Neukunde", NEW)
    with proxy.doing(Mode.LOSE, method="POST"):
        ada.press("Save")
        expect(ada.dialog.get_by_role("alert")).to_contain_text(UNKNOWN)
    expect(ada.dialog.get_by_role("alert")).not_to_contain_text("Nothing was changed")
    # It was, and the table shows it by itself.
    expect(ada.row(NEW)).to_have_count(1)
    ada.page.keyboard.press("Escape")
    with proxy.doing(Mode.LOSE, method="POST"):
        ada.button(NORDWIND, "Resend Invite").click()
        expect(ada.page.locator("#page-alert")).to_contain_text(UNKNOWN)
    assert app_driver.client(NORDWIND).generation == 2


@pytest.mark.usefixtures("own_windows")
def test_a_page_that_is_not_answered_asks_less_and_less_often(ada: Person, proxy: Proxy, clients: None) -> None:
    ada.expects(502)
    ada.page.clock.install()
    ada.page.reload()
    expect(ada.rows).to_have_count(3)
    with proxy.doing(Mode.BAD_GATEWAY):
        asks_now(ada)
        expect(quiet(ada)).to_be_visible()
        pauses = []
        for _ in range(6):
            before, seconds = proxy.count("GET", "/table"), 0
            while proxy.count("GET", "/table") == before and seconds < 100:
                ada.page.clock.run_for(2000)
                expect(ada.page.locator("#imported-clients.htmx-request")).to_have_count(0)
                seconds += 2
            pauses.append(seconds)
    # The clock also goes by itself.
    assert all(abs(pause - wanted) <= 2 for pause, wanted in zip(pauses, [4, 8, 16, 32, 60, 60], strict=True)), pauses
    ada.page.clock.run_for(60_000)
    expect(quiet(ada)).to_be_hidden()


def test_who_has_signed_in_again_saves_as_if_nothing_had_happened(ada: Person, app_driver: AppDriver) -> None:
    ada.expects(400)
    ada.expects(401)
    # A picture in the preview of the branding may still be asked for when nobody is signed in.
    ada.expects_of_console("frame-ancestors 'none'")
    ada.choose("Manual Add")
    ada.type_client("Neukunde", NEW)
    app_driver.end_sessions()
    ada.press("Save")
    notice = ada.dialog.locator("[data-alert]")
    expect(notice).to_contain_text("You are signed out.")
    with ada.context.expect_page() as opened:
        notice.get_by_role("link", name="Sign in (opens a new tab)").click()
    tab, ada.page = ada.page, opened.value
    ada.fill_in_sign_in("ada@harbour.test")
    ada.page.close()
    ada.page = tab
    # Once it is answered again, the sentence goes, and whoever pressed the link in it is still in the dialog.
    asks_now(ada)
    expect(notice).to_have_count(0)
    expect(ada.dialog.locator(":focus")).to_have_count(1)
    expect(ada.dialog.get_by_label("Company Name")).to_have_value("Neukunde")
    ada.press("Save")
    expect(ada.dialog).to_be_hidden()
    expect(ada.row(NEW)).to_be_visible()
    # The table's own forms, and a page of settings, too.
    ada.looks_away()
    with ada.in_another_tab():
        ada.context.clear_cookies()
        ada.sign_in("ada@harbour.test")
    ada.button(NEW, "Resend Invite").click()
    ada.looks_again()
    expect(ada.cell(NEW, "status")).to_contain_text("Link expires")
    expect(ada.page.locator("#page-alert")).to_be_empty()
    ada.open(f"/portals/{HARBOUR}/settings/branding")
    ada.page.get_by_label("Subject").fill("Willkommen an Bord")
    with ada.in_another_tab():
        ada.context.clear_cookies()
        ada.sign_in("ada@harbour.test")
    ada.press("Save draft")
    expect(ada.page.get_by_role("status").filter(has_text="Draft saved. Only client admins")).to_be_visible()
    expect(ada.page.get_by_label("Subject")).to_have_value("Willkommen an Bord")
    assert app_driver.client(NEW).generation == 2


def test_nothing_is_sent_in_the_name_of_somebody_else_who_has_signed_in_unless_it_is_wanted(
    ada: Person, app: Flask, app_driver: AppDriver
) -> None:
    with app.app_context():
        make_member(HARBOUR, "bert@harbour.test", "Bert Holm", Role.CLIENT_ADMIN)
        make_member(ALPINE, "carla@alpine.test", "Carla Alm", Role.CLIENT_ADMIN)
    for status in (400, 404):
        ada.expects(status)
    ada.choose("Manual Add")
    ada.type_client("Neukunde", NEW)
    # As a tab behind another one is; to the headless shell all are in front.
    ada.looks_away()
    for email in ("carla@alpine.test", "bert@harbour.test"):
        with ada.in_another_tab():
            ada.context.clear_cookies()
            ada.sign_in(email, PASSWORD)
        ada.press("Save")
        notice = ada.dialog.locator("[data-alert]")
        expect(notice).to_contain_text("no access to this portal" if "carla" in email else "now signed in as Bert Holm")
        expect(ada.dialog.get_by_label("Company Name")).to_have_value("Neukunde")
    assert app_driver.clients() == []
    ada.press("Continue as Bert Holm")
    expect(ada.dialog).to_be_hidden()
    expect(ada.row(NEW)).to_be_visible()
    expect(ada.page.locator(".topbar-name")).to_have_text("Bert Holm")
    assert app_driver.client(NEW).invited_by_id == app_driver.user("bert@harbour.test").id


def test_two_presses_are_one_action(ada: Person, proxy: Proxy, clients: None, app_driver: AppDriver) -> None:
    ada.page.reload()
    # Before the answer comes, and after; by mouse and by keyboard.
    proxy.hold()
    resend = ada.button(NORDWIND, "Resend Invite")
    resend.click()
    resend.press("Enter")
    resend.dblclick()
    proxy.release()
    expect(ada.cell(NORDWIND, "status")).to_contain_text("Link expires")
    expect(resend).to_be_focused()
    ada.button(BERGHOF, "Resend Invite").dblclick()
    ada.tick(NORDWIND, BERGHOF)
    ada.selection.get_by_role("button", name="Resend").dblclick()
    expect(ada.dialog).to_be_visible()
    assert proxy.count("POST", "/resend") == 2
    ada.dialog.get_by_role("button", name="Resend 2 invitations").dblclick()
    expect(ada.dialog).to_be_hidden()
    assert proxy.count("POST", "/bulk/resend") == 1
    # A form without htmx.
    ada.open(f"/portals/{HARBOUR}/settings/email")
    test_mail = ada.page.get_by_role("button", name="Send a test email")
    test_mail.evaluate("(button) => { button.click(); button.click(); }")
    expect(ada.page.locator("#connection-test")).to_be_visible()
    assert proxy.count("POST", "/settings/email/test") == 1


def test_where_the_page_of_a_form_cannot_come_the_form_stays(ada: Person, proxy: Proxy) -> None:
    ada.expects(502)
    ada.open(f"/portals/{HARBOUR}/settings/webhooks")
    field = ada.page.get_by_label("URL")
    field.fill("https://b-portal.example/hooks")
    with proxy.doing(Mode.BAD_GATEWAY):
        ada.press("Add endpoint")
        expect(ada.page.get_by_role("alert")).to_contain_text("nothing was sent")
    expect(field).to_have_value("https://b-portal.example/hooks")
