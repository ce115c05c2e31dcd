"""The queries of the Imported Clients table."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import Enum, auto
from functools import cache
from typing import Any, TypeVarTuple
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    func,
    not_,
    or_,
    select,
    tuple_,
    union_all,
)

from app.clients.list_params import Cursor, Health, SortColumn, TableView
from app.clients.rows import EXPIRES_SOON, ON_ITS_WAY, UNDELIVERED, ClientRow
from app.core.clock import now
from app.core.text import fold
from app.extensions import db
from app.models import ClientStatus, ImportedClient, MailKind, MailState, OutboxMail
from app.models.types import UtcDateTime
from app.outbox.routing import Pause, pauses_of

COUNT_LIMIT = 1000
"""Counts are exact up to this number. Beyond it, "more than" is good enough and saves the counting."""

MAIL_OF_CLIENT = and_(
    OutboxMail.portal_id == ImportedClient.portal_id,
    OutboxMail.client_id == ImportedClient.id,
    OutboxMail.kind == MailKind.INVITATION,
    OutboxMail.generation == ImportedClient.generation,
)
"""Joins a client with the mail of its current invitation. Mails are pruned long after sending, so it may find none."""

Columns = TypeVarTuple("Columns")
_RowColumns = tuple[ImportedClient, MailState, str | None, int, int, datetime]

_BY_MAIL = {Health.WAITING, Health.FAILED}
"""The filters that the state of the mail alone decides."""
_PENDING = ImportedClient.status == ClientStatus.INVITE_SENT
_UNREGISTERED = ImportedClient.registered_at.is_(None)

_SORT_KEYS: dict[SortColumn, ColumnElement[Any] | None] = {
    SortColumn.CREATED: None,  # ids are ordered by time
    SortColumn.COMPANY_NAME: ImportedClient.company_name_folded.expression,
    SortColumn.EMAIL: ImportedClient.email.expression,
    SortColumn.STATUS: ImportedClient.status.expression,
    SortColumn.EMAIL_LAST_SENT: ImportedClient.email_last_sent_at.expression,
}


@dataclass(frozen=True)
class Count:
    """A number of clients, exact up to `COUNT_LIMIT`."""

    found: int

    @property
    def is_more(self) -> bool:
        return self.found > COUNT_LIMIT

    def __str__(self) -> str:
        return f"{COUNT_LIMIT:,}+" if self.is_more else f"{self.found:,}"


@dataclass(frozen=True)
class ClientPage:
    """A page of the table, with the views of the previous and next page, if there are any."""

    rows: Sequence[ClientRow]
    previous: TableView | None
    next: TableView | None
    pause: Pause | None
    """The pause that holds up the portal's mails, if any."""
    account_pause: Pause | None
    """The pause that holds up mails about accounts, if they have another route than the portal's mails."""
    count: Count | None
    """The number of matching clients, if the query needed it."""
    is_emptied: bool = False
    """Whether the requested page has no clients any more and this page replaces it."""

    @property
    def may_change_by_itself(self) -> bool:
        is_paused = self.pause is not None or self.account_pause is not None
        return is_paused or any(row.may_change_by_itself for row in self.rows)


@dataclass(frozen=True)
class _Moments:
    """The times that expiry is compared with: values, or bind parameters of a cached query."""

    at: datetime | BindParameter[datetime]
    soon: datetime | BindParameter[datetime]

    @classmethod
    def now(cls) -> _Moments:
        at = now()
        return cls(at, at + EXPIRES_SOON)


class _Reason(Enum):
    """Reasons for attention that are not values of `Health`."""

    UNVERIFIED = auto()
    EXPIRES_SOON = auto()


@dataclass(frozen=True)
class Glance:
    """The numbers above the table: the states of a portal's invitations."""

    invited: Count
    waiting: Count
    failed: Count
    expired: Count
    attention: Count
    joined: Count


