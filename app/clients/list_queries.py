"""The queries of the Imported Clients table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, func, select, tuple_

from app.clients.counts import Count, Summary, count_matching
from app.clients.filters import COUNT_LIMIT, MAIL_OF_CLIENT, Moments, matches, matching_keys, narrowed
from app.clients.list_params import Cursor, SortColumn, TableView
from app.clients.rows import ClientRow
from app.core.clock import now
from app.extensions import db
from app.models import ImportedClient, MailState, OutboxMail
from app.outbox.routing import Pause, pauses_of
from app.portals.ended_access import ended_among

_RowColumns = tuple[ImportedClient, MailState, str | None, int, int, datetime]

_SORT_KEYS: dict[SortColumn, ColumnElement[Any] | None] = {
    SortColumn.CREATED: None,  # ids are ordered by time
    SortColumn.COMPANY_NAME: ImportedClient.company_name_folded.expression,
    SortColumn.EMAIL: ImportedClient.email.expression,
    SortColumn.STATUS: ImportedClient.status.expression,
    SortColumn.EMAIL_LAST_SENT: ImportedClient.email_last_sent_at.expression,
}


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


def client_page(portal_id: str, view: TableView) -> ClientPage:
    """One page of a portal's clients. Keyset pagination: every page costs the same, wherever it is."""
    cursor = view.cursor
    backwards = cursor is not None and cursor.backwards
    moments = Moments.now()
    # Few of a portal's clients match these, an import at most a thousand.
    count = count_matching(portal_id, view, moments) if view.health or view.import_id else None
    query = _page_query(portal_id, view, moments, are_few=count is not None and not count.is_more)
    found = db.session.execute(query.limit(view.size + 1)).all()
    more = len(found) > view.size
    pause, account_pause = pauses_of(portal_id)
    rows = _with_access(portal_id, [_row(*row, pause) for row in found[: view.size]])
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
) -> Sequence[Row[UUID, str, str, bool, bool]]:
    """Id, company name, address, `has_account` and `is_declined` of clients: that a view matches, or with these ids.

    At most `limit` rows, newest first. Ids of other portals find nothing.
    """
    query = select(
        ImportedClient.id,
        ImportedClient.company_name,
        ImportedClient.email,
        ImportedClient.has_account,
        ImportedClient.is_declined,
    )
    if isinstance(which, TableView):
        query = narrowed(query, portal_id, which)
    else:
        query = query.where(ImportedClient.portal_id == portal_id, ImportedClient.id.in_(which))
    return db.session.execute(query.order_by(ImportedClient.id.desc()).limit(limit)).all()


def client_row(portal_id: str, client_id: UUID) -> ClientRow | None:
    """One row of the table, or None if the portal has no such client."""
    query = _rows().where(ImportedClient.portal_id == portal_id, ImportedClient.id == client_id)
    found = db.session.execute(query).first()
    return _with_access(portal_id, [_row(*found, pauses_of(portal_id)[0])])[0] if found else None


def count_clients(portal_id: str, view: TableView, page: ClientPage, numbers: Summary) -> Count:
    """How many clients match a view's filters. `page` is the page that the view shows, and `numbers` its portal's."""
    if page.previous is None and page.next is None:
        # The page shows all matches, so its size is the count and always agrees with what is shown. Searching a rare
        # term again would take as long as the first time.
        return Count(len(page.rows))
    if page.count is not None:
        return page.count
    if not view.is_filtered:
        return numbers.all
    return count_matching(portal_id, view, Moments.now())


def first_position(portal_id: str, page: ClientPage) -> int | None:
    """The place of a page's first row among all matches, counted from 1. None if it is beyond `COUNT_LIMIT`."""
    if page.previous is None:
        return 1
    are_few = page.count is not None and not page.count.is_more
    rows = _page_query(portal_id, page.previous, Moments.now(), are_few=are_few)
    before = rows.with_only_columns(ImportedClient.id, maintain_column_froms=True).limit(COUNT_LIMIT + 1)
    found = db.session.scalar(select(func.count()).select_from(before.subquery())) or 0
    return found + 1 if found <= COUNT_LIMIT else None


def _rows() -> Select[*_RowColumns]:
    mail = (
        OutboxMail.state,
        OutboxMail.last_error,
        OutboxMail.unknown_outcomes,
        OutboxMail.attempts,
        OutboxMail.due_at,
    )
    return select(ImportedClient, *mail).outerjoin(OutboxMail, MAIL_OF_CLIENT)


def _page_query(portal_id: str, view: TableView, moments: Moments, *, are_few: bool) -> Select[*_RowColumns]:
    key = _SORT_KEYS[view.sort]
    columns = [ImportedClient.id.expression] if key is None else [key, ImportedClient.id.expression]
    cursor = view.cursor
    # The rows before a row in one order are those after it in the reverse order.
    descending = view.descending != (cursor is not None and cursor.backwards)
    if are_few:
        # In index order the database might meet these few only after a million rows. The subquery selects by both key
        # columns, because with the portal alone a database would still scan in the sort order.
        few = matching_keys(portal_id, view, moments)
        query = _rows().where(tuple_(ImportedClient.portal_id, ImportedClient.id).in_(few))
    else:
        query = _rows().where(*matches(portal_id, view))
    if cursor is not None:
        place = [cursor.client_id] if key is None else [cursor.key, cursor.client_id]
        query = query.where(tuple_(*columns) < tuple(place) if descending else tuple_(*columns) > tuple(place))
    return query.order_by(*(c.desc() if descending else c.asc() for c in columns))


def _beside(view: TableView, row: ClientRow, *, backwards: bool) -> TableView:
    keys: dict[SortColumn, str | datetime | None] = {
        SortColumn.CREATED: None,
        SortColumn.COMPANY_NAME: row.client.company_name_folded,
        SortColumn.EMAIL: row.client.email,
        SortColumn.STATUS: row.client.status,
        SortColumn.EMAIL_LAST_SENT: row.client.email_last_sent_at,
    }
    return replace(view, cursor=Cursor(keys[view.sort], row.client.id, backwards))


def _with_access(portal_id: str, rows: Sequence[ClientRow]) -> list[ClientRow]:
    """The rows, with when access was ended."""
    clients = [row.client for row in rows]
    joined = [one.user_id for one in clients if one.is_joined and one.user_id is not None]
    ended = ended_among(portal_id, joined, [one.email for one in clients if not one.is_joined])
    return [
        replace(
            row,
            access_ended_at=ended.by_account.get(row.client.user_id or 0, row.client.access_ended_at)
            if row.client.is_joined
            else ended.by_address.get(row.client.email),
        )
        for row in rows
    ]


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
