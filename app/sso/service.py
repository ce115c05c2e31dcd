"""Handing people over: find or make their account, set their role in the portal, and begin a session.

An issuer gains nothing outside its portals. It may link a person to an account that exists, but it cannot change that
account's password, name or address, and the session is valid for one portal only. An issuer may rename an account that
it made itself, as long as nobody else has a claim to the account. An account with a password or a verified address
belongs to its owner. An account that is used outside the issuer's portals, or that another issuer hands over, is shared
with others. If the issuer could still change the address of such an account, it could take the account over.

Registering with the address of a shell's person gains nothing either: see `_user_with`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import and_, delete, exists, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.email_change import had_address
from app.accounts.passwords import NO_PASSWORD
from app.accounts.users import new_user, open_handed_over_session, session_id
from app.audit import service as audit
from app.audit.caller import acting_as
from app.audit.service import AuditKind
from app.core.clock import now
from app.core.text import fold
from app.db.bulk_insert import insert_or
from app.db.transactions import transaction
from app.extensions import db
from app.models import (
    ActorKind,
    EndedAccess,
    ImportedClient,
    LoginSession,
    Membership,
    Role,
    ShellAccount,
    ShellIssuer,
    ShellIssuerPortal,
    UsedToken,
    User,
)
from app.portals.ended_access import AccessEnded, carry_over
from app.portals.service import set_role
from app.sso import tokens
from app.sso.issuers import key_source
from app.sso.keys import KeyRing
from app.sso.tokens import HandOver, Refused

_CLOCKS_APART = timedelta(hours=1)


@dataclass(frozen=True)
class HandedOver:
    """The result of a hand-over."""

    issuer: str
    portal_id: str
    role: Role
    session_token: str
    was_here: bool
    """Whether this browser was handed over for the same person before. If so, its other sessions are theirs as well."""


class HandedOverWithoutAccess(Refused):
    """The token is good, but the portal has ended the person's access."""

    def __init__(self, portal_id: str) -> None:
        super().__init__("access ended")
        self.portal_id = portal_id


def hand_over(token: str, sessions_before: Collection[str]) -> HandedOver:
    """Find or make the account of the person that a token hands over, set their role, and begin a session.

    `sessions_before` are the tokens of the browser's sessions. They end, except for handed-over sessions of the same
    person for other portals. Raises `Refused`, and then nothing has changed: `HandedOverWithoutAccess` if the portal
    has ended the person's access, whatever role the token gives them.
    """
    issuer, claims = _signed(token)
    try:
        said = tokens.read_hand_over(claims, audience=current_app.config["PUBLIC_BASE_URL"], at=now())
        with transaction() as session, acting_as(ActorKind.SHELL):
            issuer_id = _locked_issuer(session, issuer)
            _check_portal(session, issuer_id, said.portal_id)
            _use(session, issuer, said.jti, said.expires_at)
            account = _account(session, issuer_id, issuer, said)
            set_role(session, said.portal_id, account.user_id, said.role)
            was_here = _end_sessions_before(session, sessions_before, account, said.portal_id)
            token_of_session = open_handed_over_session(session, account, said.portal_id)
            audit.record_of_account(account.user_id, AuditKind.SIGNED_IN, by_owner=True, only_in=said.portal_id)
    except AccessEnded:
        raise HandedOverWithoutAccess(said.portal_id) from None
    except Refused as refusal:
        raise Refused(refusal.reason, issuer) from refusal
    return HandedOver(issuer, said.portal_id, said.role, token_of_session, was_here)


def end_sessions(logout_token: str) -> None:
    """Do what a back-channel token asks for: end a person's sessions, and set their role if the token says one.

    A person who was never handed over has no sessions, so that request succeeds as well. Raises `Refused`.
    """
    issuer, claims = _signed(logout_token)
    try:
        said = tokens.read_logout(claims, audience=current_app.config["PUBLIC_BASE_URL"], at=now())
        with transaction() as session, acting_as(ActorKind.SHELL):
            issuer_id = _locked_issuer(session, issuer)
            if said.portal_id is not None:
                _check_portal(session, issuer_id, said.portal_id)
            _use(session, issuer, said.jti, said.expires_at)
            account = _find_account(session, issuer_id, said.subject)
            if account is None:
                return
            ended = delete(LoginSession).where(LoginSession.shell_account_id == account.id)
            if said.portal_id is not None:
                ended = ended.where(LoginSession.portal_id == said.portal_id)
                if said.changes_role and _may_change_role(session, account, said.portal_id, said.role):
                    # The portal has the last word: see `hand_over`.
                    with suppress(AccessEnded):
                        set_role(session, said.portal_id, account.user_id, said.role)
            portal_ids = session.scalars(ended.returning(LoginSession.portal_id)).all()
            for portal_id in sorted(set(filter(None, portal_ids))):
                audit.record_of_account(account.user_id, AuditKind.SIGNED_OUT, by_owner=True, only_in=portal_id)
    except Refused as refusal:
        raise Refused(refusal.reason, issuer) from refusal


