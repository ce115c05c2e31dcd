"""A client's history: what happened, when, and who did it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Insert, bindparam, insert, literal, select, update

from app.extensions import db
from app.models import ClientEvent, EventKind, ImportedClient
from app.models.types import in_list


def record(
    client: ImportedClient, kind: EventKind, *, actor_id: int | None = None, detail: str | None = None
) -> ClientEvent:
    """Add an event for the client's current invitation, in the caller's transaction."""
    event = ClientEvent(
        portal_id=client.portal_id,
        client_id=client.id,
        generation=client.generation,
        kind=kind,
        actor_id=actor_id,
        detail=detail,
    )
    db.session.add(event)
    return event


def record_all(
    portal_id: str,
    client_ids: Collection[UUID],
    kind: EventKind,
    at: datetime,
    *,
    actor_id: int | None = None,
    detail: str | None = None,
) -> None:
    """Add the same event for the current invitations of many clients, in the caller's transaction."""
    clients = select(ImportedClient.portal_id, ImportedClient.id.label("client_id"), ImportedClient.generation).where(
        ImportedClient.portal_id == portal_id, in_list(ImportedClient.id.expression, "client_ids")
    )
    more = {
        "actor_id": literal(actor_id, ClientEvent.actor_id.type),
        "detail": literal(detail, ClientEvent.detail.type),
    }
    statement = recording(kind, clients.subquery(), more)
    db.session.connection().execute(statement, {"client_ids": list(client_ids), "at": at})


def recording(
    kind: EventKind, clients: FromClause, more: Mapping[str, ColumnElement[Any]] = MappingProxyType({})
) -> Insert:
    """A statement that adds one event for each row of `clients`.

    `clients` has the columns `portal_id`, `client_id` and `generation`. The event's time is the bind parameter `at`.
    `more`: the values of further columns.
    """
    row: dict[str, ColumnElement[Any]] = {
        **{name: clients.c[name] for name in ("portal_id", "client_id", "generation")},
        "kind": literal(kind, ClientEvent.kind.type),
        "at": bindparam("at", type_=ClientEvent.at.type),
        **more,
    }
    return insert(ClientEvent).from_select(list(row), select(*row.values()))


def events_of(portal_id: str, client_id: UUID) -> Sequence[ClientEvent]:
    """A client's events, oldest first. Works for removed clients, too."""
    return db.session.scalars(
        select(ClientEvent)
        .where(ClientEvent.portal_id == portal_id, ClientEvent.client_id == client_id)
        .order_by(ClientEvent.id)
    ).all()


def forget_details(portal_id: str, client_ids: Collection[UUID]) -> None:
    """Delete the details of removed clients' events, which may hold personal data.

    Kind and time of the events remain.
    """
    db.session.execute(
        update(ClientEvent)
        .where(ClientEvent.portal_id == portal_id, ClientEvent.client_id.in_(client_ids))
        .values(detail=None)
    )