def client_page(portal_id: str, view: TableView) -> ClientPage:
    """One page of a portal's clients. Keyset pagination: every page costs the same, wherever it is."""
    cursor = view.cursor
    backwards = cursor is not None and cursor.backwards
    moments = _Moments.now()
    count = _count(portal_id, view, moments) if view.health else None
    query = _page_query(portal_id, view, moments, are_few=count is not None and not count.is_more)
    found = db.session.execute(query.limit(view.size + 1)).all()
    more = len(found) > view.size
    pause, account_pause = pauses_of(portal_id)
    rows = [_row(*row, pause) for row in found[: view.size]]
    if backwards:
        rows.reverse()
    has_previous = more if backwards else cursor is not None
    has_next = backwards or more
    return ClientPage(
        rows,
        pause=pause,
        account_pause=account_pause if account_pause != pause else None,
        count=count,
        previous=_beside(view, rows[0], backwards=True) if rows and has_previous else None,
        next=_beside(view, rows[-1], backwards=False) if rows and has_next else None,
    )


def nearest_page(portal_id: str, view: TableView) -> ClientPage:
    """The page that a view asks for, or the nearest page that has clients if that one is empty."""
    page, cursor = client_page(portal_id, view), view.cursor
    if cursor is not None and cursor.backwards and len(page.rows) < view.size:
        # These are the first rows. So many before the cursor were removed that they no longer fill a page.
        return client_page(portal_id, replace(view, cursor=None))
    return _last_page(portal_id, view) if cursor is not None and not page.rows else page


def _last_page(portal_id: str, view: TableView) -> ClientPage:
    """The last page: the first page of the reversed order, turned round."""
    turned = client_page(portal_id, replace(view, descending=not view.descending, cursor=None))
    rows = turned.rows[::-1]
    previous = _beside(view, rows[0], backwards=True) if turned.next else None
    return replace(turned, rows=rows, previous=previous, next=None, is_emptied=bool(rows))


def named_clients(
    portal_id: str, which: TableView | Collection[UUID], limit: int
) -> Sequence[Row[UUID, str, str, ClientStatus, bool]]:
    """Id, company name, address, status and `is_declined` of the clients that a view matches, or that have these ids.

    At most `limit` rows, newest first. Ids of other portals find nothing.
    """
    query = select(
        ImportedClient.id,
        ImportedClient.company_name,
        ImportedClient.email,
        ImportedClient.status,
        ImportedClient.is_declined,
    )
    if isinstance(which, TableView):
        query = _narrowed(query, portal_id, which)
    else:
        query = query.where(ImportedClient.portal_id == portal_id, ImportedClient.id.in_(which))
    return db.session.execute(query.order_by(ImportedClient.id.desc()).limit(limit)).all()


def client_row(portal_id: str, client_id: UUID) -> ClientRow | None:
    """One row of the table, or None if the portal has no such client."""
    query = _rows().where(ImportedClient.portal_id == portal_id, ImportedClient.id == client_id)
    found = db.session.execute(query).first()
    return _row(*found, pauses_of(portal_id)[0]) if found else None


def count_clients(portal_id: str, view: TableView, page: ClientPage, numbers: Glance) -> Count:
    """How many clients match a view's filters. `page` is the page that the view shows, and `numbers` its portal's."""
    if page.previous is None and page.next is None:
        # The page shows all matches, so its size is the count and always agrees with what is shown. Searching a rare
        # term again would take as long as the first time.
        return Count(len(page.rows))
    if page.count is not None:
        return page.count
    if not view.is_filtered:
        return Count(numbers.invited.found + numbers.joined.found)
    return _count(portal_id, view, _Moments.now())


def glance(portal_id: str) -> Glance:
    """The numbers above the table."""
    moments = _Moments.now()
    numbers = {"portal_id": portal_id, "at": moments.at, "soon": moments.soon}
    return Glance(*map(Count, db.session.execute(_glance_query(), numbers).one()))


def _rows() -> Select[*_RowColumns]:
    mail = (
        OutboxMail.state,
        OutboxMail.last_error,
        OutboxMail.unknown_outcomes,
        OutboxMail.attempts,
        OutboxMail.due_at,
    )
    return select(ImportedClient, *mail).outerjoin(OutboxMail, MAIL_OF_CLIENT)


