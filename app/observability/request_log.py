"""Gives each request an id, logs one line for it, and counts it in the metrics."""

from __future__ import annotations

import logging
import re
import time
from uuid import uuid4

import structlog
from flask import Flask, Response, g, request

from app.observability import metrics

log = logging.getLogger(__name__)

HEADER = "X-Request-ID"

_SANE = re.compile(r"[A-Za-z0-9-]{16,64}")
# Requested all the time by machines, or beside each page.
_UNSEEN = {"static", "health.healthz", "health.readyz", "metrics.metrics_page"}


def init_app(app: Flask) -> None:
    """Call this before anything else that handles requests, so that the whole of each request is measured."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def _begin() -> None:
    given = request.headers.get(HEADER, "")
    g.request_id = given if _SANE.fullmatch(given) else uuid4().hex
    g.request_started = time.perf_counter()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    # Only for a client that sent an id. Otherwise answers that must be identical would differ by it.
    if HEADER in request.headers:
        response.headers[HEADER] = g.request_id
    if request.endpoint not in _UNSEEN:
        seconds = time.perf_counter() - g.request_started
        metrics.request_answered(request.endpoint or "none", response.status_code, seconds)
        # The endpoint, never the path, because a path may hold a token.
        what = {"method": request.method, "endpoint": request.endpoint, "status": response.status_code}
        log.info("request", extra={**what, "ms": round(seconds * 1000, 1)})
    return response


def _forget(_error: BaseException | None) -> None:
    structlog.contextvars.unbind_contextvars("request_id")
