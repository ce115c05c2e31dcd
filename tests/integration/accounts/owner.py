"""Somebody at the page of their own account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tests.integration.accounts.signing_in import ADA
from tests.support.browser import Browser, parse, words
from tests.support.factories import OTHER_PASSWORD, PASSWORD

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/26.0 Mobile/15E148 Safari/604.1"
)
CHANGE = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}


@dataclass
class Shown:
    """A session in the list."""

    id: str
    words: str
    is_this: bool
    can_be_ended: bool


def sign_in_with(app: Flask, agent: str = FIREFOX, address: str = "203.0.113.7", email: str = ADA) -> Browser:
    """A new browser in which somebody has just signed in."""
    browser = Browser(app)
    browser.client.environ_base |= {"REMOTE_ADDR": address, "HTTP_USER_AGENT": agent}
    assert browser.sign_in(email, PASSWORD).status_code == 303
    return browser


def token_of(browser: Browser) -> str:
    """The token of the session that a browser holds."""
    return str(kept_in(browser)["_user_id"])


def kept_in(browser: Browser) -> dict[str, Any]:
    """What a browser's session cookie holds."""
    serializer = browser.client.application.session_interface.get_signing_serializer(browser.client.application)  # type: ignore[attr-defined]
    cookie = browser.client.get_cookie("session")
    assert cookie is not None
    return dict(serializer.loads(cookie.value))


def sessions(browser: Browser) -> list[Shown]:
    page = browser.get("/account")
    assert page.status_code == 200
    return [
        Shown(li["data-session-id"], words(li), li.has_attr("data-this"), li.form is not None)
        for li in parse(page).select(".sessions li")
    ]


def change_password(browser: Browser, **more: str) -> TestResponse:
    answer = browser.post("/account/password", CHANGE | more)
    browser.forget_csrf_token()
    return answer


def told(browser: Browser) -> str:
    """What the page says was done."""
    return words(parse(browser.get("/account")).select_one("#page-status"))
