"""Accounts and sign-in sessions."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, and_, bindparam, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.passwords import hash_password, password_fault
from app.accounts.security.factors import drop_factors
from app.audit import service as audit
from app.audit.caller import present_caller
from app.audit.service import AuditKind
from app.core.clock import now
from app.core.errors import Conflict, DomainError
from app.core.text import fold
from app.core.user_agents import read_device
from app.db.transactions import transaction
from app.extensions import db
from app.models import (
    ClientStatus,
    ColleagueInvitation,
    ImportedClient,
    LoginSession,
    Membership,
    Portal,
    ShellAccount,
    User,
)

SESSION_LIFETIME = timedelta(days=7)
HANDED_OVER_LIFETIME = timedelta(hours=12)
_MOST_SESSIONS = 20
"""For each person, or each person of a host shell. Beyond this number the oldest sessions end."""

# Runs at each request. Built once, because building it takes longer than running it.
_USER_OF_SESSION = (
    select(User, LoginSession.last_seen_at)
    .join(LoginSession, LoginSession.user_id == User.id)
    .where(
        LoginSession.id == bindparam("session_id"),
        LoginSession.expires_at > bindparam("at"),
        # A session handed over for one portal counts only there; an ordinary session has no portal.
        LoginSession.portal_id.is_not_distinct_from(bindparam("portal_id")),
        User.disabled_at.is_(None),
    )
)


def is_found_by(email: str) -> ColumnElement[bool]:
    """The condition for the account with this address, given in its clean form (`clean_email`).

    Excludes accounts whose address only a host shell vouches for.
    """
    return and_(User.email == email, User.vouched_by.is_(None))


def signs_in_by(email: str) -> ColumnElement[bool]:
    """The condition for the account that somebody may sign in to with this address, in its clean form.

    To whoever signs in or asks for a reset, a disabled account is as if it did not exist.
    """
    return and_(is_found_by(email), User.disabled_at.is_(None))


def find_user(email: str) -> User | None:
    """The account with this address, given in its clean form (`is_found_by`)."""
    return db.session.scalar(select(User).where(is_found_by(email)))


def create_user(email: str, name: str, password: str) -> User:
    """Create a verified account, as an operator does.

    An account that was never verified is converted, because otherwise whoever registers first with somebody's address
    would keep the owner out. Nothing of its earlier registration remains. Raises `Conflict` if the address has an
    account that was ever verified or is disabled, and `DomainError` if the password is not good enough.
    """
    fault = password_fault(password, names=[name], email=email)
    if fault:
        raise DomainError(fault)
    password_hash = hash_password(password)  # before the transaction, because hashing is slow on purpose
    try:
        with transaction() as session:
            found = find_user(email)
            if found is not None:
                forget_registrations(session, found.id)
            user = lock_account(session, found.id) if found is not None else None
            if user is None:
                user = new_user(email, name, password_hash)
                session.add(user)
            elif user.email_verified_at is not None or user.disabled_at is not None:
                raise _exists(email)
            else:
                hand_to_owner(session, user, name, password_hash)
            mark_verified(user)
    except IntegrityError:
        # Somebody created one between our query and our insert.
        raise _exists(email) from None
    return user


def accounts_verified_by_portal() -> Sequence[User]:
    """The accounts that count as verified in one portal only, ordered by address."""
    query = select(User).where(User.verified_for_portal_id.is_not(None)).order_by(User.email)
    return db.session.scalars(query).all()


def lock_account(session: Session, user_id: int) -> User | None:
    """The current state of an account, locked until the transaction ends; None if it no longer exists."""
    # FOR NO KEY UPDATE on PostgreSQL: others may meanwhile write rows that refer to the user.
    return session.get(User, user_id, populate_existing=True, with_for_update={"key_share": True})


def names_around(user: User) -> list[str]:
    """The person's name, and the names of the companies and portals that the account belongs to."""
    # A stranger may have registered an unproven account, and their name must not be revealed.
    return [*([] if user.is_unproven else [user.name]), *places_around(user)]


def places_around(user: User) -> list[str]:
    """The names of the companies and portals that an account belongs to."""
    portals = select(Portal.name).join(Membership).where(Membership.user_id == user.id)
    teams = select(Portal.name).join(ColleagueInvitation).where(ColleagueInvitation.user_id == user.id)
    clients = select(ImportedClient.company_name, Portal.name).join(Portal, Portal.id == ImportedClient.portal_id)
    rows = db.session.execute(clients.where(ImportedClient.user_id == user.id)).all()
    return [*db.session.scalars(portals), *db.session.scalars(teams), *(name for row in rows for name in row)]


def mark_verified(user: User) -> None:
    """Mark a locked account's address as proved to be its owner's."""
    user.email_verified_at = now()
    user.verified_for_portal_id = None
    user.registration_key = None


def hand_to_owner(session: Session, user: User, name: str, password_hash: str) -> None:
    """Give a locked account to the owner of its address. Nothing that opened it before still opens it.

    Its sessions end, its second factor is gone, and host shells have to hand it over again.
    """
    user.name, user.name_folded = name, fold(name)
    user.password_hash = password_hash
    # A raised generation invalidates the links that were mailed before.
    user.verification_generation += 1
    user.reset_generation += 1
    user.first_signed_in_at = None
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.id))
    drop_factors(session, user.id)
    user.passkey_handle = None
    session.execute(delete(ShellAccount).where(ShellAccount.user_id == user.id))


