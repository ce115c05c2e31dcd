"""How large a request's body may be, and how long it may take to arrive. Uploads may be larger and take longer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from flask import Flask, current_app, request
from werkzeug.exceptions import HTTPException, RequestTimeout

from app.accounts.current import be_nobody
from webserver.requests import BodyLimit
from webserver.server import TIMED_OUT

BODY_SECONDS = 30.0
UPLOAD_SECONDS = 120.0

_View = TypeVar("_View", bound=Callable[..., object])


def takes_upload(max_bytes: int) -> Callable[[_View], _View]:
    """Mark a view that accepts a file, with the most bytes that such a request may have."""

    def mark(view: _View) -> _View:
        view.max_upload_bytes = max_bytes  # type: ignore[attr-defined]
        return view

    return mark


def init_app(app: Flask) -> None:
    """Install the limits. Call this before installing the CSRF check, which reads the form and so needs the limits."""
    app.config.from_mapping(BODY_SECONDS=BODY_SECONDS, UPLOAD_SECONDS=UPLOAD_SECONDS)
    app.extensions["body_limit"] = partial(body_limit, app)
    app.before_request(_refuse_timed_out)
    app.before_request(_allow_upload)


def body_limit(app: Flask, method: str, path: str, content_type: str) -> BodyLimit:
    """The limits of a request's body, which the server enforces. `path` is in the form of WSGI's `PATH_INFO`."""
    try:
        endpoint, _arguments = app.url_map.bind("").match(path.encode("latin-1").decode(errors="replace"), method)
    except HTTPException:
        endpoint = None
    max_bytes = _max_upload_bytes(app, endpoint)
    if max_bytes is None:
        return BodyLimit(app.config["MAX_CONTENT_LENGTH"], app.config["BODY_SECONDS"])
    is_upload = content_type.strip().lower().startswith("multipart/form-data")
    return BodyLimit(max_bytes, app.config["UPLOAD_SECONDS" if is_upload else "BODY_SECONDS"])


def _refuse_timed_out() -> None:
    if request.environ.get(TIMED_OUT):
        # Many requests may time out at once, so this answer must not query the database.
        be_nobody()
        raise RequestTimeout


def _allow_upload() -> None:
    max_bytes = _max_upload_bytes(current_app, request.endpoint)
    if max_bytes is not None:
        request.max_content_length = max_bytes


def _max_upload_bytes(app: Flask, endpoint: str | None) -> int | None:
    found: int | None = getattr(app.view_functions.get(endpoint or ""), "max_upload_bytes", None)
    return found
