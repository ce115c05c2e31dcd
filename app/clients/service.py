"""The admin's actions on imported clients. Each call is one transaction: it writes rows and mails, or nothing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import and_, select
from sqlalchemy.exc import IntegrityError

from app.accounts.unowned import delete_nobodys, lock_accounts
from app.audit import service as audit
from app.audit.changes import difference
from app.audit.service import AuditKind
from app.clients.removal import delete_clients
from app.core.clock import now
from app.core.errors import Conflict, DomainError, NotFound
from app.core.text import clean_email, fold
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import db
from app.invitations import history, recipient_limit
from app.invitations.emails import Invitee, message_params, queue_invitations
from app.invitations.removed import address_digest
from app.invitations.renewal import renew_invitations
from app.models import ClientEvent, EventKind, ImportedClient, Portal, User
from app.portals.service import known_portal

ADDS_OF_ADMIN = rate_limits.Limit("add-client", 600, timedelta(minutes=1))
"""Manual adds and imports of one admin in one portal. An import counts once, whatever its length."""
RESENDS_OF_ADMIN = rate_limits.Limit("resend-admin", 300, timedelta(minutes=1))
"""Resends of one admin in one portal. A bulk resend counts once."""
_SECOND_PRESS = timedelta(seconds=5)
"""A second resend of a client by the same admin within this time is taken for a double click and ignored."""


class AddressTaken(DomainError):
    """Another client of the portal has the address. Nothing was changed."""

    status = 422


class RecipientDeclined(Exception):
    """The recipient has declined and the admin has not confirmed the resend. Nothing was changed."""


def add_client(portal_id: str, actor_id: int, company_name: str, email: str, message: str | None = None) -> None:
    """Add one client and enqueue its invitation. Does nothing if the address is already in the table, also as the
    present address of a client that has joined.

    `company_name`, `email` and `message` are in their clean form (`app.core.text`). The caller cannot tell whether the
    address was new, so nothing is returned. Raises `TooManyRequests`.
    """
    with transaction() as session:
        rate_limits.use(ADDS_OF_ADMIN, f"{portal_id} {actor_id}")
        recipient_limit.lock(portal_id)
        if _is_of_joined(portal_id, email):
            return
        client = ImportedClient(
            portal_id=portal_id,
            company_name=company_name,
            company_name_folded=fold(company_name),
            email=email,
            address_digest=address_digest(portal_id, email),
            generation=1,
            invited_by_id=actor_id,
            message=message,
        )
        try:
            with session.begin_nested():
                session.add(client)
        except IntegrityError:
            # The address is already there, or another admin has just added it. The unique constraint decides; either
            # way there is one row and one mail.
            return
        # Checked only now: an address already in the table gets no mail, so its limit must not change the answer.
        recipient_limit.check(portal_id, email)
        history.record(client, EventKind.INVITED, actor_id=actor_id, detail=message)
        portal, inviter = session.get_one(Portal, portal_id), session.get_one(User, actor_id)
        invitee = Invitee(client.id, client.generation, company_name, email, message_params(message))
        queue_invitations(portal, inviter, [invitee], now())
        audit.record(portal_id, AuditKind.CLIENT_ADDED, target=audit.client(client.id))


def resend_invite(portal_id: str, client_id: UUID, actor_id: int | None, *, confirmed: bool = False) -> str:
    """Renew a client's invitation and enqueue its mail. Every older link is dead then.

    For a pending client, and for one whose account was deleted, which is pending again then. Returns the company's
    name. Does nothing else if the same admin has just done it. `confirmed` means that the admin wants it even if the
    recipient has declined; without it, `RecipientDeclined` is raised then. `actor_id` is None for an operator, who
    resends in the name of whoever invited. Also raises `NotFound`, `Conflict` if the client has joined, or if nobody is
    left to invite in whose name, and `TooManyRequests`.
    """
    with transaction():
        lock_resends(portal_id, actor_id)
        client = _locked_client(portal_id, client_id)
        if client.has_account:
            raise Conflict(
                _("%(company)s has joined in the meantime, so no invitation was sent.", company=client.company_name)
            )
        company_name = client.company_name
        if just_resent(portal_id, [client_id], actor_id):
            return company_name
        if client.is_declined and not confirmed:
            raise RecipientDeclined
        inviter_id = client.invited_by_id if actor_id is None else actor_id
        if inviter_id is None:
            raise Conflict(
                _("Whoever invited %(company)s has no account any more. Say who invites.", company=client.company_name)
            )
        _use_resend_limits(client, actor_id)
        renew_invitations(portal_id, [client], EventKind.RESENT, inviter_id=inviter_id, actor_id=actor_id)
        audit.record(portal_id, AuditKind.CLIENT_RESENT, target=audit.client(client_id))
    return company_name


def correct_client(portal_id: str, client_id: UUID, actor_id: int, company_name: str, email: str) -> None:
    """Change a client's name and address, and renew its invitation as `resend_invite` does. Every older link is dead.

    `company_name` and `email` are in their clean form (`app.core.text`). If they are unchanged, this is a resend.
    Raises `NotFound`, `Conflict` if the client has joined, `AddressTaken`, and `TooManyRequests`.
    """
    with transaction() as session:
        lock_resends(portal_id, actor_id)
        client = _locked_client(portal_id, client_id)
        if client.has_account:
            raise Conflict(
                _("%(company)s has joined in the meantime, so nothing was changed.", company=client.company_name)
            )
        changed = difference(
            {"company_name": client.company_name, "email": client.email}, {"company_name": company_name, "email": email}
        )
        is_corrected = bool(changed)
        if not is_corrected and just_resent(portal_id, [client_id], actor_id):
            return
        if client.email != email:
            _refuse_taken_address(portal_id, email)
            # A registration belongs to the older address. Kept, it would let the client join with that address's
            # account.
            account_ids = lock_accounts(session, [client.user_id])
            client.forget_registration()
            # The new address has had no link yet.
            client.link_expires_at = None
            # Whoever has the new address has not turned anything off.
            client.reminders_stopped_at = None
            session.flush()
            delete_nobodys(session, account_ids)
        client.company_name = company_name
        client.company_name_folded = fold(company_name)
        client.email = email
        client.address_digest = address_digest(portal_id, email)
        try:
            session.flush()
        except IntegrityError:
            # Someone else has just taken the address: the unique constraint decides.
            raise _address_taken() from None
        _use_resend_limits(client, actor_id)
        kind = EventKind.CORRECTED if is_corrected else EventKind.RESENT
        renew_invitations(portal_id, [client], kind, inviter_id=actor_id, actor_id=actor_id)
        audited = AuditKind.CLIENT_CORRECTED if is_corrected else AuditKind.CLIENT_RESENT
        audit.record(portal_id, audited, target=audit.client(client_id), change=changed)


def remove_client(portal_id: str, client_id: UUID, actor_id: int | None) -> str:
    """Delete a client for good: see `delete_clients`. Returns the company's name.

    `actor_id` is None for an operator. Raises `NotFound`, and `Conflict` if it has joined and its account is there.
    """
    with transaction():
        client = _locked_client(portal_id, client_id)
        if client.has_account:
            raise Conflict(
                _("%(company)s has joined in the meantime, so it was not removed.", company=client.company_name)
            )
        company_name = client.company_name
        delete_clients(portal_id, [client], actor_id=actor_id)
        audit.record(portal_id, AuditKind.CLIENT_REMOVED, target=audit.client(client_id))
    return company_name


def client_with_address(portal_id: str, email: str) -> ImportedClient:
    """The client of a portal that was invited at this address, or else has joined and has it now.

    Raises `TextError` for a text that is no address, and `DomainError` if the portal or the client is unknown.
    """
    known_portal(portal_id)
    address = clean_email(email)
    here = select(ImportedClient).where(ImportedClient.portal_id == portal_id)
    client = db.session.scalar(here.where(ImportedClient.email == address)) or db.session.scalar(
        here.where(ImportedClient.account_email == address).order_by(ImportedClient.id).limit(1)
    )
    if client is None:
        raise DomainError(_("Portal %(id)s has no client with the address %(email)s.", id=portal_id, email=email))
    return client


def lock_resends(portal_id: str, actor_id: int | None) -> None:
    """Lock the rate limits that a resend counts towards. Call it before any row is locked or written."""
    rate_limits.lock(RESENDS_OF_ADMIN, f"{portal_id} {actor_id}")
    recipient_limit.lock(portal_id)


def just_resent(portal_id: str, client_ids: Collection[UUID], actor_id: int | None) -> set[UUID]:
    """The ids of the locked clients whose current invitation this admin has just resent or corrected."""
    at = now()
    found = db.session.scalars(
        select(ClientEvent.client_id)
        .join(
            ImportedClient,
            and_(
                ImportedClient.portal_id == ClientEvent.portal_id,
                ImportedClient.id == ClientEvent.client_id,
                ImportedClient.generation == ClientEvent.generation,
            ),
        )
        .where(
            ClientEvent.portal_id == portal_id,
            ClientEvent.client_id.in_(client_ids),
            ClientEvent.kind.in_((EventKind.RESENT, EventKind.CORRECTED)),
            ClientEvent.actor_id == actor_id,
            # The clock of another process may be ahead, so the time of its event may lie in our future.
            ClientEvent.at.between(at - _SECOND_PRESS, at + _SECOND_PRESS),
        )
    )
    return set(found)


def _locked_client(portal_id: str, client_id: UUID) -> ImportedClient:
    client = db.session.get(ImportedClient, (portal_id, client_id), with_for_update=True)
    if client is None:
        raise NotFound
    return client


def _refuse_taken_address(portal_id: str, email: str) -> None:
    # Queried before writing, although the constraint would refuse it too: otherwise two admins who exchange the
    # addresses of two clients would wait for each other.
    query = select(ImportedClient.id).where(ImportedClient.portal_id == portal_id, ImportedClient.email == email)
    if db.session.scalar(query) is not None or _is_of_joined(portal_id, email):
        raise _address_taken()


def _is_of_joined(portal_id: str, email: str) -> bool:
    """Whether a client that has joined has this address now, other than the invited one."""
    present = select(ImportedClient.id).where(
        ImportedClient.portal_id == portal_id, ImportedClient.account_email == email
    )
    return db.session.scalar(present.limit(1)) is not None


def _address_taken() -> AddressTaken:
    return AddressTaken(
        _("Another client of this portal already has this address. Enter a different one, or remove the other client.")
    )


def _use_resend_limits(client: ImportedClient, actor_id: int | None) -> None:
    rate_limits.use(RESENDS_OF_ADMIN, f"{client.portal_id} {actor_id}")
    recipient_limit.check(client.portal_id, client.email)
