"""The security headers of every answer, in one place."""

from __future__ import annotations

import secrets

from flask import Flask, Response, request

from app.web import PAGE_POLICY

_SAME_FOR_EVERYBODY = {"static", "brand.accent", "brand.logo", "embed.loader", "embed.shell"}


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
    headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    headers["X-Content-Type-Options"] = "nosniff"
    # A link that is mailed carries a token: no other site is to read it.
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if request.endpoint not in _SAME_FOR_EVERYBODY:
        # Pages hold personal data, and one address answers with a page or a fragment.
        headers["Cache-Control"] = "no-store"
        response.vary.update(["Cookie", "HX-Request"])
    return response
