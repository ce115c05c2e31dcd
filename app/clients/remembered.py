"""The table as it was rendered a moment ago, for who asks for the same again.

Rendering takes ten times as long as everything else, and open pages ask every few seconds. What is remembered holds
while two things do:

- The portal's history has the same newest event. Whatever a person does, and most of what happens by itself, writes an
  event in its transaction, so it is seen at once, whichever process did it.
- It is not older than `LIFETIME_SECONDS`, for what writes no event: a mail that is taken up or tried again later, the
  pause of a mail server, and time itself.

Events get their numbers when they are written and are seen when they are committed, on PostgreSQL not always in the
same order: while the newest is young, an older one may still come. So there is a memory only of portals where nothing
has happened for `_SETTLED_AFTER`.

Nothing of a person is in it. Where the CSRF token of the session belongs stands `CSRF_MARK`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from time import monotonic

from flask import current_app
from markupsafe import Markup
from sqlalchemy import bindparam, select

from app.clients.view import Cursor, TableView
from app.clock import now
from app.extensions import db
from app.models import ClientEvent

LIFETIME_SECONDS = 1.0
MOST_TABLES = 64
"""A full page of 100 rows is about 200 KB."""
CSRF_MARK = Markup("<csrf token>")
"""No data can look like it: in HTML that is rendered, each `<` of data is escaped."""

_SETTLED_AFTER = timedelta(seconds=2)
_NEWEST_EVENT = (
    select(ClientEvent.id, ClientEvent.at)
    .where(ClientEvent.portal_id == bindparam("portal_id"))
    .order_by(ClientEvent.id.desc())
    .limit(1)
)


@dataclass(frozen=True)
class TableKey:
    """All that a rendered table depends on, beside the database and the time."""

    portal_id: str
    view: TableView
    cursor: Cursor | None
    """The view's own, by which views are not told apart."""
    may_change: bool
    language: str
    script_root: str
    """What the addresses in it begin with."""
    embedding: str
    """Inside which page it stands; empty for our own."""


@dataclass(frozen=True)
class RenderedTable:
    html: str
    """With `CSRF_MARK` where the token belongs."""
    fingerprint: str

    def html_for(self, csrf_token: str) -> Markup:
        """The HTML for somebody with this token."""
        return Markup(self.html.replace(CSRF_MARK, csrf_token))  # noqa: S704 - rendered by our own template


class RememberedTables:
    """The memory of one process, at most `MOST_TABLES`, the newest; safe for threads."""

    def __init__(self) -> None:
        self._tables: dict[TableKey, tuple[RenderedTable, int | None, float]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._tables)

    def get(self, key: TableKey, newest_event: int | None) -> RenderedTable | None:
        """The table, if it was rendered a moment ago, when the portal's newest event was this one."""
        table, event, until = self._tables.get(key, (None, None, 0.0))
        return table if event == newest_event and monotonic() < until else None

    def put(self, key: TableKey, newest_event: int | None, read_at: float, table: RenderedTable) -> None:
        """Remember a table, whose event and moment (`monotonic`) are from before the database was read for it."""
        with self._lock:
            self._tables.pop(key, None)  # so that the order is that of age
            self._tables[key] = (table, newest_event, read_at + LIFETIME_SECONDS)
            while len(self._tables) > MOST_TABLES:
                del self._tables[next(iter(self._tables))]


def remembered_tables() -> RememberedTables:
    """Those of this application."""
    tables: RememberedTables = current_app.extensions["remembered_tables"]
    return tables


def newest_event(portal_id: str) -> tuple[int | None, bool]:
    """The newest event in a portal's history, if there is any, and whether all older ones are there too by now."""
    found = db.session.execute(_NEWEST_EVENT, {"portal_id": portal_id}).first()
    return (found.id, now() - found.at > _SETTLED_AFTER) if found else (None, True)
