"""Somebody guesses at passwords from an address, or has a password replaced by mail."""

from __future__ import annotations

from collections import Counter

from flask import Flask

from app.accounts.sign_in import sign_in
from app.core.errors import TooManyRequests
from app.registration.password_reset import request_reset
from tests.conftest import Outbox
from tests.integration.accounts.signing_in import ADA
from tests.support.browser import Browser, path_of
from tests.support.factories import OTHER_PASSWORD, PASSWORD, counted_as
from tests.support.smtp import MailServer

SAM, NOBODY = "sam@harbour.test", "nobody@harbour.test"
WRONG = "not the right one"
HERE, ELSEWHERE = "203.0.113.7", "198.51.100.1"


def browser_at(app: Flask, address: str) -> Browser:
    browser = Browser(app)
    browser.client.environ_base["REMOTE_ADDR"] = address
    return browser


def status(app: Flask, address: str, email: str = ADA, password: str = PASSWORD) -> int:
    """What a browser gets that nobody has signed in with before."""
    return browser_at(app, address).sign_in(email, password).status_code


def fail(app: Flask, address: str, email: str = ADA, times: int = 10) -> Counter[str]:
    """Wrong passwords from an address; how each was answered."""
    outcomes: Counter[str] = Counter()
    with app.app_context():
        for _ in range(times):
            try:
                signed_in = sign_in(email, WRONG, remote_address=address)
                outcomes["refused" if signed_in is None else "signed in"] += 1
            except TooManyRequests:
                outcomes["too many"] += 1
    return outcomes


def fail_ten_times(app: Flask, address: str, email: str = ADA) -> None:
    """The same in less time: one was wrong, and counts for nine; then one more is."""
    with counted_as(app, 9):
        assert fail(app, address, email, times=1) == {"refused": 1}
    assert fail(app, address, email, times=1) == {"refused": 1}


def request_in(app: Flask, email: str, address: str = HERE) -> None:
    with app.app_context():
        request_reset(email, address)


def reset_password(
    browser: Browser, outbox: Outbox, mail_server: MailServer, email: str = ADA, password: str = OTHER_PASSWORD
) -> None:
    before = len(resets(mail_server, email))
    assert browser.post("/password-reset", {"email": email}).status_code == 303
    outbox.flush()
    (link,) = resets(mail_server, email)[before:]
    assert browser.post(path_of(link), {"password": password}).status_code == 303


def resets(mail_server: MailServer, email: str = ADA) -> list[str]:
    return [mail.link for mail in mail_server.to(email) if "/password-reset/" in mail.link]
