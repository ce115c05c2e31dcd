"""An account's owner is told of a sign-in in a browser that the account does not know."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.conftest import Outbox
from tests.integration.accounts.guessing import reset_password
from tests.integration.accounts.nora import NORA, STRANGERS
from tests.integration.accounts.owner import FIREFOX, SAFARI, sign_in_with
from tests.integration.accounts.signing_in import ADA
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.smtp import MailServer, Taken
from tests.support.together import at_once

SUBJECT = "New sign-in to your Bakuun account"


def notices(outbox: Outbox, mail_server: MailServer, email: str = ADA) -> list[Taken]:
    outbox.flush()
    return [mail for mail in mail_server.to(email) if mail.message["Subject"] == SUBJECT]


def test_of_the_first_browser_nobody_is_told_and_of_each_other_one_once(
    app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    first = sign_in_with(app, FIREFOX)
    first.post("/logout")
    assert first.sign_in(ADA, PASSWORD).status_code == 303
    assert notices(outbox, mail_server) == []
    phone = sign_in_with(app, SAFARI, "2001:db8:1:2::3")
    phone.post("/logout")
    assert phone.sign_in(ADA, PASSWORD).status_code == 303
    (notice,) = notices(outbox, mail_server)
    for part in (notice.text, notice.html):
        assert "Safari on iPhone" in part
        assert "2001:db8:1::/48" in part
        assert "Ada Berg" in part
    assert notice.link == "http://clients.harbour.test/password-reset"
    assert notice.message["Auto-Submitted"] == "auto-generated"


@pytest.mark.both_databases
def test_at_most_five_are_sent_a_day(app: Flask, outbox: Outbox, mail_server: MailServer) -> None:
    sign_in_with(app)

    def sign_in() -> None:
        sign_in_with(app)

    at_once([sign_in] * 4)
    for _ in range(3):
        sign_in()
    assert len(notices(outbox, mail_server)) == 5


def test_whoever_resets_the_password_is_known_in_that_browser(
    app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    sign_in_with(app)
    browser = Browser(app)
    reset_password(browser, outbox, mail_server)
    assert browser.sign_in(ADA, OTHER_PASSWORD).status_code == 303
    assert notices(outbox, mail_server) == []


def test_an_address_that_nobody_has_verified_gets_none(
    app: Flask, app_driver: AppDriver, stranger: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    for _ in range(3):
        assert Browser(app).sign_in(NORA, STRANGERS["password"]).status_code == 303
    assert notices(outbox, mail_server, NORA) == []
