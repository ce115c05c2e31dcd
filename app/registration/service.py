"""The invitee's actions: register, or accept with an existing account. See also `app.registration.verification`.

Joined means registered and verified. A link alone signs nobody in, and no password is ever overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from flask_babel import gettext as _
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.email_change import addresses_of, has_or_had
from app.accounts.passwords import hash_password
from app.accounts.users import find_user, lock_account, new_user
from app.clients.notices import enqueue_join_notices
from app.clients.times import relative
from app.core.clock import now
from app.core.errors import Conflict, NotFound, TooManyRequests
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import db
from app.invitations import history, recipient_limit
from app.invitations.renewal import renew_invitations
from app.invitations.service import DeadInvitation, Invitation, LinkState, look_up, mark_declined
from app.models import (
    ClientStatus,
    EndedAccess,
    EventKind,
    ImportedClient,
    MailState,
    OutboxMail,
    Portal,
    Role,
    User,
)
from app.portals.ended_access import AccessEnded, carry_over
from app.portals.service import make_member
from app.registration.emails import VERIFICATIONS, queue_verification
from app.webhooks.events import enqueue_joined

_FRESH_LINKS_OF_CLIENT = rate_limits.Limit("fresh-link", 1, timedelta(days=1))


class DeadLink(Exception):
    """A genuine link that no longer works; `state` says why.

    `is_renewable` says whether its recipient may request a fresh link.
    """

    def __init__(self, state: LinkState, portal: Portal | None = None, *, is_renewable: bool = False) -> None:
        super().__init__(state)
        self.state = state
        self.portal = portal
        self.is_renewable = is_renewable


@dataclass(frozen=True)
class Registration:
    """What the registering browser keeps. Plain values, because the account may be deleted right after it was made."""

    email: str
    key: UUID
    """Proves later that this browser registered."""


def register(token: str, name: str, password: str) -> Registration:
    """Create the invitee's account with the invitation's address, and enqueue the verification mail.

    `name` is clean and `password` has passed `password_fault`. Raises `NotFound`, `DeadLink`, `Conflict` if the address
    already has an account (which stays unchanged), and `TooManyRequests` if it has reached the limit of verification
    mails.
    """
    password_hash = hash_password(password)  # before the transaction, because hashing is slow on purpose
    with transaction() as session:
        # Limits are locked before any row. The address cannot change meanwhile: a correction would kill this link.
        rate_limits.lock(VERIFICATIONS, usable_invitation(token).client.email)
        client = usable_invitation(token, lock=True).client
        user, registration = registered_account(session, client.email, name, password_hash)
        client.user_id = user.id
        client.registered_at = now()
        client.registered_generation = client.generation
        history.record(client, EventKind.REGISTERED, actor_id=user.id)
        queue_verification(user, session.get_one(Portal, client.portal_id))
    return registration


def registered_account(session: Session, email: str, name: str, password_hash: str) -> tuple[User, Registration]:
    """Create an unverified account for an invited address, in the caller's transaction.

    The caller holds the lock of `VERIFICATIONS`, and enqueues the verification mail. Raises `Conflict` if the address
    has an account, and `TooManyRequests`.
    """
    if find_user(email):
        raise _account_exists()
    rate_limits.check(VERIFICATIONS, email)
    user = new_user(email, name, password_hash)
    registration = Registration(email, uuid4())
    user.registration_key = registration.key
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError:
        # Somebody has just registered through another invitation.
        raise _account_exists() from None
    return user, registration


def invited_user(session: Session, user_id: int | None, email: str) -> User:
    """The signed-in user, if the address is theirs and verified, so that they may accept. Raises `Conflict`."""
    # Locked, so that its owner does not change the address between our look and what depends on it.
    user = lock_account(session, user_id) if user_id is not None else None
    if user is None or user.email != email:
        raise _account_exists()
    if not user.is_verified:
        raise Conflict(_("Verify your email address first, then accept the invitation."))
    return user


def accept(token: str, user_id: int | None) -> None:
    """Join with an existing account. Its owner must be signed in, and its address verified and the invited one.

    `user_id` is the signed-in user, or None. Raises `NotFound`, `DeadLink`, and `Conflict` for any other user.
    """
    with transaction() as session:
        client = usable_invitation(token, lock=True).client
        join(client, invited_user(session, user_id, client.email))


def decline(token: str) -> None:
    """Record that the recipient declines the invitation. Its link keeps working in case they change their mind.

    Idempotent. Raises `NotFound`, `DeadLink`.
    """
    with transaction():
        client = usable_invitation(token, lock=True).client
        if not client.is_declined:
            mark_declined(client)


def ask_for_fresh_link(token: str) -> Portal | None:
    """Renew the invitation of an expired link, at the same address and in the same inviter's name.

    Returns the portal, or None if the link still works and nothing was done. If several ask at once, the first is
    served and the others find their link replaced. Raises `NotFound`, `TooManyRequests`, and `DeadLink` if the link
    cannot be renewed this way.
    """
    with transaction():
        found = look_up(token)
        if found is not None:
            recipient_limit.lock(found.portal.id)
            found = look_up(token, lock=True)
        if found is None:
            raise NotFound
        if isinstance(found, Invitation):
            return None
        client = found.renewable
        if client is None or client.invited_by_id is None:
            raise DeadLink(found.state, found.portal)
        _refuse_second_fresh_link(f"{client.portal_id} {client.id}")
        recipient_limit.check(client.portal_id, client.email)
        inviter_id = client.invited_by_id
        renew_invitations(client.portal_id, [client], EventKind.REQUESTED, inviter_id=inviter_id, actor_id=None)
    return found.portal


def usable_invitation(token: str, *, lock: bool = False) -> Invitation:
    """The invitation behind a link (`look_up`). Raises `NotFound`, `DeadLink`."""
    found = look_up(token, lock=lock)
    if found is None:
        raise NotFound
    if isinstance(found, DeadInvitation):
        raise DeadLink(found.state, found.portal, is_renewable=found.renewable is not None)
    return found


def join(client: ImportedClient, user: User) -> None:
    """Mark a locked client as joined with a verified account, in the caller's transaction."""
    at = now()
    client.status = ClientStatus.JOINED
    client.joined_at = at
    client.user_id = user.id
    if client.registered_at is None:
        client.registered_at = at
        client.registered_generation = client.generation
    try:
        # A member who is already staff or admin keeps that role.
        make_member(db.session(), client.portal_id, user.id, Role.CLIENT)
    except AccessEnded:
        # Somebody who had registered before an account with this address lost its access. It stays ended.
        carry_over(db.session(), user.id, EndedAccess.portal_id == client.portal_id, has_or_had(addresses_of(user.id)))
    # A queued reminder would only confuse after the invitation was accepted.
    db.session.execute(
        delete(OutboxMail).where(
            OutboxMail.portal_id == client.portal_id,
            OutboxMail.client_id == client.id,
            OutboxMail.state == MailState.QUEUED,
        )
    )
    enqueue_join_notices(client, history.record(client, EventKind.JOINED, actor_id=user.id))
    enqueue_joined(client)


def _refuse_second_fresh_link(subject: str) -> None:
    # The client's row is locked, so nobody else checks or counts meanwhile.
    wait = rate_limits.retry_after(_FRESH_LINKS_OF_CLIENT, subject)
    if wait is not None:
        sentence = _(
            "A new invitation was already requested in the last 24 hours. Check your inbox and your spam folder. "
            "You can request another one %(when)s.",
            when=relative(now() + wait),
        )
        raise TooManyRequests(sentence, wait)
    rate_limits.count(_FRESH_LINKS_OF_CLIENT, subject)


def _account_exists() -> Conflict:
    return Conflict(
        _("An account with this email address already exists. Its password was not changed; please sign in.")
    )