def prune_used_tokens() -> int:
    """Delete used tokens that have expired on every machine, even where clocks differ. Returns their number."""
    result = db.session.execute(delete(UsedToken).where(UsedToken.expires_at <= now() - _CLOCKS_APART))
    return result.rowcount  # type: ignore[attr-defined,no-any-return]


def _signed(token: str) -> tuple[str, Mapping[str, Any]]:
    """The issuer and claims of a token, after checking its signature. Raises `Refused`."""
    envelope = tokens.open_envelope(token)
    source = key_source(envelope.issuer)
    if source is None:
        raise Refused("unknown issuer")
    ring: KeyRing = current_app.extensions["issuer_keys"]
    key = ring.find(source, envelope)
    if key is None:
        raise Refused("unknown key", source.issuer)
    try:
        return source.issuer, tokens.check_signature(token, key)
    except Refused as refusal:
        raise Refused(refusal.reason, source.issuer) from refusal


def _locked_issuer(session: Session, issuer: str) -> int:
    """The issuer's id. Locks its row until the transaction ends, so that hand-overs of one issuer do not overlap."""
    issuer_id = session.scalar(
        select(ShellIssuer.id).where(ShellIssuer.issuer == issuer).with_for_update(key_share=True)
    )
    if issuer_id is None:
        raise Refused("unknown issuer")  # removed between the signature check and this lock
    return issuer_id


def _check_portal(session: Session, issuer_id: int, portal_id: str) -> None:
    if session.get(ShellIssuerPortal, (issuer_id, portal_id)) is None:
        raise Refused("portal")


def _use(session: Session, issuer: str, jti: str, expires_at: datetime) -> None:
    values = {"issuer": issuer, "jti": jti, "expires_at": expires_at}
    first_use = insert_or(session, UsedToken).values(values).on_conflict_do_nothing().returning(UsedToken.jti)
    if session.scalar(first_use) is None:
        raise Refused("replayed")


def _find_account(session: Session, issuer_id: int, subject: str) -> ShellAccount | None:
    return session.scalar(
        select(ShellAccount)
        .where(ShellAccount.issuer_id == issuer_id, ShellAccount.subject == subject)
        .execution_options(populate_existing=True)
    )


def _account(session: Session, issuer_id: int, issuer: str, said: HandOver) -> ShellAccount:
    """The account of a shell's person: the account linked before, an account with the address, or a new one."""
    account = _find_account(session, issuer_id, said.subject)
    if account is None:
        user, is_new = _user_with(session, issuer, said)
        is_made_here = is_new or _has_made(session, issuer_id, user)
        account = ShellAccount(issuer_id=issuer_id, subject=said.subject, user_id=user.id, is_made_here=is_made_here)
        session.add(account)
        session.flush()
        return account
    users = _locked_users(session, said.email, issuer, account.user_id)
    if _find_account(session, issuer_id, said.subject) is None:
        # Between the two reads the account was given to its owner, which removes the shell's link to it.
        return _account(session, issuer_id, issuer, said)
    user = next(user for user in users if user.id == account.user_id)
    # A person whose address was changed here is followed by the account. The shell may still say the former one, which
    # may be somebody else's by now.
    is_another = user.email != said.email and not had_address(user.id, said.email)
    other = _usable(users, said.email, None)
    if other is not user and other is not None and (is_another or user.vouched_by is not None):
        _link_to(session, account, user, other)
    elif user.is_unproven:
        # An older version linked such accounts.
        _link_to(session, account, user, *_user_with(session, issuer, said))
    elif account.is_made_here and not user.password_hash and not user.is_verified and not _is_others_too(account, user):
        _rename(session, account, user, issuer, said)
    return account


def _user_with(session: Session, issuer: str, said: HandOver) -> tuple[User, bool]:
    """The account with the person's address, and whether it had to be made.

    An account that somebody has registered without proving that they own the address is left alone:

    - If we linked it, a stranger's password could open what the shell gives its person.
    - If we took it from whoever registered, any shell could undo registrations in other portals.
    - If we refused the person, a stranger who registers first would keep them out.

    So the person gets a separate account, which no password and no link opens. Once the address is verified, the
    person is linked to the account of whoever proved to own it.
    """
    users = _locked_users(session, said.email, issuer)
    user = _usable(users, said.email, None) or _usable(users, said.email, issuer)
    if user is not None:
        return user, False
    user = new_user(said.email, said.name, NO_PASSWORD)
    user.vouched_by = issuer if users else None
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError:
        # Between our query and our insert somebody registered with the address, or another issuer handed it over.
        return _user_with(session, issuer, said)
    return user, True


