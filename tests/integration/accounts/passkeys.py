"""Somebody with a passkey, at a browser that sends what `app/static/passkeys.js` would send."""

from __future__ import annotations

import json
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from app.extensions import db
from app.models import Passkey
from tests.integration.accounts.owner import FIREFOX, sign_in_with
from tests.integration.accounts.signing_in import ADA
from tests.support.app_driver import AppDriver
from tests.support.authenticator import Authenticator
from tests.support.browser import Browser, parse, words
from tests.support.factories import PASSWORD

SITE = "http://localhost"
NAME = "Ada's telephone"
NEW = {"passkey_name": NAME, "passkey_password": PASSWORD}


def options_to_add(browser: Browser, **more: str) -> dict[str, Any]:
    answer = browser.post("/account/passkeys/options", NEW | more, htmx=True)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text)
    return found


def add(browser: Browser, device: Authenticator, **more: str) -> TestResponse:
    made = device.make(options_to_add(browser, **more))
    return browser.post("/account/passkeys", {"passkey_name": NAME, "credential": made} | more)


def with_passkey(app: Flask, device: Authenticator | None = None, email: str = ADA) -> tuple[Browser, Authenticator]:
    """Somebody who has signed in and added a passkey."""
    device = device or Authenticator()
    browser = sign_in_with(app, FIREFOX, email=email)
    assert add(browser, device).status_code in {200, 303}
    return browser, device


def options_to_sign_in(browser: Browser) -> dict[str, Any]:
    answer = browser.post("/login/passkey/options", htmx=True)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text)
    return found


def send(browser: Browser, credential: str, **more: str) -> TestResponse:
    """Send what a passkey has signed. A sign-in leaves another session behind, with another token."""
    answer = browser.post("/login/passkey", {"credential": credential} | more)
    browser.forget_csrf_token()
    return answer


def sign_in(browser: Browser, device: Authenticator) -> TestResponse:
    return send(browser, device.sign(options_to_sign_in(browser)))


def password_given(app: Flask, email: str = ADA) -> Browser:
    """A new browser in which the password was right, and a passkey is asked for."""
    browser = Browser(app)
    answer = browser.sign_in(email, PASSWORD)
    assert answer.location == "/login/second-factor", answer.location
    return browser


def options_of_second_step(browser: Browser) -> dict[str, Any]:
    answer = browser.post("/login/second-factor/passkey/options", htmx=True)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text)
    return found


def send_second(browser: Browser, credential: str, **more: str) -> TestResponse:
    answer = browser.post("/login/second-factor/passkey", {"credential": credential} | more)
    browser.forget_csrf_token()
    return answer


def options_of_step_up(browser: Browser) -> dict[str, Any]:
    answer = browser.post("/account/passkeys/step-up/options", htmx=True)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text)
    return found


def told(answer: TestResponse) -> str:
    """What the page says at the form of passkeys."""
    return words(parse(answer).select_one("[data-passkey-fault]"))


def names(browser: Browser) -> list[str]:
    """Of the passkeys on the page of the account."""
    return [words(one) for one in parse(browser.get("/account")).select("[data-passkey-id] strong")]


def passkey_of(app_driver: AppDriver, email: str = ADA) -> Passkey:
    """The only one of somebody."""
    user_id = app_driver.user(email).id
    found: Passkey = app_driver.do(lambda: db.session.scalars(db.select(Passkey).filter_by(user_id=user_id)).one())
    return found
