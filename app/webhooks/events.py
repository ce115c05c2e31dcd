"""Writes events for a portal's endpoints, in the transaction that causes them: they go out if and only if it commits.

A transaction that writes an event holds the client's row, so the ids of a client's deliveries are in the order of its
events.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Row, func, or_, select, update

from app.core.clock import now
from app.core.ids import new_id
from app.core.signals import webhook_queued
from app.db.bulk_insert import insert_all
from app.db.transactions import send_after_commit
from app.extensions import db
from app.models import ImportedClient, WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookState
from app.models.types import db_now

KEEP_TRYING = timedelta(days=3)
"""For how long a retry follows a failure, counted from when the event was written or last sent again on request."""


@dataclass(frozen=True)
class About:
    """The client of an event, with as much as the event tells about it."""

    client_id: UUID | None
    """None of somebody who came through a host shell and was never invited."""
    generation: int | None
    company_name: str | None = None
    email: str | None = None
    detail: str | None = None


def tell(portal_id: str, kind: WebhookEvent, about: Sequence[About], at: datetime) -> None:
    """Write the same event for several clients of a portal, for each endpoint that subscribes to it.

    In the caller's transaction. For a portal without endpoints it costs one query.
    """
    _write(portal_id, kind, about, at, _endpoints_of(portal_id))


def enqueue_joined(client: ImportedClient) -> None:
    """Write that a client has joined, in the caller's transaction."""
    about = About(client.id, client.generation, client.company_name, client.email)
    tell(client.portal_id, WebhookEvent.CLIENT_JOINED, [about], client.joined_at or now())


def enqueue_access(
    portal_id: str, kind: WebhookEvent, clients: Sequence[ImportedClient], email: str, at: datetime
) -> None:
    """Write that a client's access was ended or given back, in the caller's transaction.

    `clients`: the locked rows of the client, none if it came through a host shell. `email`: the account's address.
    """
    about = [About(client.id, client.generation, client.company_name, client.email) for client in clients]
    tell(portal_id, kind, about or [About(None, None, email=email)], at)


def enqueue_removed(portal_id: str, invitations: Collection[tuple[UUID, int]]) -> None:
    """Write that clients were removed, and delete their personal data from earlier deliveries.

    `invitations`: the id and generation of each client. In the caller's transaction. Earlier events that still wait go
    out without these data, and in their order.
    """
    endpoints = _endpoints_of(portal_id)
    if not endpoints:
        return
    forget_clients(portal_id, [client_id for client_id, _generation in invitations])
    about = [About(client_id, generation) for client_id, generation in invitations]
    _write(portal_id, WebhookEvent.CLIENT_REMOVED, about, now(), endpoints)


def forget_clients(portal_id: str, client_ids: Collection[UUID], emails: Collection[str] = ()) -> None:
    """Delete the personal data of these clients, and whatever holds one of these addresses, from a portal's deliveries.

    In the caller's transaction. What still waits goes out without these data.
    """
    quotes = (func.lower(WebhookDelivery.detail).contains(email, autoescape=True) for email in emails)
    is_theirs = or_(WebhookDelivery.client_id.in_(client_ids), WebhookDelivery.email.in_(emails), *quotes)
    kept = (
        select(WebhookDelivery.id)
        .where(is_theirs, WebhookDelivery.portal_id == portal_id)
        # In the order in which the workers lock them too.
        .order_by(WebhookDelivery.id)
        .with_for_update()
    )
    db.session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(kept))
        .values(company_name=None, email=None, detail=None)
        .execution_options(synchronize_session=False)
    )


def new_delivery(
    portal_id: str, endpoint_id: UUID, kind: WebhookEvent, at: datetime, due_at: datetime
) -> dict[str, object]:
    """The columns of a delivery that may not be NULL. `due_at` is by the database's clock."""
    return {
        "message_id": new_id(),
        "portal_id": portal_id,
        "endpoint_id": endpoint_id,
        "event": kind,
        "at": at,
        "state": WebhookState.QUEUED,
        "attempts": 0,
        "due_at": due_at,
        "give_up_at": due_at + KEEP_TRYING,
    }


def _endpoints_of(portal_id: str) -> Sequence[Row[UUID, list[str], bool]]:
    query = (
        select(WebhookEndpoint.id, WebhookEndpoint.events, WebhookEndpoint.is_on)
        .where(WebhookEndpoint.portal_id == portal_id)
        # Locked, so that none is deleted before the events for it are written. Others may write events meanwhile.
        .with_for_update(read=True, key_share=True)
    )
    return db.session.execute(query).all()


def _write(
    portal_id: str,
    kind: WebhookEvent,
    about: Sequence[About],
    at: datetime,
    endpoints: Sequence[Row[UUID, list[str], bool]],
) -> None:
    wanting = [endpoint.id for endpoint in endpoints if endpoint.is_on and kind in endpoint.events]
    due_at = db.session.scalar(select(db_now())) if wanting and about else None
    if due_at is None:
        return
    rows = [
        {
            **new_delivery(portal_id, endpoint_id, kind, at, due_at),
            "client_id": one.client_id,
            "generation": one.generation,
            "company_name": one.company_name,
            "email": one.email,
            "detail": one.detail,
        }
        for endpoint_id in wanting
        for one in about
    ]
    insert_all(db.session(), WebhookDelivery, rows)
    send_after_commit(db.session(), webhook_queued)