def _locked_users(session: Session, email: str, issuer: str, user_id: int | None = None) -> Sequence[User]:
    """The accounts with an address, and the account `user_id`, locked until the transaction ends.

    Raises `Refused` if one of them is disabled: its person may not come in through a shell either.
    """
    with_address = and_(User.email == email, or_(User.vouched_by.is_(None), User.vouched_by == issuer))
    users = session.scalars(
        select(User)
        .where(or_(with_address, User.id == user_id))
        .order_by(User.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    if any(user.disabled_at is not None for user in users):
        raise Refused("disabled account")
    return users


def _usable(users: Collection[User], email: str, vouched_by: str | None) -> User | None:
    """The account with the address that a shell may link its person to, or None."""
    for user in users:
        if (user.email, user.vouched_by) == (email, vouched_by) and not user.is_unproven:
            return user
    return None


def _may_change_role(session: Session, account: ShellAccount, portal_id: str, role: Role | None) -> bool:
    """Whether a back-channel token may set this role.

    An unproven account gets no new role, because nobody knows whose it is. Its person gets the role at the next
    hand-over.
    """
    is_member = session.get(Membership, (portal_id, account.user_id)) is not None
    return role is None or is_member or not session.get_one(User, account.user_id).is_unproven


def _is_others_too(account: ShellAccount, user: User) -> bool:
    """Whether an account made by the issuer is used outside the issuer's portals, or handed over by another issuer."""
    its_portals = select(ShellIssuerPortal.portal_id).where(ShellIssuerPortal.issuer_id == account.issuer_id)
    by_another = exists().where(ShellAccount.user_id == user.id, ShellAccount.issuer_id != account.issuer_id)
    is_member = exists().where(Membership.user_id == user.id, Membership.portal_id.not_in(its_portals))
    is_client = exists().where(ImportedClient.user_id == user.id, ImportedClient.portal_id.not_in(its_portals))
    return bool(db.session.scalar(select(or_(by_another, is_member, is_client))))


def _has_made(session: Session, issuer_id: int, user: User) -> bool:
    made = select(ShellAccount.id).where(
        ShellAccount.issuer_id == issuer_id, ShellAccount.user_id == user.id, ShellAccount.is_made_here
    )
    return session.scalars(made.limit(1)).first() is not None


def _rename(session: Session, account: ShellAccount, user: User, issuer: str, said: HandOver) -> None:
    user.name, user.name_folded = said.name, fold(said.name)
    if user.email == said.email:
        return
    # If somebody has registered with the new address, the account must stand apart: see `_user_with`.
    is_taken = session.scalar(select(exists().where(User.email == said.email, User.vouched_by.is_(None))))
    try:
        with session.begin_nested():
            user.email = said.email
            user.vouched_by = issuer if is_taken else None
            # A raised generation invalidates the links that were mailed to the former address.
            user.verification_generation += 1
            user.reset_generation += 1
    except IntegrityError:
        # Somebody took the address between our query and our update.
        _link_to(session, account, user, *_user_with(session, issuer, said))


def _link_to(session: Session, account: ShellAccount, former: User, other: User, is_new: bool = False) -> None:
    """Link the person to another account, and remove what the former account had in the issuer's portals.

    Access that these have ended stays ended.
    """
    session.execute(delete(LoginSession).where(LoginSession.shell_account_id == account.id))
    account.user_id, was_made_here = other.id, account.is_made_here
    account.is_made_here = is_new or _has_made(session, account.issuer_id, other)
    portals = select(ShellIssuerPortal.portal_id).where(ShellIssuerPortal.issuer_id == account.issuer_id)
    carry_over(session, other.id, EndedAccess.user_id == former.id, EndedAccess.portal_id.in_(portals))
    if was_made_here or former.email_verified_at is None:
        theirs = Membership.user_id == former.id, Membership.portal_id.in_(portals)
        for portal_id in session.scalars(select(Membership.portal_id).where(*theirs)).all():
            set_role(session, portal_id, former.id, None)


def _end_sessions_before(
    session: Session, tokens_before: Collection[str], account: ShellAccount, portal_id: str
) -> bool:
    """End the browser's sessions. Returns whether it held any and all of them were this person's.

    If so, only the session for this portal ends.
    """
    found = session.scalars(
        select(LoginSession).where(
            LoginSession.id.in_([session_id(token) for token in tokens_before]), LoginSession.expires_at > now()
        )
    ).all()
    was_here = bool(found) and all(one.shell_account_id == account.id for one in found)
    for one in found:
        if not was_here or one.portal_id == portal_id:
            session.delete(one)
    return was_here