def forget_registrations(session: Session, user_id: int) -> None:
    """Make the invitation links usable again that an account was registered with and has not joined by.

    In the caller's transaction. Locks the clients and the colleagues' invitations.
    """
    pending = select(ImportedClient).where(
        ImportedClient.user_id == user_id, ImportedClient.status == ClientStatus.INVITE_SENT
    )
    ordered = pending.order_by(ImportedClient.portal_id, ImportedClient.id)
    for client in session.scalars(ordered.with_for_update()):
        client.forget_registration()
    colleagues = select(ColleagueInvitation).where(
        ColleagueInvitation.user_id == user_id, ColleagueInvitation.accepted_at.is_(None)
    )
    for invitation in session.scalars(colleagues.order_by(ColleagueInvitation.id).with_for_update()):
        invitation.forget_registration()


def no_account(email: str) -> DomainError:
    # For operators, so it is in English.
    return DomainError(f"There is no account with the address {email}.")


def unverified_account(email: str) -> DomainError:
    """The refusal to give anything to an account of which nobody knows whose it is. For operators."""
    return DomainError(
        f"The address of the account {email} is not verified, so it may belong to someone else. Nothing was changed."
        " Ask its owner to verify it, or to choose a new password by “Forgot your password?”."
    )


def _exists(email: str) -> Conflict:
    return Conflict(_("An account with the address %(email)s already exists.", email=email))


def new_user(email: str, name: str, password_hash: str) -> User:
    """An unsaved account. `email` and `name` must already be in their clean form."""
    return User(email=email, name=name, name_folded=fold(name), password_hash=password_hash)


def open_session(session: Session, user_id: int, confirmed_at: datetime | None = None) -> str:
    """Begin a login session and return its token. Only the browser keeps the token; the database holds a hash.

    `confirmed_at`: when a second factor was shown, if one was. Runs in the caller's transaction. The caller has locked
    the account's row, so two concurrent sign-ins count each other's session.
    """
    token = _new_token()
    begun = LoginSession(user_id=user_id, expires_at=now() + SESSION_LIFETIME, confirmed_at=confirmed_at)
    _add(session, token, begun, LoginSession.user_id == user_id, LoginSession.portal_id.is_(None))
    return token


def open_handed_over_session(session: Session, account: ShellAccount, portal_id: str) -> str:
    """Begin a session for a person handed over by a host shell, valid for one portal, and return its token.

    Runs in the caller's transaction. The caller has locked the issuer's row.
    """
    token = _new_token()
    begun = LoginSession(
        user_id=account.user_id,
        portal_id=portal_id,
        shell_account_id=account.id,
        expires_at=now() + HANDED_OVER_LIFETIME,
    )
    _add(session, token, begun, LoginSession.shell_account_id == account.id)
    return token


def renew_session(held: LoginSession) -> str:
    """Give a locked login session another token, and return it. The former one opens nothing any more."""
    token = _new_token()
    held.id = session_id(token)
    return token


def _add(session: Session, token: str, begun: LoginSession, *same_person: ColumnElement[bool]) -> None:
    """Add a session of the present caller, and end the same person's oldest sessions beyond `_MOST_SESSIONS`."""
    caller = present_caller()
    device = read_device(caller.user_agent)
    begun.id, begun.network, begun.last_seen_at = session_id(token), caller.network, now()
    begun.browser, begun.system = device.browser, device.system
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
    """End login sessions on the server, so that a copied cookie is worthless from now on."""
    with transaction() as session:
        close_sessions_in(session, tokens)


def sign_out(tokens: Collection[str]) -> None:
    """End the login sessions of a browser whose person signs out."""
    with transaction() as session:
        ids = [session_id(token) for token in tokens]
        theirs = select(LoginSession.user_id, LoginSession.portal_id).where(LoginSession.id.in_(ids))
        found = session.execute(theirs.order_by(LoginSession.user_id, LoginSession.portal_id)).all()
        close_sessions_in(session, tokens)
        for user_id, portal_id in found:
            audit.record_of_account(user_id, AuditKind.SIGNED_OUT, by_owner=True, only_in=portal_id)


def close_sessions_in(session: Session, tokens: Collection[str]) -> None:
    """Like `close_sessions`, in the caller's transaction."""
    if tokens:
        session.execute(delete(LoginSession).where(LoginSession.id.in_([session_id(token) for token in tokens])))


def user_of_session(token: str, portal_id: str | None = None) -> User | None:
    """The user of a live login session, or None.

    With `portal_id`, only a session handed over for that portal counts.
    """
    found = {"session_id": session_id(token), "at": now(), "portal_id": portal_id}
    row = db.session.execute(_USER_OF_SESSION, found).first()
    if row is None:
        return None
    user, seen_at = row
    user.session_token, user.handed_over_to, user.session_seen_at = token, portal_id, seen_at
    return user


def session_id(token: str) -> str:
    """The hash of a session's token, which the database stores in place of the token."""
    return hashlib.sha256(token.encode()).hexdigest()


def prune_sessions() -> int:
    """Delete expired login sessions. Returns their number."""
    result = db.session.execute(delete(LoginSession).where(LoginSession.expires_at <= now()))
    return result.rowcount  # type: ignore[attr-defined,no-any-return]


def _new_token() -> str:
    return secrets.token_urlsafe(32)
