"""The security headers of every answer, in one place."""

from __future__ import annotations

import secrets

from flask import Flask, Response, request

_CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)

_SAME_FOR_EVERYBODY = {"static", "brand.accent", "brand.logo"}


def init_app(app: Flask) -> None:
    app.after_request(_add_headers)


def padding() -> str:
    """A text of random length, to stand in pages that repeat a part of their URL beside a secret of the session.

    Pages are compressed, and a compressed length could tell a listener whether the one looks like the other (BREACH).
    A length that is random each time tells little. Fragments need none: no other site can make a browser ask for one.
    """
    return secrets.token_urlsafe(secrets.randbelow(64))


def _add_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", _CONTENT_SECURITY_POLICY)
    headers["X-Content-Type-Options"] = "nosniff"
    # A link that is mailed carries a token: no other site is to read it.
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if request.endpoint not in _SAME_FOR_EVERYBODY:
        # Pages hold personal data, and one address answers with a page or a fragment.
        headers["Cache-Control"] = "no-store"
        response.vary.update(["Cookie", "HX-Request"])
    return response
