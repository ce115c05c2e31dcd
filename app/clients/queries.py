"""Reading the Imported Clients table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func, select

from app.clock import now
from app.extensions import db
from app.models import ImportedClient, MailKind, MailState, OutboxMail

PAGE_SIZE = 25

MAIL_OF_CLIENT = and_(
    OutboxMail.portal_id == ImportedClient.portal_id,
    OutboxMail.client_id == ImportedClient.id,
    OutboxMail.kind == MailKind.INVITATION,
    OutboxMail.generation == ImportedClient.generation,
)
"""Joins a client with the mail of its current invitation. There is none when it was pruned, long after sending."""


@dataclass(frozen=True)
class ClientRow:
    """A client as the table shows it, at one moment."""

    client: ImportedClient
    delivery: MailState
    delivery_note: str | None
    """What the mail server, or the connection to it, said last."""
    at: datetime

    @property
    def is_link_expired(self) -> bool:
        return not self.client.is_registered_unverified and self.client.is_link_expired(self.at)


@dataclass(frozen=True)
class ClientPage:
    rows: Sequence[ClientRow]
    next_after: UUID | None
    """The key of the last row, if there are more."""


def client_page(portal_id: str, after: UUID | None = None) -> ClientPage:
    """One page of a portal's clients, newest first, below the row with the id `after`.

    Paged by key: ids are in the order of time, and a page costs the same wherever it lies.
    """
    query = _rows_query(portal_id).order_by(ImportedClient.id.desc()).limit(PAGE_SIZE + 1)
    if after is not None:
        query = query.where(ImportedClient.id < after)
    rows = [_row(*found) for found in db.session.execute(query)]
    more = len(rows) > PAGE_SIZE
    rows = rows[:PAGE_SIZE]
    return ClientPage(rows, rows[-1].client.id if more else None)


def client_row(portal_id: str, client_id: UUID) -> ClientRow | None:
    """One row of the table, or None if the portal has no such client."""
    found = db.session.execute(_rows_query(portal_id).where(ImportedClient.id == client_id)).first()
    return _row(*found) if found else None


def waiting_mails(portal_id: str) -> int:
    """How many invitations of a portal have not left yet."""
    return (
        db.session.scalar(
            select(func.count())
            .select_from(OutboxMail)
            .where(OutboxMail.portal_id == portal_id, OutboxMail.state == MailState.QUEUED)
        )
        or 0
    )


def _rows_query(portal_id: str):  # type: ignore[no-untyped-def]
    return (
        select(ImportedClient, OutboxMail.state, OutboxMail.last_error)
        .outerjoin(
            OutboxMail,
            MAIL_OF_CLIENT,
        )
        .where(ImportedClient.portal_id == portal_id)
    )


def _row(client: ImportedClient, state: MailState | None, note: str | None) -> ClientRow:
    # Mails that were sent long ago are pruned.
    return ClientRow(client, state or MailState.SENT, note, now())
