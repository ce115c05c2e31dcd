"""Two people do things to the same client at once, in real browsers, and each is told what became of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from app.models import EventKind
from tests.browser.conftest import BERGHOF, CORDOBA, NORDWIND, join
from tests.browser.table_parts import told
from tests.support.app_driver import AppDriver
from tests.support.chromium import Person
from tests.support.factories import OTHER_PASSWORD
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser


def test_while_one_asks_whether_to_remove_the_other_has_removed_already(
    clients: None, ada: Person, bert: Person
) -> None:
    ada.button(BERGHOF, "Remove").click()
    expect(ada.dialog).to_be_visible()
    bert.button(BERGHOF, "Remove").click()
    bert.dialog.get_by_role("button", name="Remove").click()
    expect(bert.row(BERGHOF)).to_have_count(0)
    expect(ada.row(BERGHOF)).to_have_count(0)
    ada.expects(404)
    ada.dialog.get_by_role("button", name="Remove").click()
    expect(ada.dialog.get_by_role("alert")).to_contain_text("This no longer exists")
    expect(ada.dialog.locator("[data-alert]")).to_be_focused()
    ada.page.keyboard.press("Escape")
    expect(ada.dialog).to_be_hidden()
    expect(ada.place).to_have_count(1)
    for person in (ada, bert):
        expect(person.addresses).to_have_text([CORDOBA, NORDWIND])


def test_one_resends_while_the_other_removes(
    clients: None, ada: Person, bert: Person, app_driver: AppDriver, mail_server: MailServer
) -> None:
    client_id = app_driver.client(BERGHOF).id
    ada.button(BERGHOF, "Remove").click()
    expect(ada.dialog).to_be_visible()
    bert.button(BERGHOF, "Resend Invite").click()
    mail_server.wait_for(BERGHOF, count=2)
    bert.looks_away()
    ada.dialog.get_by_role("button", name="Remove").click()
    expect(ada.row(BERGHOF)).to_have_count(0)

    bert.expects(404)
    bert.button(BERGHOF, "Resend Invite").click()
    expect(bert.page.get_by_role("alert")).to_contain_text("This no longer exists; someone may have removed it.")
    expect(bert.row(BERGHOF)).to_have_count(0)
    expect(bert.page.locator("[data-alert]")).to_be_focused()
    assert app_driver.kinds(client_id)[-1] is EventKind.REMOVED
    assert len(mail_server.to(BERGHOF)) == 2


def test_what_is_gone_from_a_selection_is_told_afterwards(clients: None, ada: Person, bert: Person) -> None:
    ada.tick(NORDWIND, CORDOBA)
    ada.selection.get_by_role("button", name="Remove").click()
    expect(ada.dialog).to_have_accessible_name("Remove 2 clients?")
    bert.button(CORDOBA, "Remove").click()
    bert.dialog.get_by_role("button", name="Remove").click()
    expect(bert.row(CORDOBA)).to_have_count(0)
    ada.dialog.get_by_role("button", name="Remove 2").click()
    expect(told(ada)).to_have_text("1 client removed. 1 no longer exists.")
    for person in (ada, bert):
        expect(person.addresses).to_have_text([BERGHOF])
    expect(ada.place).to_have_count(1)


@pytest.mark.parametrize("action", ["Resend Invite", "Remove"])
def test_a_row_of_a_client_that_has_joined_meanwhile_says_so(
    clients: None, ada: Person, app_driver: AppDriver, mail_server: MailServer, action: str
) -> None:
    ada.looks_away()
    join(app_driver, NORDWIND)
    ada.expects(409)
    ada.button(NORDWIND, action).click()
    expect(ada.page.get_by_role("alert")).to_contain_text("Nordwind has joined")
    expect(ada.page.locator("[data-alert]")).to_be_focused()
    expect(ada.cell(NORDWIND, "status")).to_have_text(re.compile("^Joined"))
    expect(ada.row(NORDWIND).get_by_role("button")).to_have_count(0)
    assert len(mail_server.to(NORDWIND)) == 1


def test_who_fills_in_the_form_while_a_newer_invitation_is_sent_is_told_and_the_newer_one_works(
    clients: None, ada: Person, nora: Person, mail_server: MailServer
) -> None:
    nora.open(mail_server.to(NORDWIND)[0].link)
    fill_in_registration(nora)
    ada.button(NORDWIND, "Resend Invite").click()
    newer = mail_server.wait_for(NORDWIND, count=2).link
    nora.expects(410)
    nora.press("Register")
    expect(nora.heading).to_have_text("This invitation was replaced by a newer one")
    expect(nora.page.get_by_text("Look for the latest email in your inbox")).to_be_visible()

    nora.open(newer)
    fill_in_registration(nora)
    nora.press("Register")
    nora.open(mail_server.wait_for(NORDWIND, count=3).link)
    nora.press("Verify my email address")
    expect(nora.heading).to_have_text("You've joined Harbour Tours")
    expect(ada.cell(NORDWIND, "status")).to_have_text(re.compile("^Joined"))


def fill_in_registration(person: Person) -> None:
    person.page.get_by_label("Your name").fill("Nora Wind")
    person.page.get_by_label("Password", exact=True).fill(OTHER_PASSWORD)
