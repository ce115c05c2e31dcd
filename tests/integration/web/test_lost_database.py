"""The database goes away in the middle of something, and the answer says no more than is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from app.extensions import db
from tests.conftest import HARBOUR
from tests.support.browser import Browser, ic

CLIENT = {"company_name": "Nordwind Reisen", "email": "info@nordwind.test"}


@contextmanager
def cut(database_url: str, whose: type, moment: str) -> Iterator[None]:
    """The server ends the connection of whoever comes by a moment first."""

    cut_off = []

    def end(connection: Connection | Session, *_: Any) -> None:
        if cut_off:
            return
        cut_off.append(connection.scalar(text("SELECT pg_backend_pid()")))
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", cut_off)

    event.listen(whose, moment, end)
    try:
        yield
    finally:
        event.remove(whose, moment, end)
    assert cut_off


pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def test_when_the_answer_to_the_commit_is_lost_nobody_is_told_that_nothing_was_done(
    admin: Browser, database_url: str
) -> None:
    with cut(database_url, Engine, "commit"):
        answer = admin.post(ic(HARBOUR), CLIENT)
    assert answer.status_code == 503
    assert "check whether your change was saved before you try again" in answer.text
    assert "Nothing was changed" not in answer.text


def test_when_it_is_lost_before_the_commit_nothing_was_done(admin: Browser, database_url: str) -> None:
    with cut(database_url, Session, "before_flush"):
        answer = admin.post(ic(HARBOUR), CLIENT)
    assert answer.status_code == 503
    assert "Nothing was changed" in answer.text
    assert admin.rows(HARBOUR) == []


def test_a_database_in_which_nobody_may_write_is_away_like_any_other(
    app: Flask, admin: Browser, database_url: str
) -> None:
    name = make_url(database_url).database
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        with app.app_context():
            db.engine.dispose()
        answer = admin.post(ic(HARBOUR), CLIENT)
        other.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        with app.app_context():
            db.engine.dispose()
    assert answer.status_code == 503
    assert "Nothing was changed" in answer.text
    assert admin.post(ic(HARBOUR), CLIENT).status_code == 303
