"""Sign-ins that wait for their second factor.

The password was right. The browser holds a token, and the database a row that is found by its hash. The row opens
nothing: within ten minutes it says whose second factor is to be shown, and it ends when that is done. A new password
ends it as well.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.accounts.security.factors import has_second_factor
from app.accounts.users import lock_account
from app.core.clock import now
from app.extensions import db
from app.models import PendingSignIn, User

LIFETIME = timedelta(minutes=10)


class PendingEnded(Exception):
    """The pending sign-in has ended, or never was one. Whoever wants in has to give the password again."""


@dataclass(frozen=True)
class Pending:
    """A pending sign-in that has not ended."""

    user_id: int
    email: str
    """Of the account."""


def open_pending(session: Session, user: User) -> str:
    """Let a sign-in to a locked account wait for its second factor. Returns the token, which only the browser keeps."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(PendingSignIn).where(PendingSignIn.user_id == user.id, PendingSignIn.expires_at <= now()))
    session.add(
        PendingSignIn(
            id=_digest(token),
            user_id=user.id,
            password_digest=_digest(user.password_hash),
            expires_at=now() + LIFETIME,
        )
    )
    return token


def look_up_pending(token: str) -> Pending:
    """The pending sign-in with this token. Raises `PendingEnded`."""
    found = db.session.execute(
        select(PendingSignIn.user_id, PendingSignIn.password_digest, User.email, User.password_hash)
        .join(User, User.id == PendingSignIn.user_id)
        .where(PendingSignIn.id == _digest(token), PendingSignIn.expires_at > now(), User.disabled_at.is_(None))
    ).first()
    if found is None or found.password_digest != _digest(found.password_hash) or not has_second_factor(found.user_id):
        raise PendingEnded
    return Pending(found.user_id, found.email)


def use_pending(session: Session, user_id: int, token: str) -> User:
    """End a pending sign-in, and return its account, locked. In the caller's transaction. Raises `PendingEnded`."""
    user = lock_account(session, user_id)
    used = session.scalar(
        delete(PendingSignIn)
        .where(PendingSignIn.id == _digest(token), PendingSignIn.user_id == user_id, PendingSignIn.expires_at > now())
        .returning(PendingSignIn.password_digest)
    )
    if user is None or user.disabled_at is not None or used != _digest(user.password_hash):
        raise PendingEnded
    return user


def prune_pending() -> int:
    """Delete the pending sign-ins that have expired. Returns their number."""
    result = db.session.execute(delete(PendingSignIn).where(PendingSignIn.expires_at <= now()))
    return result.rowcount  # type: ignore[attr-defined,no-any-return]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
