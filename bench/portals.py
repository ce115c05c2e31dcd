"""Portals with clients as after a year of use: most have joined, many links have expired, some mails failed."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from urllib.parse import unquote

import psycopg

from app import create_app
from app.core.clock import now
from app.core.ids import first_id_at
from app.core.text import fold
from app.extensions import db
from app.models import MailKind, Portal, Role
from app.outbox.priorities import queue_for
from app.portals.service import grant_role
from bench.support import ADMIN, Clients, Database
from config import load_settings
from tests.support.factories import make_portal

_YEAR = timedelta(days=365)
_LINK_LIVES = timedelta(days=7)
_MAILS_WAIT = timedelta(hours=12)
_SLICES = 50
"""The portals of a database are filled in so many slices each, so that their rows lie among each other."""

COLUMNS = {
    "imported_client": (
        "portal_id id company_name company_name_folded email status created_at email_last_sent_at generation"
        " invited_by_id link_expires_at link_lapsed_at user_id registered_at registered_generation joined_at"
    ),
    "outbox_mail": (
        "id kind portal_id client_id generation recipient params message_id created_at queue state attempts due_at"
        " last_error sent_at"
    ),
    "client_event": "portal_id client_id kind generation at",
}
Row = tuple[object, ...]


def fill(database: Database, sizes: Mapping[str, int]) -> None:
    """Fill portals with clients, given the number for each portal id. Makes missing portals, with the same admin."""
    clients, year = Clients(), _Year()
    _make_portals(database, sizes)
    writer = (_Sqlite if database.kind == "sqlite" else _Postgresql)(database)
    for part in range(_SLICES):
        for portal_id, size in sizes.items():
            numbers = range(size * part // _SLICES, size * (part + 1) // _SLICES)
            named = zip(clients.take(len(numbers)), (1 - number / size for number in numbers), strict=True)
            writer.write(year.rows(portal_id, [(*client, age) for client, age in named]))
    writer.finish()


class _Year:
    """Generates the states of clients that were invited in the course of a year. The same in every run."""

    def __init__(self) -> None:
        self._end = now()
        self._random = random.Random(11)
        self._numbers = count(1)

    def rows(self, portal_id: str, clients: Sequence[tuple[str, str, float]]) -> dict[str, list[Row]]:
        """The rows for clients, by table. Each client has name, address and age, from 1 (a year) to 0 (now)."""
        tables: dict[str, list[Row]] = {"imported_client": [], "outbox_mail": [], "client_event": []}
        for name, email, age in clients:
            client, mails = self._client(portal_id, name, email, _YEAR * age)
            tables["imported_client"].append(client)
            tables["outbox_mail"] += mails
            # One event is enough, because the application asks only for the newest.
            tables["client_event"].append((portal_id, client[1], "invited", 1, client[6]))
        return tables

    def _client(self, portal_id: str, name: str, email: str, age: timedelta) -> tuple[Row, list[Row]]:
        chance = self._random.random
        id_ = self._id(self._end - age)
        # One client in twenty was invited a second time.
        asked = [self._end - age, self._end - age * chance()] if chance() < 0.05 else [self._end - age]
        last, since = asked[-1], self._end - asked[-1]
        state, status, registered_at, joined_at, expires_at = "sent", "invite_sent", None, None, None
        fate = chance()
        if fate < 0.04:
            state = "failed"
        elif since < _MAILS_WAIT and fate < 0.5:
            state = "queued"
        else:
            expires_at = last + _LINK_LIVES
        if state == "sent" and chance() < (0.6 if since > _LINK_LIVES else 0.25):
            status, registered_at = "joined", last + min(since, _LINK_LIVES) * chance()
            joined_at = registered_at
        elif state == "sent" and chance() < 0.05:
            registered_at = last + min(since, _LINK_LIVES) * chance()
        generation = len(asked)
        client = (
            *(portal_id, id_, name, fold(name), email, status, _moment(asked[0]), _moment(last), generation, 1),
            _moment(expires_at),
            _moment(expires_at if expires_at and expires_at < self._end and not registered_at else None),
            1 if registered_at else None,
            *(_moment(registered_at), generation if registered_at else None, _moment(joined_at)),
        )
        mails = [
            self._mail(portal_id, id_, name, email, number, at, state if number == generation else "sent")
            for number, at in enumerate(asked, 1)
        ]
        return client, mails

    def _mail(
        self, portal_id: str, client_id: str, name: str, email: str, generation: int, at: datetime, state: str
    ) -> Row:
        names = {"portal_name": "Harbour Tours", "company_name": name, "inviter_name": "Ada Berg"}
        id_, moment = self._id(at), _moment(at)
        return (
            *(id_, "invitation", portal_id, client_id, generation, email, json.dumps(names)),
            *(f"<{id_}@clients.harbour.test>", moment, queue_for(MailKind.INVITATION, portal_id), state),
            *(0 if state == "queued" else 1, moment),
            "550 5.1.1 No such mailbox here" if state == "failed" else None,
            moment if state == "sent" else None,
        )

    def _id(self, at: datetime) -> str:
        """An id as `new_id` would have made it at that time."""
        return f"{first_id_at(at).int | 0x7 << 76 | 0b10 << 62 | next(self._numbers):032x}"


def _moment(at: datetime | None) -> str | None:
    """A time in SQLite's format. PostgreSQL's session is set to UTC, so it reads the same text."""
    return at.replace(tzinfo=None).isoformat(" ", "microseconds") if at else None


def _make_portals(database: Database, portal_ids: Collection[str]) -> None:
    """Make the portals through the application, which knows what their rows need.

    They are few, so speed is no concern.
    """
    app = create_app(load_settings(database.settings))
    with app.app_context():
        for portal_id in portal_ids:
            if db.session.get(Portal, portal_id) is None:
                make_portal(portal_id, f"Portal {portal_id}")
                grant_role(portal_id, ADMIN, Role.CLIENT_ADMIN)
        db.session.remove()
        db.engine.dispose()


class _Sqlite:
    """Writes without waiting for the disk. A killed benchmark starts over, so nothing has to survive."""

    def __init__(self, database: Database) -> None:
        path = unquote(database.url.removeprefix("sqlite:///"))
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("synchronous=OFF", "foreign_keys=OFF", "cache_size=-500000"):
            self._connection.execute(f"PRAGMA {pragma}")

    def write(self, tables: Mapping[str, Sequence[Row]]) -> None:
        self._connection.execute("BEGIN")
        for name, rows in tables.items():
            columns = COLUMNS[name].split()
            marks = ",".join("?" * len(columns))
            self._connection.executemany(f"INSERT INTO {name} ({','.join(columns)}) VALUES ({marks})", rows)
        self._connection.execute("COMMIT")

    def finish(self) -> None:
        # No ANALYZE, because the application does not run it on SQLite either.
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()


class _Postgresql:
    """Writes with COPY, without checking foreign keys."""

    def __init__(self, database: Database) -> None:
        options = "-c timezone=UTC -c session_replication_role=replica -c synchronous_commit=off"
        self._connection = psycopg.connect(database.url, autocommit=True, options=options)

    def write(self, tables: Mapping[str, Sequence[Row]]) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for name, rows in tables.items():
                with cursor.copy(f"COPY {name} ({','.join(COLUMNS[name].split())}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)

    def finish(self) -> None:
        # As the import's refresh_statistics and, a minute later, autovacuum do.
        self._connection.execute("VACUUM ANALYZE")
        self._connection.execute("CHECKPOINT")
        self._connection.close()
