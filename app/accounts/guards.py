"""What views of accounts have in common: whose account it is.

The views of one's own account are for whoever has signed in with an account of ours. Who was handed over by a host
shell gets the 404 of a page that does not exist: their shell looks after their account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from app.accounts.current import handed_over, signed_in_user
from app.accounts.last_seen import note_seen, seen_session
from app.accounts.own_account import SessionEnded
from app.core.errors import NotFound
from app.extensions import login
from app.models import User
from app.web.responses import wants_fragment


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


def _verify_first() -> ResponseReturnValue:
    notice = url_for("registration.verify_notice", next=url_for("account.show"))
    return ("", 401, {"HX-Redirect": notice}) if wants_fragment() else redirect(notice, 303)


def _owner(user: User) -> Owner:
    return Owner(user.id, user.get_id(), user.name, user.email, bool(user.password_hash))
