"""Accounts and sign-in sessions."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import timedelta

from flask_babel import gettext as _
from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from app import throttle
from app.clock import now
from app.database import transaction
from app.extensions import db
from app.identity.passwords import hash_password, is_password_of
from app.models import LoginSession, ShellAccount, User
from app.problems import Conflict
from app.text import TextError, clean_email, fold

SESSION_LIFETIME = timedelta(days=7)
HANDED_OVER_LIFETIME = timedelta(hours=12)

# Asked at each request; made once, because making it takes longer than answering it.
_USER_OF_SESSION = (
    select(User)
    .join(LoginSession, LoginSession.user_id == User.id)
    .where(
        LoginSession.id == bindparam("session_id"),
        LoginSession.expires_at > bindparam("at"),
        # A session that was handed over for one portal is none for anything else, and the other way round.
        LoginSession.portal_id.is_not_distinct_from(bindparam("portal_id")),
    )
)
_FAILURES_OF_ACCOUNT = throttle.Limit("sign-in-account", 10, timedelta(minutes=15))
_FAILURES_FROM_ADDRESS = throttle.Limit("sign-in-address", 100, timedelta(minutes=15))


def authenticate(email: str, password: str, remote_address: str) -> User | None:
    """The account with this e-mail and password, or None.

    Known and unknown addresses cost the same work and get the same answer. Only failures count towards the
    limits, by account and by the caller's address; raises `TooManyRequests` when either is reached.
    """
    try:
        key: str | None = clean_email(email)
    except TextError:
        key = None
    account = key or email
    throttle.check(_FAILURES_OF_ACCOUNT, account)
    throttle.check(_FAILURES_FROM_ADDRESS, remote_address)
    user = find_user(key) if key else None
    if is_password_of(user.password_hash if user else None, password):
        return user
    with transaction():
        throttle.count(_FAILURES_OF_ACCOUNT, account)
        throttle.count(_FAILURES_FROM_ADDRESS, remote_address)
    return None


def find_user(email: str) -> User | None:
    """The account with this address, given in its clean form."""
    return db.session.scalar(select(User).where(User.email == email))


def create_user(email: str, name: str, password: str) -> User:
    """Make a verified account, as an operator does. Raises `Conflict` if the address has one already."""
    with transaction() as session:
        if find_user(email):
            raise Conflict(_("An account with the address %(email)s exists already.", email=email))
        user = new_user(email, name, hash_password(password))
        user.email_verified_at = now()
        session.add(user)
    return user


def new_user(email: str, name: str, password_hash: str) -> User:
    """An account that is not yet saved, from a clean address and name."""
    return User(email=email, name=name, name_folded=fold(name), password_hash=password_hash)


def open_session(user_id: int) -> str:
    """Start a login session and return its token, which exists nowhere but in the answer to the browser."""
    token = _new_token()
    with transaction() as session:
        session.add(LoginSession(id=session_id(token), user_id=user_id, expires_at=now() + SESSION_LIFETIME))
    return token


def open_handed_over_session(session: Session, account: ShellAccount, portal_id: str) -> str:
    """The same for somebody whom a host shell hands over, good for one portal only. In the caller's transaction."""
    token = _new_token()
    session.add(
        LoginSession(
            id=session_id(token),
            user_id=account.user_id,
            portal_id=portal_id,
            shell_account_id=account.id,
            expires_at=now() + HANDED_OVER_LIFETIME,
        )
    )
    return token


def close_sessions(tokens: Collection[str]) -> None:
    """End login sessions on the server: a copy of their cookie is worth nothing from now on."""
    with transaction() as session:
        session.execute(delete(LoginSession).where(LoginSession.id.in_([session_id(token) for token in tokens])))


def user_of_session(token: str, portal_id: str | None = None) -> User | None:
    """The user of a live login session: with `portal_id`, of one that was handed over for just this portal."""
    found = {"session_id": session_id(token), "at": now(), "portal_id": portal_id}
    user = db.session.scalar(_USER_OF_SESSION, found)
    if user is not None:
        user.session_token = token
        user.handed_over_to = portal_id
    return user


def session_id(token: str) -> str:
    """What the database keeps of a session's token."""
    return hashlib.sha256(token.encode()).hexdigest()


def prune_sessions() -> int:
    """Delete login sessions that have ended; returns how many."""
    result = db.session.execute(delete(LoginSession).where(LoginSession.expires_at <= now()))
    return result.rowcount  # type: ignore[attr-defined,no-any-return]


def _new_token() -> str:
    return secrets.token_urlsafe(32)
