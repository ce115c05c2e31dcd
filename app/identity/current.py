"""Who is asking, in a request."""

from __future__ import annotations

from typing import cast

from flask import g
from flask_login import current_user

from app.extensions import login
from app.models import User


def signed_in_user() -> User | None:
    """The user of this request's login session, if there is one."""
    user = cast(User, current_user)
    return user if user.is_authenticated else None


def the_user() -> User:
    """The user of a request that a guard has let through."""
    user = signed_in_user()
    if user is None:
        raise RuntimeError("a view without a guard asks who is signed in")
    return user


def be_nobody() -> None:
    """For the rest of the request do not ask the database who is signed in: it cannot answer just now."""
    g._login_user = login.anonymous_user()
