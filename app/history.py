"""A client's history: what happened, when, and by whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import FromClause, Insert, bindparam, insert, literal, select, update

from app.database import insert_all
from app.extensions import db
from app.models import ClientEvent, EventKind, ImportedClient


def record(
    client: ImportedClient, kind: EventKind, *, actor_id: int | None = None, detail: str | None = None
) -> ClientEvent:
    """Add an event of the client's current invitation, in the caller's transaction."""
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
    invitations: Iterable[tuple[UUID, int]],
    kind: EventKind,
    at: datetime,
    *,
    actor_id: int | None = None,
) -> None:
    """Add the same event for many clients, each given by id and generation, in the caller's transaction."""
    common = {"portal_id": portal_id, "kind": kind, "at": at, "actor_id": actor_id}
    events = [{**common, "client_id": client_id, "generation": generation} for client_id, generation in invitations]
    if events:
        insert_all(db.session(), ClientEvent, events)


def recording(kind: EventKind, clients: FromClause) -> Insert:
    """The statement that adds an event of a moment `at` for each row of `portal_id`, `client_id` and `generation`."""
    row = {
        **{name: clients.c[name] for name in ("portal_id", "client_id", "generation")},
        "kind": literal(kind, ClientEvent.kind.type),
        "at": bindparam("at", type_=ClientEvent.at.type),
    }
    return insert(ClientEvent).from_select(list(row), select(*row.values()))


def events_of(portal_id: str, client_id: UUID) -> Sequence[ClientEvent]:
    """A client's events, oldest first; also those of a client that was removed."""
    return db.session.scalars(
        select(ClientEvent)
        .where(ClientEvent.portal_id == portal_id, ClientEvent.client_id == client_id)
        .order_by(ClientEvent.id)
    ).all()


def forget_details(portal_id: str, client_ids: Collection[UUID]) -> None:
    """Empty what may hold personal data, as clients are removed; what happened and when remains."""
    db.session.execute(
        update(ClientEvent)
        .where(ClientEvent.portal_id == portal_id, ClientEvent.client_id.in_(client_ids))
        .values(detail=None)
    )
