"""Somebody changes the address of their account and confirms it in both mailboxes, and the table says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import join
from tests.conftest import HARBOUR
from tests.integration.accounts.moving import ASKED, ASKED_NEW, mails
from tests.integration.registration.invitee import INVITEE
from tests.support import axe
from tests.support.app_driver import AppDriver
from tests.support.chromium import Person
from tests.support.factories import PASSWORD
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

NOW = "nora@elsewhere.test"


def test_a_client_moves_and_an_admin_sees_it(
    ada: Person, somebody: Callable[[], Person], app_driver: AppDriver, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    join(app_driver, INVITEE)
    nora = somebody()
    nora.sign_in(INVITEE)
    nora.open("/account")
    own = nora.page.get_by_role("region", name="Email address")
    own.get_by_label("New email address").fill(NOW)
    own.get_by_label("Current password").fill(PASSWORD)
    nora.press("Change email address")
    expect(nora.page.locator("#page-status")).to_contain_text("We sent an email to both addresses.")
    expect(own).to_contain_text(f"Your address changes to {NOW} once both addresses have confirmed it.")
    assert axe.violations(nora.page) == []

    mail_server.wait_for(INVITEE)
    mail_server.wait_for(NOW)
    phone = somebody()
    phone.open(mails(mail_server, NOW, ASKED_NEW)[0].link)
    assert axe.violations(phone.page) == []
    phone.press("Confirm the new address")
    expect(phone.page.get_by_role("heading", name="Confirmed")).to_be_visible()
    nora.open(mails(mail_server, INVITEE, ASKED)[0].link)
    nora.press("Confirm the new address")
    expect(nora.page.get_by_role("heading", name="Your email address was changed")).to_be_visible()
    nora.page.get_by_role("link", name="Open your account").click()
    expect(nora.page.get_by_text(NOW, exact=True)).to_be_visible()
    ada.open_imported_clients(HARBOUR)
    expect(ada.page.locator(f"#client-{client_id} [data-col=email]")).to_have_text(f"{INVITEE} now {NOW}")
