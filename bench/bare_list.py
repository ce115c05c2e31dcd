"""The smallest application that shows the same rows: Flask, Jinja and the database's own driver.

It has no session, no permissions and no counts. gunicorn serves it, as it serves the application. `nothing` is smaller
still and shows how fast the measuring client can ask.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from threading import local
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import psycopg
from flask import Flask, render_template, request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_ROWS = 25
_URL = os.environ["DATABASE_URL"]
_IS_SQLITE = _URL.startswith("sqlite:")
_MARK = ":{}" if _IS_SQLITE else "%({})s"
_PAGE = f"""
    SELECT c.id, c.company_name, c.email, c.status, m.state, c.link_expires_at, c.email_last_sent_at
    FROM imported_client c
    LEFT JOIN outbox_mail m ON m.client_id = c.id AND m.portal_id = c.portal_id
        AND m.kind = 'invitation' AND m.generation = c.generation
    WHERE c.portal_id = {_MARK.format("portal")} AND c.id < {_MARK.format("after")}
    ORDER BY c.id DESC LIMIT {_ROWS + 1}
"""
_LAST_ID = "f" * 32
_of_thread = local()

app = Flask(__name__)
app.jinja_env.trim_blocks = True
app.jinja_env.lstrip_blocks = True


@app.get("/portals/<portal>")
def page(portal: str) -> str:
    found = _read({"portal": portal, "after": request.args.get("after", _LAST_ID)})
    return render_template("bare_list.html", portal=portal, rows=found[:_ROWS], more=len(found) > _ROWS)


def nothing(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"yes"]


def _read(values: dict[str, object]) -> Sequence[Any]:
    if not hasattr(_of_thread, "connection"):
        _of_thread.connection = _connect()
    return _of_thread.connection.execute(_PAGE, values).fetchall()


def _connect() -> Any:
    if _IS_SQLITE:
        return sqlite3.connect(unquote(_URL.removeprefix("sqlite:///")), isolation_level=None)
    return psycopg.connect(_URL, autocommit=True)
