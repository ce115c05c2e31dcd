"""A client list is uploaded, and the page says what came of it."""

from __future__ import annotations

import io
from typing import Any

from bs4 import Tag
from werkzeug.test import TestResponse

from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words

IMPORT = f"{ic(HARBOUR)}/import"


def a_file(*lines: str) -> bytes:
    """A client list: the header, which is line 1, and these lines."""
    return "\r\n".join(["company_name,email", *lines, ""]).encode()


def clients(count: int, host: str = "many.test") -> list[str]:
    return [f"Client {n},client{n}@{host}" for n in range(count)]


def upload(
    browser: Browser, data: bytes, *, to: str = IMPORT, name: str = "clients.csv", **kwargs: Any
) -> TestResponse:
    return browser.post(to, {"file": (io.BytesIO(data), name)}, **kwargs)


def refusal_in(response: TestResponse, status: int = 422) -> Tag:
    """The part of an answer that says why nothing was imported."""
    assert response.status_code == status
    (refusal,) = parse(response).select("[data-import-errors]")
    assert "Nothing was imported" in words(refusal)
    return refusal


def errors_in(response: TestResponse) -> dict[int, str]:
    """What is said about each bad line."""
    named = refusal_in(response).select("[data-error-line]")
    errors = {int(str(row["data-error-line"])): words(row) for row in named}
    assert len(errors) == len(named), "a line is named once"
    return errors


def progress_in(response: TestResponse) -> str:
    assert response.status_code == 200
    (progress,) = parse(response).select("[data-import-progress]")
    return words(progress)


def addresses(app_driver: AppDriver) -> list[str]:
    return [email for _portal, email, _status in app_driver.clients()]


ROW = "Acme,ann@acme.test"
