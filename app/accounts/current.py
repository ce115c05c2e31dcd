"""The user of the current request.

A browser holds either one sign-in of our own or sessions handed over by host shells, at most one for each portal. A
handed-over session counts only for requests to its own portal; everywhere else its user is not signed in.
"""

from __future__ import annotations

import secrets
from typing import cast

from flask import Request, Response, current_app, g, make_response, request, session
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import inspect

from app.accounts.known_browsers import account_of
from app.accounts.users import user_of_session
from app.extensions import login
from app.models import User

_SIGNED_IN = "_user_id"  # Flask-Login's own
_HANDED_OVER = "handed_over"
_MOST_PORTALS = 10
_KNOWN_BROWSER = "known_browser"
_KNOWN_FOR = 365 * 24 * 60 * 60
_MOST_ACCOUNTS = 5
_BETWEEN_TOKENS = "~"
_PASSKEY_BROWSER = "passkey_browser"

login.user_loader(user_of_session)


@login.request_loader
def _handed_over_here(request: Request) -> User | None:
    """The user who was handed over for the portal of this request, or None."""
    portal_id = (request.view_args or {}).get("portal_id", "")
    token = _handed_over_tokens().get(portal_id)
    return user_of_session(token, portal_id) if token else None


def signed_in_user() -> User | None:
    """The user who is signed in for this request, or None."""
    user = cast(User, current_user)
    return user if user.is_authenticated else None


def known_user_id() -> int | None:
    """The id of the user who is signed in, without a query: None unless this request has already loaded its user.

    For code that also runs while the database is unavailable. A commit expires what was loaded, but not the identity.
    """
    user = signed_in_user() if "_login_user" in g else None
    identity = inspect(g._login_user).identity if user else None
    return identity[0] if identity else None


def the_user() -> User:
    """The user of a request that a guard has let through. Raises `RuntimeError` if nobody is signed in."""
    user = signed_in_user()
    if user is None:
        raise RuntimeError("a view without a guard asks who is signed in")
    return user


def handed_over() -> dict[str, User]:
    """The users handed over in this browser, by portal id; for the few pages whose URL names no portal."""
    found = {portal_id: user_of_session(token, portal_id) for portal_id, token in _handed_over_tokens().items()}
    return {portal_id: user for portal_id, user in found.items() if user is not None}


def is_handed_over_elsewhere() -> bool:
    """Whether this browser holds live handed-over sessions, but none for the portal of this request."""
    portal_id = (request.view_args or {}).get("portal_id")
    return portal_id not in _handed_over_tokens() and bool(handed_over())


def remember_handed_over(portal_id: str, token: str) -> list[str]:
    """Keep the session that was handed over for a portal.

    Returns the tokens of the portals dropped for lack of room.
    """
    tokens = {key: value for key, value in _handed_over_tokens().items() if key != portal_id} | {portal_id: token}
    dropped = list(tokens)[:-_MOST_PORTALS]
    session[_HANDED_OVER] = {key: value for key, value in tokens.items() if key not in dropped}
    return [tokens[key] for key in dropped]


def tokens_of_browser() -> list[str]:
    """The tokens of all sessions that this browser holds, whether live or ended."""
    own = session.get(_SIGNED_IN)
    return [*([own] if own else []), *_handed_over_tokens().values()]


def browser_tokens() -> list[str]:
    """The known-browser tokens of this browser, one for each of its latest accounts (`app.accounts.known_browsers`)."""
    tokens = request.cookies.get(_KNOWN_BROWSER, "").split(_BETWEEN_TOKENS)
    return [token for token in tokens if token][-_MOST_ACCOUNTS:]


def remember_browser(response: ResponseReturnValue, token: str) -> Response:
    """Store an account's known-browser token in a cookie, replacing any older token of that account.

    The cookie survives signing out.
    """
    others = [other for other in browser_tokens() if account_of(other) != account_of(token)]
    remembering = make_response(response)
    remembering.set_cookie(
        _KNOWN_BROWSER,
        _BETWEEN_TOKENS.join([*others, token][-_MOST_ACCOUNTS:]),
        max_age=_KNOWN_FOR,
        path=request.script_root or "/",
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
    return remembering


def passkey_browser() -> str:
    """The token of this browser to which challenges for passkeys are bound. It is made when it is first asked for.

    A page that offers passkeys asks for it, so that what its script then fetches leaves the cookie as it is.
    """
    return cast(str, session.setdefault(_PASSKEY_BROWSER, secrets.token_urlsafe(16)))


def _handed_over_tokens() -> dict[str, str]:
    return dict(session.get(_HANDED_OVER, {}))


def be_nobody() -> None:
    """Treat the rest of this request as signed out, because the database cannot answer who is signed in."""
    g._login_user = login.anonymous_user()
