"""The cookie that keeps a browser's session: sent to our own addresses only, and what frames on other sites need."""

from __future__ import annotations

from flask import Flask, Response, request, session
from flask.sessions import SecureCookieSessionInterface, SessionMixin

_FRAMED = "framed"


def be_framed(is_framed: bool) -> None:
    """Say whether this browser's session lives in a frame on another site."""
    if is_framed:
        session[_FRAMED] = True
    else:
        session.pop(_FRAMED, None)


def is_framed() -> bool:
    """Whether it does."""
    return _FRAMED in session


class ScopedSessions(SecureCookieSessionInterface):
    """Flask's own, with the path under which we are mounted: no other application of the host is sent the cookie."""

    def get_cookie_path(self, app: Flask) -> str:
        return request.script_root or "/"

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if _FRAMED in session:
            _FRAMED_SESSIONS.save_session(app, session, response)
        else:
            super().save_session(app, session, response)


class _FramedSessions(SecureCookieSessionInterface):
    """Browsers keep the cookie of a frame on another site only if it is all of this.

    It is kept apart for each site that frames us, so it is none of the third-party cookies that they block.
    """

    get_cookie_path = ScopedSessions.get_cookie_path

    def get_cookie_secure(self, app: Flask) -> bool:
        return True

    def get_cookie_samesite(self, app: Flask) -> str:
        return "None"

    def get_cookie_partitioned(self, app: Flask) -> bool:
        return True


_FRAMED_SESSIONS = _FramedSessions()
