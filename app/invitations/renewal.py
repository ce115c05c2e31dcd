"""Inviting clients again. All renewals, of one client or of thousands, happen here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sqlalchemy import delete, or_, select, update

from app.core.clock import now
from app.extensions import db
from app.invitations import history
from app.invitations.emails import REPLACES, Invitee, message_params, queue_invitations
from app.models import ClientStatus, EventKind, ImportedClient, MailKind, MailState, OutboxMail, Portal, User


class Renewable(Protocol):
    """A locked client that is pending, or whose account was deleted: its row, or an object with these values."""

    @property
    def id(self) -> UUID: ...
    @property
    def generation(self) -> int: ...
    @property
    def company_name(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def message(self) -> str | None: ...


def renew_invitations(
    portal_id: str, clients: Sequence[Renewable], kind: EventKind, *, inviter_id: int, actor_id: int | None
) -> None:
    """Renew the clients' invitations. `kind` and `actor_id` say in their histories why it was done and by whom.

    Raises the generation of each client, which kills its older links, and enqueues the new mail. Runs in the caller's
    transaction, which holds the lock of the portal's recipients.
    """
    at = now()
    ids = [client.id for client in clients]
    invited_before = _invited_before(portal_id, clients)
    db.session.execute(
        update(ImportedClient)
        .where(ImportedClient.portal_id == portal_id, ImportedClient.id.in_(ids))
        .values(
            generation=ImportedClient.generation + 1,
            # So is one again whose account was deleted.
            status=ClientStatus.INVITE_SENT,
            joined_at=None,
            account_deleted_at=None,
            access_ended_at=None,
            invited_by_id=inviter_id,
            email_last_sent_at=at,
            link_expires_at=None,
            link_lapsed_at=None,
            reminded_at=None,
            declined_at=None,
        )
        .execution_options(synchronize_session=False)
    )
    # Older mails that are still queued would carry dead links.
    db.session.execute(
        delete(OutboxMail).where(
            OutboxMail.portal_id == portal_id, OutboxMail.client_id.in_(ids), OutboxMail.state == MailState.QUEUED
        )
    )
    history.record_all(portal_id, ids, kind, at, actor_id=actor_id)
    invitees = [
        Invitee(
            client.id,
            client.generation + 1,
            client.company_name,
            client.email,
            message_params(client.message) | ({REPLACES: "1"} if client.id in invited_before else {}),
        )
        for client in clients
    ]
    portal, inviter = db.session.get_one(Portal, portal_id), db.session.get_one(User, inviter_id)
    queue_invitations(portal, inviter, invitees, at)


def _invited_before(portal_id: str, clients: Sequence[Renewable]) -> set[UUID]:
    """The ids of those clients whose present address has got an invitation, or may have got one.

    A client whose address was corrected is not among them, nor is one whose mail never left. The outbox knows older
    mails only for a while; `link_expires_at` says for as long as the row exists that the current one was sent.
    """
    ids = [client.id for client in clients]
    had_current = select(ImportedClient.id).where(
        ImportedClient.portal_id == portal_id,
        ImportedClient.id.in_(ids),
        ImportedClient.link_expires_at.is_not(None),
    )
    mailed = select(OutboxMail.client_id, OutboxMail.recipient).where(
        OutboxMail.portal_id == portal_id,
        OutboxMail.client_id.in_(ids),
        OutboxMail.kind == MailKind.INVITATION,
        or_(OutboxMail.state == MailState.SENT, OutboxMail.unknown_outcomes > 0),
    )
    had_mail = {(client_id, recipient) for client_id, recipient in db.session.execute(mailed)}
    return {client.id for client in clients if (client.id, client.email) in had_mail} | set(
        db.session.scalars(had_current)
    )
