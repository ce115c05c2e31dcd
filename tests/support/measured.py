"""`wsgi:app` itself, for gunicorn; each answer says how much memory its process has taken at most since it began."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

from flask import Response

from wsgi import app

__all__ = ["app"]

# Starting takes more memory than running: let Linux forget it. (Elsewhere that counts too.)
with suppress(OSError):
    Path("/proc/self/clear_refs").write_text("5")


@app.after_request
def tell_peak(response: Response) -> Response:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    response.headers["X-Peak-Memory"] = str(peak if sys.platform == "darwin" else peak * 1024)
    return response
