"""Somebody with an authenticator app on their phone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyotp
from flask import Flask
from werkzeug.test import TestResponse

from app.accounts.security.own_factors import confirm_set_up
from app.accounts.security.totp import new_key
from app.core.clock import now
from tests.integration.accounts.owner import sign_in_with, token_of
from tests.integration.accounts.signing_in import ADA
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse
from tests.support.factories import PASSWORD

STEP = "/login/second-factor"
PAGE = "/account/second-factor"


@dataclass
class Phone:
    """An authenticator app: what it knows of an account is the key that its page has shown."""

    key: str

    def code(self, seconds: float = 0) -> str:
        """What it shows, on a clock that goes so many seconds before ours."""
        return str(pyotp.TOTP(self.key).at(now() + timedelta(seconds=seconds)))


@dataclass
class Protected:
    """Somebody who has set up a second factor, in the browser that they did it in."""

    browser: Browser
    phone: Phone
    codes: list[str]


def begin(browser: Browser, password: str = PASSWORD) -> Phone:
    """Begin to set up an app, up to scanning the key."""
    assert browser.post(PAGE, {"password": password}).location == PAGE
    return Phone(scanned(browser.get(PAGE)))


def scanned(page: TestResponse) -> str:
    """The key that a page shows."""
    shown = parse(page).select_one("code.key")
    return shown.get_text().replace(" ", "")


def codes_on(page: TestResponse) -> list[str]:
    return [code.get_text() for code in parse(page).select(".recovery-codes code")]


def set_up(browser: Browser) -> Protected:
    """Set up an app, by a code of the step before, so that the present one can be used to sign in."""
    phone = begin(browser)
    page = browser.post(f"{PAGE}/confirm", {"code": phone.code(-30)})
    assert page.status_code == 200, page.text
    return Protected(browser, phone, codes_on(page))


def protected(app: Flask, email: str = ADA) -> Protected:
    """Somebody who has just set one up, as `set_up` does it by forms."""
    browser, phone, driver = sign_in_with(app, email=email), Phone(new_key()), AppDriver(app)
    user_id = driver.user(email).id
    codes = driver.do(confirm_set_up, user_id, token_of(browser), phone.key, phone.code(-30))
    assert codes
    return Protected(browser, phone, list(codes))


def password_only(app: Flask, email: str = ADA, password: str = PASSWORD, **more: str) -> Browser:
    """A new browser in which somebody has given the password, and no code yet."""
    browser = Browser(app)
    answer = browser.post("/login", {"email": email, "password": password, **more})
    assert (answer.status_code, answer.location.partition("?")[0]) == (303, STEP)
    browser.forget_csrf_token()
    return browser


def give(browser: Browser, code: str, **more: str) -> TestResponse:
    answer = browser.post(STEP, {"code": code, **more})
    if answer.status_code == 303:
        browser.forget_csrf_token()
    return answer


def at_middle_of_step() -> datetime:
    """A moment well within the 30 seconds of a code, so that a test does not run into the next one."""
    return datetime.fromtimestamp(int(now().timestamp()) // 30 * 30 + 15, UTC)
