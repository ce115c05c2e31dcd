"""A client list is uploaded, and the page says what came of it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bs4 import Tag
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.db.transactions import transaction
from app.extensions import db
from app.models import ImportedClient
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
    browser: Browser,
    data: bytes,
    fields: dict[str, str] | None = None,
    *,
    to: str = IMPORT,
    name: str = "clients.csv",
    **kwargs: Any,
) -> TestResponse:
    """Post a file, with further fields of the form."""
    return browser.post(to, {"file": (io.BytesIO(data), name), **(fields or {})}, **kwargs)


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


def codes_in(refusal: Tag) -> list[tuple[int | None, str]]:
    """Each error with the line in which it stands, or None."""
    found = []
    for error in refusal.select("[data-error-code]"):
        row = error.find_parent(attrs={"data-error-line": True})
        found.append((int(str(row["data-error-line"])) if row else None, str(error["data-error-code"])))
    return found


def progress_in(response: TestResponse) -> str:
    assert response.status_code == 200
    (progress,) = parse(response).select("[data-import-progress]")
    return words(progress)


def addresses(app_driver: AppDriver) -> list[str]:
    return [email for _portal, email, _status in app_driver.clients()]


ROW = "Acme,ann@acme.test"


def while_a_rival_adds(email: str, app: Flask, upload_it: Callable[[], TestResponse]) -> TestResponse:
    """The answer to an upload during which somebody else adds this address.

    For PostgreSQL. On SQLite there is no such moment: whoever writes second begins when the first one has ended.
    """
    with ThreadPoolExecutor(1) as threads:
        with app.app_context(), transaction() as session:
            rival = {"company_name": "Rival", "company_name_folded": "rival"}
            session.add(ImportedClient(portal_id=HARBOUR, email=email, **rival))
            session.flush()
            importing = threads.submit(upload_it)
            wait_until_somebody_waits_for_us()
        return importing.result(timeout=60)


def wait_until_somebody_waits_for_us() -> None:
    deadline = time.monotonic() + 30
    while not db.session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
        assert time.monotonic() < deadline, "the import does not wait"
        time.sleep(0.01)
