"""What is done in the table, in a real browser: to several rows, from the history, by two at once, without a mouse."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from app.models import EventKind
from app.registration.service import decline
from tests.browser.conftest import BERGHOF, CORDOBA, CROWD, NORDWIND, join
from tests.support.app_driver import AppDriver
from tests.support.chromium import Person
from tests.support.factories import OTHER_PASSWORD
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

CORRECTED = "info@nordwind-reisen.test"


# Several at once


def test_two_ticked_rows_are_resent_at_once(clients: None, ada: Person, mail_server: MailServer) -> None:
    expect(ada.selection).to_be_hidden()
    ada.tick(NORDWIND, CORDOBA)
    expect(ada.selection).to_be_visible()
    expect(ada.selection).to_contain_text("2 selected")
    expect(ada.page.get_by_role("status").filter(has_text="2 selected")).to_have_count(1)
    expect(page_box(ada)).to_have_js_property("indeterminate", True)

    ada.selection.get_by_role("button", name="Resend").click()
    expect(ada.dialog).to_have_accessible_name("Resend 2 invitations?")
    expect(ada.dialog.get_by_role("listitem")).to_have_text(["Córdoba", "Nordwind"])
    expect(ada.dialog.get_by_role("button", name="Resend 2")).to_be_focused()
    ada.page.keyboard.press("Escape")
    expect(ada.dialog).to_be_hidden()
    expect(ada.selection.get_by_role("button", name="Resend")).to_be_focused()
    expect(ada.selection).to_contain_text("2 selected")

    ada.selection.get_by_role("button", name="Resend").click()
    ada.dialog.get_by_role("button", name="Resend 2").click()
    expect(ada.dialog).to_be_hidden()
    expect(told(ada)).to_have_text("2 invitations resent.")
    expect(ada.selection).to_be_hidden()
    expect(page_box(ada)).to_be_focused()
    for email, count in [(NORDWIND, 2), (CORDOBA, 2), (BERGHOF, 1)]:
        mail_server.wait_for(email, count)
        assert len(mail_server.to(email)) == count


def test_who_has_declined_is_invited_again_only_when_that_is_meant(
    clients: None, ada: Person, app_driver: AppDriver, mail_server: MailServer
) -> None:
    app_driver.do(decline, mail_server.wait_for(NORDWIND).link.rpartition("/")[2])
    ada.open(ada.page.url)
    expect(ada.cell(NORDWIND, "status")).to_contain_text("Declined by recipient")
    ada.button(NORDWIND, "Resend Invite").click()
    expect(ada.dialog).to_have_accessible_name("Invite again all the same?")
    expect(ada.dialog.get_by_role("link", name="Cancel")).to_be_focused()
    ada.page.keyboard.press("Enter")
    expect(ada.dialog).to_be_hidden()
    expect(ada.button(NORDWIND, "Resend Invite")).to_be_focused()
    assert len(mail_server.to(NORDWIND)) == 1

    ada.button(NORDWIND, "Resend Invite").click()
    ada.dialog.get_by_role("button", name="Resend").click()
    expect(ada.dialog).to_be_hidden()
    expect(ada.cell(NORDWIND, "status")).not_to_contain_text("Declined")
    mail_server.wait_for(NORDWIND, count=2)
    # Who has not declined is not asked about.
    ada.button(CORDOBA, "Resend Invite").click()
    mail_server.wait_for(CORDOBA, count=2)
    expect(ada.dialog).to_be_hidden()


def test_all_that_match_a_filter_are_resent_and_who_has_joined_is_left_out(
    crowd: list[str], clients: None, ada: Person, app_driver: AppDriver, mail_server: MailServer
) -> None:
    join(app_driver, crowd[0])
    ada.open(f"{ada.page.url}?company_name=company")
    page_box(ada).check()
    expect(ada.selection).to_contain_text("25 selected")
    ada.selection.get_by_label(f"Select all {CROWD} that match").check()
    expect(ada.selection).to_contain_text(f"{CROWD} selected")
    expect(ada.row(crowd[-1]).get_by_role("checkbox")).to_be_disabled()

    ada.selection.get_by_role("button", name="Resend").click()
    expect(ada.dialog).to_have_accessible_name(f"Resend {CROWD - 1} invitations?")
    expect(ada.dialog).to_contain_text("and 24 more")
    expect(ada.dialog).to_contain_text("1 of the selected has joined and is left out.")
    # Who comes to match the filter now was not asked about.
    app_driver.invite("late@crowd.test", "Company Late")
    ada.dialog.get_by_role("button", name=f"Resend {CROWD - 1}").click()
    expect(told(ada)).to_have_text(f"{CROWD - 1} invitations resent.")
    expect(ada.selection).to_be_hidden()
    expect(page_box(ada)).to_be_focused()
    for email in crowd[1:]:
        mail_server.wait_for(email)
    mail_server.wait_for("late@crowd.test")
    assert [len(mail_server.to(email)) for email in (crowd[0], NORDWIND, "late@crowd.test")] == [0, 1, 1]


def test_ticked_rows_are_removed_after_a_question(clients: None, ada: Person, app_driver: AppDriver) -> None:
    join(app_driver, BERGHOF)
    expect(ada.row(BERGHOF)).to_contain_text("Joined")
    page_box(ada).check()
    expect(ada.selection).to_contain_text("3 selected")
    ada.selection.get_by_role("button", name="Remove").click()
    expect(ada.dialog).to_have_accessible_name("Remove 2 clients?")
    expect(ada.dialog).to_contain_text("1 of the selected has joined and is left out.")
    expect(ada.dialog.get_by_text("Keep", exact=True)).to_be_focused()
    ada.page.keyboard.press("Enter")
    expect(ada.dialog).to_be_hidden()
    expect(ada.rows).to_have_count(3)
    expect(ada.selection.get_by_role("button", name="Remove")).to_be_focused()

    ada.page.keyboard.press("Enter")
    ada.dialog.get_by_role("button", name="Remove 2").click()
    expect(told(ada)).to_have_text("2 clients removed.")
    expect(ada.addresses).to_have_text([BERGHOF])
    expect(ada.selection).to_be_hidden()
    expect(page_box(ada)).to_be_focused()


def test_what_is_ticked_stays_ticked_while_the_table_refreshes_itself(
    clients: None, ada: Person, app_driver: AppDriver
) -> None:
    ada.tick(NORDWIND, CORDOBA)
    join(app_driver, BERGHOF)
    expect(ada.row(BERGHOF)).to_contain_text("Joined")
    expect(ada.selection).to_contain_text("2 selected")
    app_driver.remove(app_driver.client(CORDOBA).id)
    expect(ada.row(CORDOBA)).to_have_count(0)
    expect(ada.selection).to_contain_text("1 selected")
    ada.selection.get_by_role("button", name="Clear").click()
    expect(ada.selection).to_be_hidden()
    expect(page_box(ada)).to_be_focused()


# The history


def test_the_history_tells_what_happened_and_shows_the_mail_without_its_link(
    clients: None, ada: Person, mail_server: MailServer
) -> None:
    ada.button(NORDWIND, "Resend Invite").click()
    links = [mail_server.wait_for(NORDWIND, count=2).link, mail_server.to(NORDWIND)[0].link]
    ada.open_history(NORDWIND)
    expect(ada.panel).to_have_accessible_name("Nordwind")
    expect(ada.panel.get_by_role("button", name="Close")).to_be_focused()
    events = ada.panel.locator(".events strong")
    expect(events).to_have_text(
        [
            "E-mail handed to the mail server",
            "E-mail written, waiting to be sent",
            "Invited again; the older link stopped working",
            "E-mail handed to the mail server",
            "E-mail written, waiting to be sent",
            "Invited",
        ]
    )
    expect(ada.panel.locator(".events li").nth(2)).to_contain_text("Ada Berg")

    ada.panel.get_by_role("link", name="Show the mail of invitation 2").click()
    mail = ada.panel.locator(".mail")
    expect(mail).to_contain_text("Nordwind")
    for link in links:
        assert link.rpartition("/")[2] not in ada.page.content()
    ada.page.keyboard.press("Escape")
    expect(ada.panel).to_be_hidden()
    expect(ada.cell(NORDWIND, "company_name").get_by_role("link")).to_be_focused()


def test_an_open_history_is_up_to_date_and_keeps_the_focus(clients: None, ada: Person, app_driver: AppDriver) -> None:
    ada.open_history(NORDWIND)
    show = ada.panel.get_by_role("link", name="Show the mail")
    show.press("Enter")
    expect(ada.panel.locator(".mail")).to_be_visible()
    join(app_driver, NORDWIND)
    expect(ada.panel.locator(".panel-status")).to_contain_text("Joined")
    expect(ada.panel.locator(".events strong").first).to_have_text("Joined")
    expect(ada.panel.get_by_role("button", name="Correct")).to_have_count(0)
    expect(show).to_be_focused()


def test_a_wrong_address_is_corrected_and_only_the_new_link_works(
    clients: None, ada: Person, nora: Person, mail_server: MailServer
) -> None:
    old = mail_server.to(NORDWIND)[0].link
    correct(ada, NORDWIND)
    expect(question(ada).get_by_label("Company Name")).to_be_focused()
    expect(question(ada).get_by_label("Company Name")).to_have_value("Nordwind")
    question(ada).get_by_label("Email Address").fill(CORRECTED)
    question(ada).get_by_role("button", name="Save and resend").click()
    expect(question(ada)).to_be_hidden()
    expect(ada.panel).to_contain_text(CORRECTED)
    expect(ada.panel.get_by_role("button", name="Correct")).to_be_focused()
    expect(ada.panel.locator(".events")).to_contain_text("Corrected and invited again; the older link stopped working")
    ada.page.keyboard.press("Escape")
    expect(ada.row(CORRECTED)).to_contain_text("Nordwind")
    expect(ada.row(NORDWIND)).to_have_count(0)

    nora.expects(410)
    nora.open(old)
    expect(nora.heading).to_have_text("This invitation was replaced by a newer one")
    nora.open(mail_server.wait_for(CORRECTED).link)
    expect(nora.heading).to_have_text("Nordwind is invited to Harbour Tours")
    expect(nora.page.get_by_text(CORRECTED)).to_be_visible()


def test_an_address_that_another_client_has_is_refused_in_the_dialog(
    clients: None, ada: Person, mail_server: MailServer
) -> None:
    correct(ada, NORDWIND)
    question(ada).get_by_label("Email Address").fill(BERGHOF)
    ada.expects(422)
    question(ada).get_by_role("button", name="Save and resend").click()
    summary = question(ada).locator("[data-error-summary]")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("Another client of this portal has this address already.")
    expect(question(ada).get_by_label("Email Address")).to_have_value(BERGHOF)
    summary.get_by_role("link", name="Email Address").click()
    expect(question(ada).get_by_label("Email Address")).to_be_focused()
    ada.page.keyboard.press("Escape")
    expect(question(ada)).to_be_hidden()
    expect(ada.panel).to_contain_text(NORDWIND)
    assert [len(mail_server.to(email)) for email in (NORDWIND, BERGHOF)] == [1, 1]


# Two at once


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
    expect(ada.dialog.get_by_role("alert")).to_contain_text("This is not there any more")
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
    expect(bert.page.get_by_role("alert")).to_contain_text("This is not there any more: somebody may have removed it.")
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
    expect(told(ada)).to_have_text("1 client removed. 1 was not there any more.")
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
    expect(nora.page.get_by_text("Look for the latest e-mail in your mailbox")).to_be_visible()

    nora.open(newer)
    fill_in_registration(nora)
    nora.press("Register")
    nora.open(mail_server.wait_for(NORDWIND, count=3).link)
    nora.press("Verify my e-mail")
    expect(nora.heading).to_have_text("You are in Harbour Tours")
    expect(ada.cell(NORDWIND, "status")).to_have_text(re.compile("^Joined"))


# Without a mouse


def test_everything_is_done_with_the_keyboard_alone(clients: None, ada: Person, mail_server: MailServer) -> None:
    keys = ada.page.keyboard

    def press(target: Locator, key: str = "Enter") -> None:
        ada.tab_to(target)
        keys.press(key)

    ada.page.reload()
    keys.press("Tab")
    expect(ada.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    keys.press("Enter")

    # Add
    press(ada.page.get_by_role("button", name="Add Client"), "Space")
    press(ada.menu.get_by_role("link", name="Manual Add"))
    expect(ada.dialog.get_by_label("Company Name")).to_be_focused()
    keys.type("Delta")
    keys.press("Tab")
    keys.type("post@delta.test")
    keys.press("Enter")
    expect(ada.row("post@delta.test")).to_be_visible()
    expect(ada.dialog).to_be_hidden()

    # Filter
    press(ada.page.get_by_role("button", name="Filter"))
    press(ada.filters.get_by_label("Invite Sent"), "Space")
    press(ada.filters.get_by_label("Email"), "End")
    keys.type("post@")
    press(ada.filters.get_by_role("button", name="Done"))
    expect(ada.addresses).to_have_text(["post@delta.test", BERGHOF])
    press(ada.page.get_by_role("link", name="Clear", exact=True))
    expect(ada.rows).to_have_count(4)

    # Sort
    press(ada.page.get_by_role("columnheader", name="Company Name").get_by_role("link"))
    expect(ada.addresses).to_have_text([BERGHOF, CORDOBA, "post@delta.test", NORDWIND])

    # Resend and remove
    press(ada.button(BERGHOF, "Resend Invite"), "Space")
    mail_server.wait_for(BERGHOF, count=2)
    press(ada.button(BERGHOF, "Remove"), "Space")
    expect(ada.dialog.get_by_text("Keep")).to_be_focused()
    press(ada.dialog.get_by_role("button", name="Remove"))
    expect(ada.row(BERGHOF)).to_have_count(0)
    expect(ada.button(CORDOBA, "Remove")).to_be_focused()

    # Correct
    press(ada.cell(NORDWIND, "company_name").get_by_role("link"))
    expect(ada.panel).to_be_visible()
    press(ada.panel.get_by_role("button", name="Correct"), "Space")
    expect(question(ada).get_by_label("Company Name")).to_be_focused()
    keys.press("Tab")
    keys.press("ControlOrMeta+a")
    keys.type(CORRECTED)
    keys.press("Enter")
    expect(question(ada)).to_be_hidden()
    mail_server.wait_for(CORRECTED)
    press(ada.panel.get_by_role("button", name="Close"), "Space")
    expect(ada.panel).to_be_hidden()
    expect(ada.cell(CORRECTED, "company_name").get_by_role("link")).to_be_focused()

    # Several
    for email in (CORDOBA, "post@delta.test"):
        press(ada.row(email).get_by_role("checkbox"), "Space")
    press(ada.selection.get_by_role("button", name="Resend"))
    expect(ada.dialog.get_by_role("button", name="Resend 2")).to_be_focused()
    keys.press("Space")
    expect(told(ada)).to_have_text("2 invitations resent.")
    expect(page_box(ada)).to_be_focused()
    mail_server.wait_for(CORDOBA, count=2)
    mail_server.wait_for("post@delta.test", count=2)


def page_box(person: Person) -> Locator:
    return person.page.get_by_role("checkbox", name="Select all on this page")


def told(person: Person) -> Locator:
    """The sentence about what became of a selection."""
    return person.page.get_by_role("status").locator("[data-told]")


def question(person: Person) -> Locator:
    """The dialog in front of the panel."""
    return person.page.get_by_role("dialog", name="Correct and resend")


def correct(person: Person, email: str) -> None:
    """Ask in a client's history to correct it."""
    person.open_history(email)
    person.panel.get_by_role("button", name="Correct").click()
    expect(question(person)).to_be_visible()


def fill_in_registration(person: Person) -> None:
    person.page.get_by_label("Your name").fill("Nora Wind")
    person.page.get_by_label("Password", exact=True).fill(OTHER_PASSWORD)
