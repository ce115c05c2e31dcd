"""A connection that is lost after everything was read, as when a standby takes over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import text

from app.extensions import db
from tests.conftest import HARBOUR
from tests.support.browser import Browser, ic


@contextmanager
def connection_ends_after_each_view(app: Flask) -> Iterator[None]:
    def end_connection(response: object) -> object:
        db.session.expire_all()  # as a commit does
        pid = db.session.scalar(text("SELECT pg_backend_pid()"))
        with db.engine.connect() as other:
            other.execute(text(f"SELECT pg_terminate_backend({pid}, 5000)"))
        return response

    # Not with `after_request`, since the application is one that tests share.
    app.after_request_funcs.setdefault(None, []).append(end_connection)
    try:
        yield
    finally:
        app.after_request_funcs[None].remove(end_connection)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_was_read_before_is_answered_all_the_same(app: Flask) -> None:
    with connection_ends_after_each_view(app):
        assert app.test_client().get("/login").status_code == 200
    assert app.test_client().get("/login").status_code == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_answer_says_whose_it_is_without_asking(app: Flask, admin: Browser) -> None:
    person = admin.get(f"{ic(HARBOUR)}/table", htmx=True).headers["X-Signed-In-As"]
    with connection_ends_after_each_view(app):
        answer = admin.get(f"{ic(HARBOUR)}/table", htmx=True)
    assert (answer.status_code, answer.headers["X-Signed-In-As"]) == (200, person)
