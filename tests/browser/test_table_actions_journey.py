"""Several rows are resent or removed at once, and everything is done without a mouse, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from app.registration.service import decline
from tests.browser.conftest import BERGHOF, CORDOBA, CORRECTED, CROWD, NORDWIND, join
from tests.browser.table_parts import question, told
from tests.support.app_driver import AppDriver
from tests.support.chromium import Person
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser


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
    expect(ada.dialog.get_by_role("listitem")).to_have_text([f"Córdoba {CORDOBA}", f"Nordwind {NORDWIND}"])
    expect(ada.dialog.get_by_role("button", name="Resend 2 invitations")).to_be_focused()
    ada.page.keyboard.press("Escape")
    expect(ada.dialog).to_be_hidden()
    expect(ada.selection.get_by_role("button", name="Resend")).to_be_focused()
    expect(ada.selection).to_contain_text("2 selected")

    ada.selection.get_by_role("button", name="Resend").click()
    ada.dialog.get_by_role("button", name="Resend 2 invitations").click()
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
    expect(ada.dialog).to_have_accessible_name("Resend anyway?")
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
    ada.selection.get_by_label(f"Select all {CROWD} matching clients").check()
    expect(ada.selection).to_contain_text(f"{CROWD} selected")
    expect(ada.row(crowd[-1]).get_by_role("checkbox")).to_be_disabled()

    ada.selection.get_by_role("button", name="Resend").click()
    expect(ada.dialog).to_have_accessible_name(f"Resend {CROWD - 1} invitations?")
    expect(ada.dialog).to_contain_text("and 24 more")
    expect(ada.dialog).to_contain_text("1 selected client has already joined and will be skipped.")
    # Who comes to match the filter now was not asked about.
    app_driver.invite("late@crowd.test", "Company Late")
    ada.dialog.get_by_role("button", name=f"Resend {CROWD - 1} invitations").click()
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
    expect(ada.dialog).to_contain_text("1 selected client has already joined and will be skipped.")
    expect(ada.dialog.get_by_text("Cancel", exact=True)).to_be_focused()
    ada.page.keyboard.press("Enter")
    expect(ada.dialog).to_be_hidden()
    expect(ada.rows).to_have_count(3)
    expect(ada.selection.get_by_role("button", name="Remove")).to_be_focused()

    ada.page.keyboard.press("Enter")
    ada.dialog.get_by_role("button", name="Remove 2 clients").click()
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


# Without a mouse


def test_everything_is_done_with_the_keyboard_alone(clients: None, ada: Person, mail_server: MailServer) -> None:
    keys = ada.page.keyboard

    def press(target: Locator, key: str = "Enter") -> None:
        ada.tab_to(target)
        keys.press(key)

    ada.page.reload()
    keys.press("Tab")
    expect(ada.page.get_by_role("link", name="Skip to content")).to_be_focused()
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
    expect(ada.page.get_by_role("button", name="Add Client")).to_be_focused()
    mail_server.wait_for("post@delta.test")
    # The menu opens with the other key as well.
    keys.press("Enter")
    expect(ada.menu).to_be_visible()
    keys.press("Escape")

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
    expect(ada.dialog.get_by_text("Cancel")).to_be_focused()
    press(ada.dialog.get_by_role("button", name="Remove"))
    expect(ada.row(BERGHOF)).to_have_count(0)
    expect(ada.button(CORDOBA, "Remove")).to_be_focused()

    # Correct
    press(ada.cell(NORDWIND, "company_name").get_by_role("link"))
    expect(ada.panel).to_be_visible()
    press(ada.panel.get_by_role("button", name="Edit and resend"), "Space")
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
    expect(ada.dialog.get_by_role("button", name="Resend 2 invitations")).to_be_focused()
    keys.press("Space")
    expect(told(ada)).to_have_text("2 invitations resent.")
    expect(page_box(ada)).to_be_focused()
    mail_server.wait_for(CORDOBA, count=2)
    mail_server.wait_for("post@delta.test", count=2)


def page_box(person: Person) -> Locator:
    return person.page.get_by_role("checkbox", name="Select all on this page")
