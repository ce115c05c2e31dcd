"""Proving that an address is the account's owner's: by a link that was mailed through the deployment's own mail server.

The link shows that somebody reads the mailbox, and not that it was them who registered: an invitation may have been
forwarded. So the account is theirs as it stands only if they press the button in the browser that registered, or know
the password that was chosen there. Else they choose name and password anew, and whoever registered has gained nothing.
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
    EventKind,
    ImportedClient,
    MailKind,
    MailState,
    Membership,
    OutboxMail,
    Portal,
    User,
)
from app.outbox.enqueue import has_not_arrived
from app.portals.service import memberships_of
from app.registration.emails import VERIFICATIONS, queue_verification
from app.registration.service import DeadLink, join

_PASSWORDS = rate_limits.Limit("verification-password", 10, timedelta(minutes=15))


class AnotherBrowser(Exception):
    """The link is good, but nothing shows that the account was registered here; nothing was done."""


class WrongPassword(DomainError):
    """It is not the one that was chosen at registration; nothing was done."""

    status = 422


@dataclass(frozen=True)
class VerificationLink:
    """A genuine verification link and what it is good for now."""

    state: LinkState
    user: User


@dataclass(frozen=True)
class Visitor:
    """What a browser holds by which it can be the one that registered."""

    user_id: int | None
    """The account it is signed in to."""
    registrations: Collection[UUID] = ()
    """The keys of the registrations that were made in it."""

    def has_registered(self, user: User) -> bool:
        return user.id == self.user_id or user.registration_key in self.registrations


def look_up_verification(token: str) -> VerificationLink:
    """What a verification link stands for now. Raises `NotFound` if we never made it, or its account is gone."""
    user_id, generation = _claim(token)
    user = db.session.get(User, user_id, populate_existing=True)
    if user is None:
        raise NotFound
    return _judged(user, generation)


def verify_email(token: str, visitor: Visitor) -> Sequence[Portal]:
    """Mark the address as verified, and every invitation that was registered with it as joined.

    Returns the portals that the account is in: none when the invitation was withdrawn meanwhile. Raises `NotFound`,
    `DeadLink`, and `AnotherBrowser`.
    """
    with transaction() as session:
        user, clients = _locked(session, token)
        if not visitor.has_registered(user):
            raise AnotherBrowser
        return confirm_address(user, clients)


def verify_with_password(token: str, password: str, remote_address: str) -> Sequence[Portal]:
    """The same in any browser, for who knows the password that was chosen at registration.

    Raises `WrongPassword` besides, and `TooManyRequests` after ten tries from one network in a quarter of an hour.
    """
    user = _valid(look_up_verification(token))
    # Read now: it may be gone by the time that a transaction begins.
    user_id, password_hash = user.id, user.password_hash
    with transaction():
        # Each try counts before it is looked at, so many at once are no more than so many; the right one is the last.
        rate_limits.use(_PASSWORDS, f"{user_id} {rate_limits.network_of(remote_address)}")
    if not is_password_of(password_hash, password):
        raise WrongPassword(
            _("This is not the password that was chosen at registration. Try again, or choose a new one below.")
        )
    with transaction() as session:
        user, clients = _locked(session, token)
        if user.password_hash != password_hash:
            raise DeadLink(LinkState.REPLACED)
        return confirm_address(user, clients)


def verify_with_new_password(token: str, name: str, password: str) -> Sequence[Portal]:
    """The same in any browser, with a clean name and a password that is good enough in place of what was registered.

    Every earlier session and whatever else opened the account before ends.
    """
    _valid(look_up_verification(token))
    password_hash = hash_password(password)  # before the transaction: it is slow on purpose
    with transaction() as session:
        user, clients = _locked(session, token)
        hand_to_owner(session, user, name, password_hash)
        return confirm_address(user, clients)


def hold_registrations(session: Session, user_id: int) -> Sequence[ImportedClient]:
    """The clients that an account was registered for and that have not joined, held; to be called before it is locked.

    There will be no further ones: only registering ties an account that is not verified to a client.
    """
    return session.scalars(
        select(ImportedClient)
        .where(ImportedClient.user_id == user_id, ImportedClient.status == ClientStatus.INVITE_SENT)
        .order_by(ImportedClient.portal_id, ImportedClient.id)
        .with_for_update()
    ).all()


def confirm_address(user: User, clients: Sequence[ImportedClient]) -> Sequence[Portal]:
    """Note that somebody reads a locked account's mailbox, and have the clients join that it was registered for.

    In the caller's transaction. Returns the portals that the account is in.
    """
    mark_verified(user)
    for client in clients:
        history.record(client, EventKind.VERIFIED, actor_id=user.id)
        join(client, user)
    return [membership.portal for membership in memberships_of(user.id)]


def places_around(user: User) -> list[str]:
    """The names of the companies and portals that an account belongs to."""
    portals = select(Portal.name).join(Membership).where(Membership.user_id == user.id)
    clients = select(ImportedClient.company_name, Portal.name).join(Portal, Portal.id == ImportedClient.portal_id)
    rows = db.session.execute(clients.where(ImportedClient.user_id == user.id)).all()
    return [*db.session.scalars(portals), *(name for row in rows for name in row)]


def send_verification_again(user_id: int) -> None:
    """Queue a new verification mail; the older link is dead. Does nothing for a verified account.

    Raises `TooManyRequests`.
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
    """Whether the newest verification mail of an account has failed for good; its link is dead then."""
    return has_not_arrived(MailKind.VERIFICATION, user.verification_generation, user_id=user.id)


def portal_of_account(user_id: int) -> Portal | None:
    """The portal whose invitation somebody registered with last; None if they were all withdrawn."""
    return db.session.scalar(
        select(Portal)
        .join(ImportedClient, ImportedClient.portal_id == Portal.id)
        .where(ImportedClient.user_id == user_id)
        .order_by(ImportedClient.registered_at.desc())
        .limit(1)
    )


def _claim(token: str) -> tuple[int, int]:
    claim = read_token(LinkKind.VERIFICATION, token)
    if claim is None:
        raise NotFound
    return int(claim.subject), claim.generation


def _locked(session: Session, token: str) -> tuple[User, Sequence[ImportedClient]]:
    """The account of a link that is good for something, and the clients it was registered for, all of them held."""
    user_id, generation = _claim(token)
    clients = hold_registrations(session, user_id)
    user = lock_account(session, user_id)
    if user is None:
        raise NotFound
    return _valid(_judged(user, generation)), clients


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
