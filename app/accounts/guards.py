"""What views of accounts have in common: whose account it is, and how a browser is signed in.

The views of one's own account are for whoever has signed in with an account of ours. Who was handed over by a host
shell gets the 404 of a page that does not exist: their shell looks after their account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

from flask import Response, redirect, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_user

from app.accounts.current import handed_over, remember_browser, signed_in_user
from app.accounts.last_seen import note_seen, seen_session
from app.accounts.own_account import SessionEnded
from app.accounts.sign_in import SignedIn
from app.accounts.users import user_of_session
from app.core.errors import NotFound
from app.extensions import login
from app.models import Role, User
from app.portals.service import memberships_of
from app.web.cookies import empty_session
from app.web.responses import wants_fragment

_PENDING_SIGN_IN = "pending_sign_in"


@dataclass(frozen=True)
class Owner:
    """Who asks, as the account was when the request began."""

    user_id: int
    token: str
    """Of their session."""
    name: str
    email: str
    has_password: bool


def of_owner(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Guard a view of one's own account. The view is called with the `Owner`."""

    @wraps(view)
    def guarded(**kwargs: Any) -> ResponseReturnValue:
        user = signed_in_user()
        if user is None:
            if handed_over():
                raise NotFound
            return cast(ResponseReturnValue, login.unauthorized())
        if not user.is_verified:
            return _verify_first()
        seen = seen_session(user)
        try:
            response = view(_owner(user), **kwargs)
        except SessionEnded:
            return cast(ResponseReturnValue, login.unauthorized())
        note_seen(seen)
        return response

    guarded.needs_session = True  # type: ignore[attr-defined]
    return guarded


def complete_sign_in(signed_in: SignedIn, next_path: str | None) -> Response | None:
    """Sign this browser in to the session that has just begun, and lead on. None if the session has ended meanwhile.

    `next_path`: where its person wanted to go, by default the page that they land on.
    """
    user = user_of_session(signed_in.session_token)
    if user is None:
        return None
    # Nothing from before sign-in survives, such as a session id fixed by an attacker or an old CSRF token.
    empty_session()
    target = next_path or landing_page(user.id)
    if user.verified_for_portal_id is not None:
        target = url_for("registration.verify_notice", next=next_path)
    login_user(user)
    return remember_browser(redirect(target, 303), signed_in.browser_token)


def landing_page(user_id: int) -> str:
    """The URL after sign-in: the only portal of an admin or staff member, and the choice of portals for all others."""
    memberships = memberships_of(user_id)
    if len(memberships) == 1 and memberships[0].role is not Role.CLIENT:
        return url_for("accounts.index", portal_id=memberships[0].portal_id)
    return url_for("portals.choose")


def remember_pending(token: str) -> None:
    """Keep the token of a pending sign-in in this browser. It goes when somebody is signed in, and when they leave."""
    session[_PENDING_SIGN_IN] = token


def pending_token() -> str:
    """The token of this browser's pending sign-in. Empty if it holds none."""
    return str(session.get(_PENDING_SIGN_IN, ""))


def _verify_first() -> ResponseReturnValue:
    notice = url_for("registration.verify_notice", next=url_for("account.show"))
    return ("", 401, {"HX-Redirect": notice}) if wants_fragment() else redirect(notice, 303)


def _owner(user: User) -> Owner:
    return Owner(user.id, user.get_id(), user.name, user.email, bool(user.password_hash))
