"""A browser's session cookies: where they are sent, and which values outlive signing in and out.

A frame on another site has a cookie of its own beside the ordinary one. If that site is `shell.example.com` and we are
`clients.example.com`, a browser sends both cookies. They have different names, so they are never confused.
"""

from __future__ import annotations

from flask import Flask, g, request, session
from flask.sessions import SecureCookieSessionInterface

from app.accounts.current import CHOSEN_LANGUAGE
from app.core.text import path_of_url

FRAMED_COOKIE = "framed_session"

LANGUAGE = "language"
"""The language of the portal that invited the person at this browser."""
REGISTRATIONS = "registrations"
"""The keys of the registrations made in this browser (`User.registration_key`)."""
_KEPT = (LANGUAGE, CHOSEN_LANGUAGE, REGISTRATIONS)

_FRAME_PAGE = "/embed/frame"


def empty_session() -> None:
    """Empty the browser's session, except for its languages and the registrations made in it.

    The key of a registration is bound to that registration and opens nothing else, whoever signs in or out.
    """
    kept = {key: session[key] for key in _KEPT if key in session}
    session.clear()
    session.update(kept)


def be_framed(is_framed: bool) -> None:
    """Set whether the session that this request leaves behind belongs to a frame on another site."""
    g.is_framed = is_framed


class ScopedSessions(SecureCookieSessionInterface):
    """Flask's sessions, limited to the path under which we are mounted, so that no other application gets the cookies.

    The cookie of a frame on another site is `Secure; SameSite=None; Partitioned`, because browsers keep no other cookie
    there. Browsers store it separately for each site that frames us, so they do not block it as a third-party cookie.
    """

    def get_cookie_name(self, app: Flask) -> str:
        return FRAMED_COOKIE if _is_framed() else super().get_cookie_name(app)

    def get_cookie_path(self, app: Flask) -> str:
        return request.script_root or "/"

    def get_cookie_secure(self, app: Flask) -> bool:
        return _is_framed() or super().get_cookie_secure(app)

    def get_cookie_samesite(self, app: Flask) -> str | None:
        return "None" if _is_framed() else super().get_cookie_samesite(app)

    def get_cookie_partitioned(self, app: Flask) -> bool:
        return _is_framed() or super().get_cookie_partitioned(app)


def _is_framed() -> bool:
    if "is_framed" not in g:
        # A frame on our own origin uses the ordinary session.
        g.is_framed = _is_for_new_frame() or (_comes_from_frame() and FRAMED_COOKIE in request.cookies)
    return bool(g.is_framed)


def _is_for_new_frame() -> bool:
    """Whether the request is a hand-over into a frame, which must leave the ordinary session alone."""
    return request.path == "/handover" and request.headers.get("Sec-Fetch-Dest") == "iframe"


def _comes_from_frame() -> bool:
    """Whether the request is for the page in the frame, or comes from a script or a form in it."""
    came_from, _mark, _query = path_of_url(request.headers.get("Referer", "")).partition("?")
    is_from_script = request.headers.get("X-Embedded", "").endswith(" frame")
    return is_from_script or request.path.endswith(_FRAME_PAGE) or came_from.endswith(_FRAME_PAGE)
