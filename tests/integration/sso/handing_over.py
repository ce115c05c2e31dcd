"""Somebody whom a host shell hands over, and what comes of it."""

from __future__ import annotations

from typing import Any

from flask import Flask
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from app.extensions import db
from tests.conftest import HARBOUR
from tests.support.browser import Browser, ic

HANNA = "hanna@shell.test"
ADA = "ada@harbour.test"
OTHER_SHELL = "https://other-shell.test"


def session_cookie(browser: Browser, path: str = "/") -> str:
    cookie = browser.client.get_cookie("session", path=path)
    assert cookie is not None
    return cookie.value


def copy_of(browser: Browser) -> Browser:
    """Somebody with a copy of the cookie as it is now."""
    other = Browser(browser.client.application)
    other.client.set_cookie("session", session_cookie(browser))
    return other


def is_in(browser: Browser, portal_id: str = HARBOUR) -> bool:
    return browser.get(ic(portal_id)).status_code == 200


def answer(response: TestResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    return response.status_code, response.data, sorted((k, v) for k, v in response.headers if k != "Date")


def rows(app: Flask, model: Any) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(model)) or 0
