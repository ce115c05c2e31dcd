"""A client's history is read and a wrong address is corrected from it, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import BERGHOF, CORRECTED, NORDWIND, join
from tests.browser.table_parts import question
from tests.support.app_driver import AppDriver
from tests.support.chromium import Person
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser


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
            "Email accepted by mail server",
            "Email queued",
            "Invited again; the older link stopped working",
            "Email accepted by mail server",
            "Email queued",
            "Invited",
        ]
    )
    expect(ada.panel.locator(".events li").nth(2)).to_contain_text("Ada Berg")

    ada.panel.get_by_role("link", name="Show email of invitation 2").click()
    mail = ada.panel.locator(".mail")
    expect(mail).to_contain_text("Nordwind")
    for link in links:
        assert link.rpartition("/")[2] not in ada.page.content()
    ada.page.keyboard.press("Escape")
    expect(ada.panel).to_be_hidden()
    expect(ada.cell(NORDWIND, "company_name").get_by_role("link")).to_be_focused()


def test_an_open_history_is_up_to_date_and_keeps_the_focus(clients: None, ada: Person, app_driver: AppDriver) -> None:
    ada.open_history(NORDWIND)
    show = ada.panel.get_by_role("link", name="Show email")
    show.press("Enter")
    expect(ada.panel.locator(".mail")).to_be_visible()
    join(app_driver, NORDWIND)
    expect(ada.panel.locator(".panel-status")).to_contain_text("Joined")
    expect(ada.panel.locator(".events strong").first).to_have_text("Joined")
    expect(ada.panel.get_by_role("button", name="Edit and resend")).to_have_count(0)
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
    expect(ada.panel.get_by_role("button", name="Edit and resend")).to_be_focused()
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
    # The only error stands at its field, which has the focus.
    expect(question(ada).get_by_label("Email Address")).to_be_focused()
    expect(question(ada).locator("#email-error")).to_contain_text(
        "Another client of this portal already has this address."
    )
    expect(question(ada).get_by_label("Email Address")).to_have_value(BERGHOF)
    ada.page.keyboard.press("Escape")
    expect(question(ada)).to_be_hidden()
    expect(ada.panel).to_contain_text(NORDWIND)
    assert [len(mail_server.to(email)) for email in (NORDWIND, BERGHOF)] == [1, 1]


def correct(person: Person, email: str) -> None:
    """Ask in a client's history to correct it."""
    person.open_history(email)
    person.panel.get_by_role("button", name="Edit and resend").click()
    expect(question(person)).to_be_visible()
