"""Somebody who changes the address of their own account."""

from __future__ import annotations

from flask import Flask
from werkzeug.test import TestResponse

from tests.conftest import Outbox
from tests.integration.accounts.owner import sign_in_with
from tests.integration.accounts.signing_in import ADA
from tests.support.browser import Browser, parse, words
from tests.support.factories import PASSWORD
from tests.support.smtp import MailServer, Taken

NEW = "ada@berg.test"
MOVE = {"email": NEW, "current_password": PASSWORD}
ASKED = "Confirm the new email address of your Bakuun account"
ASKED_NEW = "Confirm your new email address"
CHANGED = "The email address of your Bakuun account was changed"


def mails(mail_server: MailServer, email: str, subject: str) -> list[Taken]:
    return [mail for mail in mail_server.to(email) if mail.message["Subject"] == subject]


def ask(browser: Browser, **more: str) -> TestResponse:
    return browser.post("/account/email", MOVE | more)


def links(outbox: Outbox, mail_server: MailServer, present: str = ADA, new: str = NEW) -> tuple[str, str]:
    """The newest link to the present address and the newest one to the new address."""
    outbox.flush()
    return mails(mail_server, present, ASKED)[-1].link, mails(mail_server, new, ASKED_NEW)[-1].link


def move(app: Flask, outbox: Outbox, mail_server: MailServer, present: str = ADA, new: str = NEW) -> None:
    """Change an address, with both presses where nobody is signed in."""
    assert ask(sign_in_with(app, email=present), email=new).status_code == 303
    for link in links(outbox, mail_server, present, new):
        assert Browser(app).post(link).status_code == 303


def waiting(browser: Browser) -> str | None:
    """What the account's page says of a change that waits."""
    notice = parse(browser.get("/account")).select_one("#email-change")
    return words(notice) if notice else None


def heading(answer: TestResponse) -> str:
    return words(parse(answer).h1)
