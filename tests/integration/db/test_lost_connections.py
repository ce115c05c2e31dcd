"""A connection that is lost after everything was read, as when a standby takes over."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text

from app.extensions import db


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_was_read_before_is_answered_all_the_same(app: Flask) -> None:
    def end_connection(response: object) -> object:
        pid = db.session.scalar(text("SELECT pg_backend_pid()"))
        with db.engine.connect() as other:
            other.execute(text(f"SELECT pg_terminate_backend({pid}, 5000)"))
        return response

    # Not with `after_request`, since the application is one that tests share.
    app.after_request_funcs.setdefault(None, []).append(end_connection)
    try:
        assert app.test_client().get("/login").status_code == 200
    finally:
        app.after_request_funcs[None].remove(end_connection)
    assert app.test_client().get("/login").status_code == 200
