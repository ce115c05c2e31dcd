"""Accounts and sign-in sessions."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import timedelta

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, bindparam, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.clock import now
from app.database import transaction
from app.extensions import db
from app.identity.passwords import hash_password, password_fault
from app.models import LoginSession, ShellAccount, User
from app.problems import Conflict, Problem
from app.text import fold

SESSION_LIFETIME = timedelta(days=7)
HANDED_OVER_LIFETIME = timedelta(hours=12)
_MOST_SESSIONS = 20
"""Of one person, or of one person of a host shell: the oldest end when there would be more."""

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


def find_user(email: str) -> User | None:
    """The account with this address, given in its clean form."""
    return db.session.scalar(select(User).where(User.email == email))


def create_user(email: str, name: str, password: str) -> User:
    """Make a verified account, as an operator does.

    Raises `Conflict` if the address has one already, and `Problem` if the password is not good enough.
    """
    fault = password_fault(password, names=[name], email=email)
    if fault:
        raise Problem(fault)
    user = new_user(email, name, hash_password(password))
    user.email_verified_at = now()
    try:
        with transaction() as session:
            session.add(user)
    except IntegrityError:
        raise Conflict(_("An account with the address %(email)s exists already.", email=email)) from None
    return user


def new_user(email: str, name: str, password_hash: str) -> User:
    """An account that is not yet saved, from a clean address and name."""
    return User(email=email, name=name, name_folded=fold(name), password_hash=password_hash)


def open_session(session: Session, user_id: int) -> str:
    """Start a login session and return its token, which exists nowhere but in the answer to the browser.

    In the caller's transaction, which holds the account's row: so two that begin at once count each other.
    """
    token = _new_token()
    begun = LoginSession(id=session_id(token), user_id=user_id, expires_at=now() + SESSION_LIFETIME)
    _add(session, begun, LoginSession.user_id == user_id, LoginSession.portal_id.is_(None))
    return token


def open_handed_over_session(session: Session, account: ShellAccount, portal_id: str) -> str:
    """The same for somebody whom a host shell hands over, good for one portal only. The caller holds the issuer."""
    token = _new_token()
    begun = LoginSession(
        id=session_id(token),
        user_id=account.user_id,
        portal_id=portal_id,
        shell_account_id=account.id,
        expires_at=now() + HANDED_OVER_LIFETIME,
    )
    _add(session, begun, LoginSession.shell_account_id == account.id)
    return token


def _add(session: Session, begun: LoginSession, *same_person: ColumnElement[bool]) -> None:
    """Add a session, and end those of the same person for which there is no room any more."""
    older = (
        select(LoginSession.id)
        .where(*same_person)
        .order_by(LoginSession.created_at.desc(), LoginSession.id)
        .offset(_MOST_SESSIONS - 1)
    )
    ended = session.scalars(older).all()
    if ended:
        session.execute(delete(LoginSession).where(LoginSession.id.in_(ended)))
    session.add(begun)


def close_sessions(tokens: Collection[str]) -> None:
    """End login sessions on the server: a copy of their cookie is worth nothing from now on."""
    with transaction() as session:
        close_sessions_in(session, tokens)


def close_sessions_in(session: Session, tokens: Collection[str]) -> None:
    """The same in the caller's transaction."""
    if tokens:
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
