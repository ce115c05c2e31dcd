"""Reading the Imported Clients table."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVarTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select, tuple_

from app.clients.view import Cursor, Health, SortColumn, TableView
from app.clock import now
from app.extensions import db
from app.models import ClientStatus, ImportedClient, MailKind, MailState, OutboxMail
from app.outbox.servers import Pause, pause_of
from app.text import fold

COUNT_LIMIT = 1000
"""Counts are exact up to here; beyond, "more than" is as good and costs nothing."""
EXPIRES_SOON = timedelta(hours=48)

MAIL_OF_CLIENT = and_(
    OutboxMail.portal_id == ImportedClient.portal_id,
    OutboxMail.client_id == ImportedClient.id,
    OutboxMail.kind == MailKind.INVITATION,
    OutboxMail.generation == ImportedClient.generation,
)
"""Joins a client with the mail of its current invitation. There is none when it was pruned, long after sending."""

Columns = TypeVarTuple("Columns")

_ON_ITS_WAY = (MailState.QUEUED, MailState.SENDING)

_SORT_KEYS: dict[SortColumn, ColumnElement[Any] | None] = {
    SortColumn.CREATED: None,  # ids are in the order of time
    SortColumn.COMPANY_NAME: ImportedClient.company_name_folded.expression,
    SortColumn.EMAIL: ImportedClient.email.expression,
    SortColumn.STATUS: ImportedClient.status.expression,
    SortColumn.EMAIL_LAST_SENT: ImportedClient.email_last_sent_at.expression,
}


@dataclass(frozen=True)
class ClientRow:
    """A client as the table shows it, at one moment."""

    client: ImportedClient
    delivery: MailState
    delivery_note: str | None
    """What the mail server, or the connection to it, said last; while the server is paused, why it is."""
    at: datetime

    @property
    def is_link_expired(self) -> bool:
        return not self.client.is_registered_unverified and self.client.is_link_expired(self.at)

    @property
    def expires_soon(self) -> bool:
        expires_at = self.client.link_expires_at
        return expires_at is not None and self.at < expires_at <= self.at + EXPIRES_SOON

    @property
    def may_change_by_itself(self) -> bool:
        """Whether there is something to wait for: a mail on its way, or somebody who can still join."""
        if self.client.is_joined:
            return False
        return self.delivery in _ON_ITS_WAY or (self.delivery is MailState.SENT and not self.is_link_expired)


@dataclass(frozen=True)
class Count:
    """A number that is exact up to `COUNT_LIMIT`."""

    found: int

    @property
    def is_more(self) -> bool:
        return self.found > COUNT_LIMIT

    def __str__(self) -> str:
        return f"{COUNT_LIMIT:,}+" if self.is_more else f"{self.found:,}"


@dataclass(frozen=True)
class ClientPage:
    """A page of the table, and the views of the pages beside it, if there are any."""

    rows: Sequence[ClientRow]
    previous: TableView | None
    next: TableView | None
    pause: Pause | None
    """What holds up the portal's mails, if anything does."""

    @property
    def may_change_by_itself(self) -> bool:
        return self.pause is not None or any(row.may_change_by_itself for row in self.rows)


@dataclass(frozen=True)
class Glance:
    """How a portal's invitations are doing, in numbers."""

    invited: Count
    waiting: Count
    failed: Count
    expired: Count
    attention: Count
    joined: Count


def client_page(portal_id: str, view: TableView) -> ClientPage:
    """One page of a portal's clients. Paged by key: a page costs the same wherever it lies."""
    cursor = view.cursor
    backwards = cursor is not None and cursor.backwards
    found = db.session.execute(_page_query(portal_id, view, view.size + 1)).all()
    more = len(found) > view.size
    pause = pause_of(portal_id)
    rows = [_row(*row, pause) for row in found[: view.size]]
    if backwards:
        rows.reverse()
    has_previous = more if backwards else cursor is not None
    has_next = backwards or more
    return ClientPage(
        rows,
        pause=pause,
        previous=_beside(view, rows[0], backwards=True) if rows and has_previous else None,
        next=_beside(view, rows[-1], backwards=False) if rows and has_next else None,
    )


def named_clients(
    portal_id: str, which: TableView | Collection[UUID], limit: int
) -> Sequence[Row[UUID, str, ClientStatus]]:
    """Id, company name and status of the clients a view matches, or of those with these ids; newest first.

    At most `limit` of them. Ids that are not of this portal find nothing.
    """
    query = select(ImportedClient.id, ImportedClient.company_name, ImportedClient.status)
    if isinstance(which, TableView):
        query = _narrowed(query, portal_id, which)
    else:
        query = query.where(ImportedClient.portal_id == portal_id, ImportedClient.id.in_(which))
    return db.session.execute(query.order_by(ImportedClient.id.desc()).limit(limit)).all()


def client_row(portal_id: str, client_id: UUID) -> ClientRow | None:
    """One row of the table, or None if the portal has no such client."""
    query = _rows().where(ImportedClient.portal_id == portal_id, ImportedClient.id == client_id)
    found = db.session.execute(query).first()
    return _row(*found, pause_of(portal_id)) if found else None


