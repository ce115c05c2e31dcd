"""Accounts and sign-in sessions."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, and_, bindparam, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.passwords import hash_password, password_fault
from app.core.clock import now
from app.core.errors import Conflict, DomainError
from app.core.text import fold
from app.db.transactions import transaction
from app.extensions import db
from app.models import ClientStatus, ImportedClient, LoginSession, ShellAccount, User

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


def is_found_by(email: str) -> ColumnElement[bool]:
    """The account with this address, given in its clean form; not one that only a host shell's word is good for."""
    return and_(User.email == email, User.vouched_by.is_(None))


def find_user(email: str) -> User | None:
    """The account with this address, given in its clean form (`is_found_by`)."""
    return db.session.scalar(select(User).where(is_found_by(email)))


def create_user(email: str, name: str, password: str) -> User:
    """Make a verified account, as an operator does.

    One that was never verified is made into it: else whoever registers with somebody's address first would keep them
    out. Nothing of theirs remains. Raises `Conflict` if the address has an account that was ever verified, and
    `DomainError` if the password is not good enough.
    """
    fault = password_fault(password, names=[name], email=email)
    if fault:
        raise DomainError(fault)
    password_hash = hash_password(password)  # before the transaction: it is slow on purpose
    try:
        with transaction() as session:
            found = find_user(email)
            if found is not None:
                _forget_registrations(session, found.id)
            user = lock_account(session, found.id) if found is not None else None
            if user is None:
                user = new_user(email, name, password_hash)
                session.add(user)
            elif user.email_verified_at is not None:
                raise _exists(email)
            else:
                hand_to_owner(session, user, name, password_hash)
            mark_verified(user)
    except IntegrityError:
        # Somebody has made one at this very moment.
        raise _exists(email) from None
    return user


def accounts_verified_by_portal() -> Sequence[User]:
    """The accounts that count as verified in one portal only, by their address."""
    query = select(User).where(User.verified_for_portal_id.is_not(None)).order_by(User.email)
    return db.session.scalars(query).all()


def lock_account(session: Session, user_id: int) -> User | None:
    """An account as it is now, held until the end of the transaction; None if it is gone."""
    # NO KEY UPDATE: rows that point at the user may be written meanwhile.
    return session.get(User, user_id, populate_existing=True, with_for_update={"key_share": True})


def mark_verified(user: User) -> None:
    """Note that the address of a locked account is proved to be its owner's."""
    user.email_verified_at = now()
    user.verified_for_portal_id = None
    user.registration_key = None


def hand_to_owner(session: Session, user: User, name: str, password_hash: str) -> None:
    """Give a locked account to the owner of its address: whatever opened it before opens it no more.

    Its sessions end, and host shells have to hand it over anew.
    """
    user.name, user.name_folded = name, fold(name)
    user.password_hash = password_hash
    # Links that were mailed before open nothing any more.
    user.verification_generation += 1
    user.reset_generation += 1
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.id))
    session.execute(delete(ShellAccount).where(ShellAccount.user_id == user.id))


def _forget_registrations(session: Session, user_id: int) -> None:
    """The links that an account was registered with work again."""
    pending = select(ImportedClient).where(
        ImportedClient.user_id == user_id, ImportedClient.status == ClientStatus.INVITE_SENT
    )
    ordered = pending.order_by(ImportedClient.portal_id, ImportedClient.id)
    for client in session.scalars(ordered.with_for_update()):
        client.forget_registration()


def _exists(email: str) -> Conflict:
    return Conflict(_("An account with the address %(email)s exists already.", email=email))


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
