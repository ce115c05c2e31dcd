"""The security headers of every answer, in one place."""

from __future__ import annotations

import secrets

from flask import Flask, Response, current_app, request

from app.accounts.current import known_user_id
from app.web.content_policy import PAGE_POLICY
from app.web.responses import wants_fragment

_SAME_FOR_EVERYBODY = {"static", "brand.accent", "brand.logo", "embed.loader", "embed.shell"}
_OPENS_WINDOWS = {"embed.frame"}

# One year. Without includeSubDomains, because the hosts below our host name are not ours to decide about.
_HSTS = "max-age=31536000"
# Features that browsers give to pages and frames by default and that no page of ours uses.
_PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "autoplay",
        "camera",
        "display-capture",
        "encrypted-media",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "picture-in-picture",
        "screen-wake-lock",
        "serial",
        "usb",
        "xr-spatial-tracking",
    )
)


def init_app(app: Flask) -> None:
    app.after_request(_add_headers)


def padding() -> str:
    """A text of random length, for pages that repeat a part of their URL beside a secret of the session.

    Pages are compressed, and the compressed length could tell a listener whether the two are alike (BREACH). A length
    that is random each time tells little. Fragments need no padding, because no other site can make a browser request
    one.
    """
    return secrets.token_urlsafe(secrets.randbelow(64))


def _add_headers(response: Response) -> Response:
    headers = response.headers
    # A proxy, or a network with a sign-in page, may answer in our place. Our script shows no answer without this
    # header.
    headers["X-Imported-Clients"] = "1"
    if wants_fragment() and (user_id := known_user_id()):
        # A page was made for one person, and by now somebody else may be signed in. Our script compares the two.
        headers["X-Signed-In-As"] = str(user_id)
    headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    headers["X-Content-Type-Options"] = "nosniff"
    # A mailed link carries a token, which no other site may read.
    headers["Referrer-Policy"] = "same-origin"
    headers["Permissions-Policy"] = _PERMISSIONS
    if current_app.config["SESSION_COOKIE_SECURE"]:
        # Only if the public address is https.
        headers["Strict-Transport-Security"] = _HSTS
    # A refusal has the same headers whatever was requested.
    opens_windows = request.endpoint in _OPENS_WINDOWS and response.status_code < 400
    headers["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups" if opens_windows else "same-origin"
    # Which sites may load an answer into their pages. (`frame-ancestors` says which pages may frame it.)
    is_for_all = request.endpoint in _SAME_FOR_EVERYBODY
    headers["Cross-Origin-Resource-Policy"] = "cross-origin" if is_for_all else "same-origin"
    if not is_for_all:
        # Pages hold personal data, and one address may answer with a page or a fragment.
        headers["Cache-Control"] = "no-store"
        response.vary.update(["Cookie", "HX-Request"])
    return response