def _count(portal_id: str, view: TableView, moments: _Moments) -> Count:
    return Count(db.session.scalar(_count_query(portal_id, view, moments)) or 0)


def _page_query(portal_id: str, view: TableView, moments: _Moments, *, are_few: bool) -> Select[*_RowColumns]:
    key = _SORT_KEYS[view.sort]
    columns = [ImportedClient.id.expression] if key is None else [key, ImportedClient.id.expression]
    cursor = view.cursor
    # The rows before a row in one order are those after it in the reverse order.
    descending = view.descending != (cursor is not None and cursor.backwards)
    if are_few:
        # In index order the database might meet these few only after a million rows. The subquery selects by both key
        # columns, because with the portal alone a database would still scan in the sort order.
        few = _matching_keys(portal_id, view, moments)
        query = _rows().where(tuple_(ImportedClient.portal_id, ImportedClient.id).in_(few))
    else:
        query = _rows().where(*_matches(portal_id, view))
    if cursor is not None:
        place = [cursor.client_id] if key is None else [cursor.key, cursor.client_id]
        query = query.where(tuple_(*columns) < tuple(place) if descending else tuple_(*columns) > tuple(place))
    return query.order_by(*(c.desc() if descending else c.asc() for c in columns))


@cache
def _glance_query() -> Select[*tuple[int, ...]]:
    """All numbers in one query. Built once, because building it takes as long as running it."""
    pending, joined = frozenset({ClientStatus.INVITE_SENT}), frozenset({ClientStatus.JOINED})
    views = {
        "invited": TableView(statuses=pending),
        "waiting": TableView(health=Health.WAITING),
        "failed": TableView(health=Health.FAILED),
        "expired": TableView(health=Health.EXPIRED),
        "attention": TableView(health=Health.ATTENTION),
        "joined": TableView(statuses=joined),
    }
    portal_id = bindparam("portal_id", type_=ImportedClient.portal_id.type)
    moments = _Moments(bindparam("at", type_=UtcDateTime()), bindparam("soon", type_=UtcDateTime()))
    counts = [_count_query(portal_id, views[field.name], moments) for field in fields(Glance)]
    return select(*(count.scalar_subquery() for count in counts))


def _count_query(portal_id: str | BindParameter[str], view: TableView, moments: _Moments) -> Select[int]:
    return select(func.count()).select_from(_matching_keys(portal_id, view, moments).subquery())


def _matching_keys(portal_id: str | BindParameter[str], view: TableView, moments: _Moments) -> Select[str, UUID]:
    """Portal and id of the matching clients, unordered, and no more of them than `COUNT_LIMIT` + 1."""
    if view.health is not Health.ATTENTION:
        return _keys(portal_id, view, view.health, moments).limit(COUNT_LIMIT + 1)
    # Each reason has its own index, and OR would use none of them. `_keys` finds a client with several reasons only by
    # the first, so UNION ALL has no duplicates. The most frequent reason comes first, because it often fills the limit.
    reasons = (_Reason.EXPIRES_SOON, _Reason.UNVERIFIED, Health.FAILED)
    keys = (_keys(portal_id, view, reason, moments) for reason in reasons)
    found = union_all(*keys).subquery()
    return select(found.c.portal_id, found.c.id).limit(COUNT_LIMIT + 1)


def _keys(
    portal_id: str | BindParameter[str], view: TableView, reason: Health | _Reason | None, moments: _Moments
) -> Select[str, UUID]:
    """Like `_matching_keys`, for one reason in place of the view's health.

    Phrased so that the reason's index is used.
    """
    query = select(ImportedClient.portal_id, ImportedClient.id)
    query = query.where(*_matches(portal_id, replace(view, health=None)))
    expires_later = or_(ImportedClient.link_expires_at.is_(None), ImportedClient.link_expires_at > moments.soon)
    match reason:
        case Health.WAITING | Health.FAILED:
            # SQLite starts with the mails, which are few, only if no index finds the clients. `!=` uses no index.
            query = query.join(OutboxMail, MAIL_OF_CLIENT).where(OutboxMail.portal_id == portal_id)
            query = query.where(_is(reason, moments), ImportedClient.status != ClientStatus.JOINED)
            if view.health is Health.ATTENTION:
                query = query.where(_UNREGISTERED, expires_later)
        case Health.EXPIRED:
            query = query.where(_PENDING, _UNREGISTERED, ImportedClient.link_expires_at <= moments.at)
        case _Reason.EXPIRES_SOON:
            query = query.where(_PENDING, ImportedClient.link_expires_at <= moments.soon)
        case _Reason.UNVERIFIED:
            # The same condition as the partial index has, so that only this index fits.
            unverified = (ImportedClient.registered_at.is_not(None), ImportedClient.joined_at.is_(None))
            query = query.where(*unverified, expires_later)
    return query


