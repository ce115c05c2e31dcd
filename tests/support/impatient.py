"""`wsgi:app` itself, for gunicorn; only a body that is no upload has but two seconds to arrive."""

from __future__ import annotations

from wsgi import app

__all__ = ["app"]

app.config["BODY_SECONDS"] = 2
