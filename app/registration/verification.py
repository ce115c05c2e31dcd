"""Verification: proving that an account's owner owns its address, by a link mailed through the deployment's mail
server.

The link proves that somebody reads the mailbox, but not that the same person registered: an invitation may have been
forwarded. So the reader gets the account as it is only in the browser that registered, or with the password chosen at
registration. Otherwise they choose a new name and password, and whoever registered has gained nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.accounts.passwords import hash_password, is_password_of
from app.accounts.users import hand_to_owner, lock_account, mark_verified
from app.core.clock import now
from app.core.errors import DomainError, NotFound
from app.core.links import LinkKind, read_token
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import db
from app.invitations import history
from app.invitations.service import LinkState
from app.models import (
    ClientStatus,
    ColleagueInvitation,
    EventKind,
    ImportedClient,
    MailKind,
    MailState,
    OutboxMail,
    Portal,
    Role,
    User,
)
from app.outbox.enqueue import has_not_arrived
from app.portals.ended_access import is_access_ended
from app.portals.service import memberships_of
from app.registration.colleagues import hold_colleague_registrations, join_team
from app.registration.emails import VERIFICATIONS, queue_verification
from app.registration.service import DeadLink, join

_PASSWORDS = rate_limits.Limit("verification-password", 10, timedelta(minutes=15))


class AnotherBrowser(Exception):
    """The link is valid, but nothing shows that the account was registered in this browser. Nothing was done."""


class WrongPassword(DomainError):
    """The password is not the one chosen at registration. Nothing was done."""

    status = 422


@dataclass(frozen=True)
class VerificationLink:
    """A genuine verification link and its state."""

    state: LinkState
    user: User


@dataclass(frozen=True)
class Registered:
    """What an account was registered for and has not joined yet, all of it locked."""

    clients: Sequence[ImportedClient]
    colleagues: Sequence[ColleagueInvitation]


@dataclass(frozen=True)
class Visitor:
    """What a browser holds that may show that the account was registered in it."""

    user_id: int | None
    """The account that the browser is signed in to, or None."""
    registrations: Collection[UUID] = ()
    """The keys of the registrations made in this browser."""

    def has_registered(self, user: User) -> bool:
        return user.id == self.user_id or user.registration_key in self.registrations


def look_up_verification(token: str) -> VerificationLink:
    """The state and account of a verification link. Raises `NotFound` if we never made it or the account is gone."""
    user_id, generation = _claim(token)
    user = db.session.get(User, user_id, populate_existing=True)
    if user is None:
        raise NotFound
    return _judged(user, generation)


def verify_email(token: str, visitor: Visitor) -> Sequence[tuple[Portal, Role]]:
    """Mark the address as verified, and let the account join everything that it was registered for.

    Returns the portals that the account belongs to and its roles there, none if the invitation was withdrawn meanwhile.
    Raises `NotFound`, `DeadLink`, and `AnotherBrowser`.
    """
    with transaction() as session:
        user, registered = _locked(session, token)
        if not visitor.has_registered(user):
            raise AnotherBrowser
        return confirm_address(user, registered)


def verify_with_password(token: str, password: str, remote_address: str) -> Sequence[tuple[Portal, Role]]:
    """Like `verify_email`, in any browser, with the password chosen at registration.

    Raises `NotFound`, `DeadLink`, `WrongPassword`, and `TooManyRequests` after ten tries from one network in 15
    minutes.
    """
    user = _valid(look_up_verification(token))
    # Read now, because a transaction expires `user`, and the account may be gone by then.
    user_id, password_hash = user.id, user.password_hash
    with transaction():
        # Each try counts before it is checked, so concurrent guesses cannot exceed the limit. Correct ones count, too.
        rate_limits.use(_PASSWORDS, f"{user_id} {rate_limits.network_of(remote_address)}")
    if not is_password_of(password_hash, password):
        raise WrongPassword(
            _("This is not the password that was chosen at registration. Try again, or choose a new one below.")
        )
    with transaction() as session:
        user, registered = _locked(session, token)
        if user.password_hash != password_hash:
            raise DeadLink(LinkState.REPLACED)
        return confirm_address(user, registered)


def verify_with_new_password(token: str, name: str, password: str) -> Sequence[tuple[Portal, Role]]:
    """Like `verify_email`, in any browser, with a clean name and a good password that replace the registered ones.

    All earlier sessions end, and nothing that opened the account before still opens it. Raises `NotFound`, `DeadLink`.
    """
    _valid(look_up_verification(token))
    password_hash = hash_password(password)  # before the transaction, because hashing is slow on purpose
    with transaction() as session:
        user, registered = _locked(session, token)
        hand_to_owner(session, user, name, password_hash)
        return confirm_address(user, registered)


def hold_registrations(session: Session, user_id: int) -> Registered:
    """Lock and return what an account was registered for. Call it before locking the account.

    Nothing further can appear: only registering links an unverified account to an invitation.
    """
    clients = session.scalars(
        select(ImportedClient)
        .where(ImportedClient.user_id == user_id, ImportedClient.status == ClientStatus.INVITE_SENT)
        .order_by(ImportedClient.portal_id, ImportedClient.id)
        .with_for_update()
    ).all()
    return Registered(clients, hold_colleague_registrations(session, user_id))


def confirm_address(user: User, registered: Registered) -> Sequence[tuple[Portal, Role]]:
    """Mark a locked account's address as verified, and let it join what it was registered for.

    Runs in the caller's transaction. Returns the portals that the account belongs to, and its roles there.
    """
    mark_verified(user)
    for client in registered.clients:
        history.record(client, EventKind.VERIFIED, actor_id=user.id)
        join(client, user)
    for invitation in registered.colleagues:
        if not is_access_ended(invitation.portal_id, user.id):
            join_team(invitation, user)
    return [(one.portal, one.role) for one in memberships_of(user.id)]


def send_verification_again(user_id: int) -> None:
    """Enqueue a new verification mail, which kills the older link. Does nothing for a verified account.

    Raises `NotFound` if the account is gone, and `TooManyRequests`.
    """
    with transaction() as session:
        email = session.scalar(select(User.email).where(User.id == user_id))
        if email is None:
            raise NotFound
        rate_limits.lock(VERIFICATIONS, email)
        user = lock_account(session, user_id)
        if user is None:
            raise NotFound
        if user.is_verified:
            return
        rate_limits.check(VERIFICATIONS, user.email)
        session.execute(
            delete(OutboxMail).where(
                OutboxMail.user_id == user_id,
                OutboxMail.kind == MailKind.VERIFICATION,
                OutboxMail.state == MailState.QUEUED,
            )
        )
        queue_verification(user, portal_of_account(user_id))


def is_verification_refused(user: User) -> bool:
    """Whether the newest verification mail of an account has failed for good, so that its link is dead."""
    return has_not_arrived(MailKind.VERIFICATION, user.verification_generation, user_id=user.id)


def portal_of_account(user_id: int) -> Portal | None:
    """The portal whose invitation the account was registered with last; None if all of them were withdrawn."""
    newest = [
        db.session.execute(
            select(model.registered_at, model.portal_id)
            .where(model.user_id == user_id, model.registered_at.is_not(None))
            .order_by(model.registered_at.desc())
            .limit(1)
        ).first()
        for model in (ImportedClient, ColleagueInvitation)
    ]
    found = [(row.registered_at, row.portal_id) for row in newest if row is not None]
    return db.session.get(Portal, max(found)[1]) if found else None


def _claim(token: str) -> tuple[int, int]:
    claim = read_token(LinkKind.VERIFICATION, token)
    if claim is None:
        raise NotFound
    return int(claim.subject), claim.generation


def _locked(session: Session, token: str) -> tuple[User, Registered]:
    """The account of a usable link and what it was registered for, all locked. Raises `NotFound`, `DeadLink`."""
    user_id, generation = _claim(token)
    registered = hold_registrations(session, user_id)
    user = lock_account(session, user_id)
    if user is None:
        raise NotFound
    return _valid(_judged(user, generation)), registered


def _judged(user: User, generation: int) -> VerificationLink:
    if user.is_verified:
        state = LinkState.USED
    elif generation != user.verification_generation:
        state = LinkState.REPLACED
    elif user.verification_expires_at is not None and now() >= user.verification_expires_at:
        state = LinkState.EXPIRED
    elif is_verification_refused(user):
        state = LinkState.UNDELIVERED
    else:
        state = LinkState.VALID
    return VerificationLink(state, user)


def _valid(link: VerificationLink) -> User:
    if link.state is not LinkState.VALID:
        raise DeadLink(link.state)
    return link.user