def _narrowed(query: Select[*Columns], portal_id: str, view: TableView) -> Select[*Columns]:
    """Narrow a query for clients to a view's filters. Joins the mails only if a filter needs them."""
    query = query.where(*_matches(portal_id, view))
    if view.health in _BY_MAIL:
        return query.join(OutboxMail, MAIL_OF_CLIENT)
    return query.outerjoin(OutboxMail, MAIL_OF_CLIENT) if view.health else query


def _matches(portal_id: str | BindParameter[str], view: TableView) -> list[ColumnElement[bool]]:
    conditions = [ImportedClient.portal_id == portal_id]
    if view.statuses:
        conditions.append(ImportedClient.status.in_(view.statuses))
    if view.company_name:
        conditions.append(ImportedClient.company_name_folded.contains(fold(view.company_name), autoescape=True))
    if view.email:
        # Addresses are stored in lower case, not folded: folding may turn one letter of a domain into two.
        term = unicodedata.normalize("NFC", view.email).lower()
        conditions.append(ImportedClient.email.contains(term, autoescape=True))
    if view.health:
        conditions += [_PENDING, _is(view.health, _Moments.now())]
    return conditions


def _is(health: Health, moments: _Moments) -> ColumnElement[bool]:
    failed = OutboxMail.state.in_(UNDELIVERED)
    match health:
        case Health.WAITING:
            return OutboxMail.state.in_(ON_ITS_WAY)
        case Health.FAILED:
            return failed
        case Health.EXPIRED:
            # Phrased so that no index fits. Otherwise SQLite would use that of the expiry and sort all rows it finds.
            lives = or_(ImportedClient.link_expires_at.is_(None), ImportedClient.link_expires_at > moments.at)
            return and_(_UNREGISTERED, not_(lives))
        case Health.ATTENTION:
            return or_(failed, ~_UNREGISTERED, ImportedClient.link_expires_at <= moments.soon)


def _beside(view: TableView, row: ClientRow, *, backwards: bool) -> TableView:
    keys: dict[SortColumn, str | datetime | None] = {
        SortColumn.CREATED: None,
        SortColumn.COMPANY_NAME: row.client.company_name_folded,
        SortColumn.EMAIL: row.client.email,
        SortColumn.STATUS: row.client.status,
        SortColumn.EMAIL_LAST_SENT: row.client.email_last_sent_at,
    }
    return replace(view, cursor=Cursor(keys[view.sort], row.client.id, backwards))


def _row(
    client: ImportedClient,
    state: MailState | None,
    note: str | None,
    unknown: int | None,
    attempts: int | None,
    due_at: datetime | None,
    pause: Pause | None,
) -> ClientRow:
    next_attempt_at = due_at if state is MailState.QUEUED else None
    if pause is not None and next_attempt_at is not None:
        note, next_attempt_at = pause.reason, max(next_attempt_at, pause.until)
    # A missing mail was sent long ago and pruned. One that was reported as spam has arrived: that its recipient does
    # not want it is shown like any other refusal, by `declined_at`.
    if state is None or state is MailState.COMPLAINED:
        state = MailState.SENT
    return ClientRow(
        client,
        state,
        note,
        now(),
        may_have_arrived=unknown != 0,
        next_attempt_at=next_attempt_at,
        attempts=attempts or 0,
    )
