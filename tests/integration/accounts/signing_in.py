"""What the tests of accounts ask of a browser and of an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import time_machine
from werkzeug.test import TestResponse

from app.core.clock import now
from tests.support.browser import Browser

ADA = "ada@harbour.test"


@contextmanager
def later(seconds: float) -> Iterator[None]:
    with time_machine.travel(now() + timedelta(seconds=seconds)):
        yield


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/portals").status_code == 200


def answer(response: TestResponse, *typed: str) -> tuple[int, str, list[tuple[str, str]]]:
    """All that tells one answer from another, but for what the person typed and the form's token."""
    text = re.sub(r'(name="csrf_token" value=")[^"]*', r"\1", response.text)
    for one in typed:
        text = text.replace(one, "…")
    headers = [(k, v) for k, v in response.headers if k not in {"Date", "Content-Length", "Set-Cookie"}]
    return response.status_code, text, headers