def count_clients(portal_id: str, view: TableView) -> Count:
    """How many clients match a view's filters."""
    capped = _narrowed(select(ImportedClient.id), portal_id, view).limit(COUNT_LIMIT + 1).subquery()
    return Count(db.session.scalar(select(func.count()).select_from(capped)) or 0)


def glance(portal_id: str) -> Glance:
    """The numbers above the table."""

    def count(**filters: Any) -> Count:
        return count_clients(portal_id, TableView(**filters))

    return Glance(
        invited=count(statuses=frozenset({ClientStatus.INVITE_SENT})),
        waiting=count(health=Health.WAITING),
        failed=count(health=Health.FAILED),
        expired=count(health=Health.EXPIRED),
        attention=count(health=Health.ATTENTION),
        joined=count(statuses=frozenset({ClientStatus.JOINED})),
    )


def fingerprint(page: ClientPage, count: Count, numbers: Glance) -> str:
    """A short text that is another one whenever the table shows something else."""
    rows = [
        (
            row.client.id,
            row.client.company_name,
            row.client.email,
            row.client.status,
            row.client.generation,
            row.client.email_last_sent_at,
            row.client.registered_at,
            row.delivery,
            row.delivery_note,
            row.is_link_expired,
        )
        for row in page.rows
    ]
    return hashlib.sha256(repr((rows, count, numbers, page.pause)).encode()).hexdigest()[:16]


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


def _rows() -> Select[ImportedClient, MailState, str | None]:
    return select(ImportedClient, OutboxMail.state, OutboxMail.last_error).outerjoin(OutboxMail, MAIL_OF_CLIENT)


def _page_query(portal_id: str, view: TableView, limit: int) -> Select[ImportedClient, MailState, str | None]:
    key = _SORT_KEYS[view.sort]
    columns = [ImportedClient.id.expression] if key is None else [key, ImportedClient.id.expression]
    cursor = view.cursor
    # Before a row in one order is after it in the other.
    descending = view.descending != (cursor is not None and cursor.backwards)
    query = _rows().where(*_matches(portal_id, view))
    if cursor is not None:
        place = [cursor.client_id] if key is None else [cursor.key, cursor.client_id]
        query = query.where(tuple_(*columns) < tuple(place) if descending else tuple_(*columns) > tuple(place))
    return query.order_by(*(c.desc() if descending else c.asc() for c in columns)).limit(limit)


def _narrowed(query: Select[*Columns], portal_id: str, view: TableView) -> Select[*Columns]:
    """A query for clients alone, narrowed to a view's filters; the mails are joined only if a filter needs them."""
    query = query.where(*_matches(portal_id, view))
    if view.health in {Health.WAITING, Health.FAILED}:
        return query.join(OutboxMail, MAIL_OF_CLIENT)
    return query.outerjoin(OutboxMail, MAIL_OF_CLIENT) if view.health else query


def _matches(portal_id: str, view: TableView) -> list[ColumnElement[bool]]:
    conditions = [ImportedClient.portal_id == portal_id]
    if view.statuses:
        conditions.append(ImportedClient.status.in_(view.statuses))
    if view.company_name:
        conditions.append(ImportedClient.company_name_folded.contains(fold(view.company_name), autoescape=True))
    if view.email:
        # Addresses are stored in lower case, not folded: a domain may hold a letter that folds into two.
        term = unicodedata.normalize("NFC", view.email).lower()
        conditions.append(ImportedClient.email.contains(term, autoescape=True))
    if view.health:
        conditions += [ImportedClient.status == ClientStatus.INVITE_SENT, _is(view.health, now())]
    return conditions


def _is(health: Health, at: datetime) -> ColumnElement[bool]:
    failed = OutboxMail.state == MailState.FAILED
    unregistered = ImportedClient.registered_at.is_(None)
    match health:
        case Health.WAITING:
            return OutboxMail.state.in_(_ON_ITS_WAY)
        case Health.FAILED:
            return failed
        case Health.EXPIRED:
            return and_(unregistered, ImportedClient.link_expires_at <= at)
        case Health.ATTENTION:
            return or_(failed, ~unregistered, ImportedClient.link_expires_at <= at + EXPIRES_SOON)


def _beside(view: TableView, row: ClientRow, *, backwards: bool) -> TableView:
    keys: dict[SortColumn, str | datetime | None] = {
        SortColumn.CREATED: None,
        SortColumn.COMPANY_NAME: row.client.company_name_folded,
        SortColumn.EMAIL: row.client.email,
        SortColumn.STATUS: row.client.status,
        SortColumn.EMAIL_LAST_SENT: row.client.email_last_sent_at,
    }
    return replace(view, cursor=Cursor(keys[view.sort], row.client.id, backwards))


def _row(client: ImportedClient, state: MailState | None, note: str | None, pause: Pause | None) -> ClientRow:
    if pause is not None and state is MailState.QUEUED:
        note = pause.reason
    # Mails that were sent long ago are pruned.
    return ClientRow(client, state or MailState.SENT, note, now())
