"""`wsgi:app` itself, for gunicorn; each answer says how much memory its process has ever taken."""

from __future__ import annotations

import resource
import sys

from flask import Response

from wsgi import app

__all__ = ["app"]

_UNIT = 1 if sys.platform == "darwin" else 1024


@app.after_request
def tell_peak(response: Response) -> Response:
    response.headers["X-Peak-Memory"] = str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT)
    return response
