"""How long Bulk Invite takes for a file of 1,000 rows, from sending it to the answer, which comes after the commit.

Measured on a running gunicorn, in turns with a floor: a small program that does the same reading, checking and writing
with nothing but csv, email-validator and the database's own driver. The result is the ratio of the medians; the
milliseconds depend on the machine. See README.md.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from urllib.parse import unquote

import psycopg
from email_validator import validate_email

from app.core.clock import now
from app.models import MailKind
from app.outbox.priorities import queue_for
from bench.support import (
    PORTAL,
    Clients,
    Database,
    Figure,
    add_forked,
    add_warm_up,
    databases,
    in_turns,
    say,
    table,
    tell,
)
from tests.support.browser import ic
from tests.support.databases import KINDS
from tests.support.production import Visitor, gunicorn

TARGET_TO_FLOOR = 1.8
TARGET_TO_EMPTY = 1.5

_NAME = re.compile(r"[\w .,&'’()/+\-]{1,100}\Z")
_HARDLY_ANY = 100
"""The rows of a table that we call empty.

With no rows at all, the database's planner has no statistics to work with.
"""
_PRELOADED_AT_ONCE = 20_000

COLUMNS = {
    "client_import": "portal_id id actor_id file_name row_count created_at",
    "imported_client": (
        "portal_id id company_name company_name_folded email status created_at import_id email_last_sent_at generation"
        " invited_by_id"
    ),
    "client_event": "portal_id client_id kind generation at actor_id",
    "outbox_mail": (
        "id kind portal_id client_id generation recipient params message_id created_at queue state attempts due_at"
    ),
}
Row = tuple[object, ...]


def read_and_check(data: bytes) -> list[tuple[str, str]]:
    """The floor of reading: no limits, no support for unusual files, no error messages."""
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    assert next(reader) == ["company_name", "email"]
    rows, seen = [], set()
    for cell, address in reader:
        name = cell.strip()
        assert _NAME.match(name)
        email = validate_email(address.strip(), check_deliverability=False, test_environment=True).normalized.lower()
        assert email not in seen
        seen.add(email)
        rows.append((name, email))
    return rows


def rows_of_tables(clients: Sequence[tuple[str, str]], state: str) -> dict[str, list[Row]]:
    """The rows that an import writes, by table."""
    at = now().replace(tzinfo=None).isoformat(" ")
    base = time.time_ns() << 64
    import_id, actor = f"{base:032x}", 1
    queue = queue_for(MailKind.INVITATION, PORTAL)
    imported: list[Row] = []
    events: list[Row] = []
    mails: list[Row] = []
    for number, (name, email) in enumerate(clients, 1):
        id_ = f"{base + number:032x}"
        imported.append(
            (PORTAL, id_, name, name.casefold(), email, "invite_sent", at, import_id, at, 1, actor),
        )
        events.append((PORTAL, id_, "invited", 1, at, actor))
        events.append((PORTAL, id_, "mail_queued", 1, at, None))
        names = {
            "portal_name": "Harbour Tours",
            "company_name": name,
            "inviter_name": "Ada Berg",
            "inviter_email": "ada@harbour.test",
        }
        message_id = f"<{id_}@clients.harbour.test>"
        mails.append(
            (id_, "invitation", PORTAL, id_, 1, email, json.dumps(names), message_id, at, queue, state, 0, at),
        )
    return {
        "client_import": [(PORTAL, import_id, actor, "clients.csv", len(clients), at)],
        "imported_client": imported,
        "client_event": events,
        "outbox_mail": mails,
    }


class SqliteFloor:
    """Writes with the standard library's driver, with the same pragmas as the application."""

    def __init__(self, database: Database) -> None:
        path = unquote(database.url.removeprefix("sqlite:///"))
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {pragma}")

    def write(self, clients: Sequence[tuple[str, str]], state: str = "queued") -> None:
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        emails = json.dumps([email for _, email in clients])
        known = "SELECT email FROM imported_client WHERE portal_id = ? AND email IN (SELECT value FROM json_each(?))"
        assert not run(known, (PORTAL, emails)).fetchall()
        for name, rows in rows_of_tables(clients, state).items():
            columns = COLUMNS[name].split()
            marks = ",".join("?" * len(columns))
            self._connection.executemany(f"INSERT INTO {name} ({','.join(columns)}) VALUES ({marks})", rows)
        run("COMMIT")

    def settle(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.execute("ANALYZE")

    def close(self) -> None:
        self._connection.close()


class PostgresqlFloor:
    """Writes with psycopg and COPY."""

    def __init__(self, database: Database) -> None:
        self._connection = psycopg.connect(database.url, autocommit=True)

    def write(self, clients: Sequence[tuple[str, str]], state: str = "queued") -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            emails = [email for _, email in clients]
            known = "SELECT email FROM imported_client WHERE portal_id = %s AND email = ANY(%s)"
            assert not cursor.execute(known, (PORTAL, emails)).fetchall()
            for name, rows in rows_of_tables(clients, state).items():
                with cursor.copy(f"COPY {name} ({','.join(COLUMNS[name].split())}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)

    def settle(self) -> None:
        self._connection.execute("VACUUM ANALYZE")
        self._connection.execute("CHECKPOINT")

    def close(self) -> None:
        self._connection.close()


Floor = SqliteFloor | PostgresqlFloor
FLOOR_OF: dict[str, Callable[[Database], Floor]] = {"sqlite": SqliteFloor, "postgresql": PostgresqlFloor}


def preload(database: Database, clients: Clients, count: int) -> None:
    """Fill the table with clients of earlier imports whose mails were sent."""
    floor = FLOOR_OF[database.kind](database)
    for done in range(0, count, _PRELOADED_AT_ONCE):
        floor.write(clients.take(min(_PRELOADED_AT_ONCE, count - done)), state="sent")
    floor.settle()
    floor.close()


def measure(kind: str, options: argparse.Namespace) -> dict[str, Figure]:
    """Measure every case on one kind of database. The keys are the columns of the table at the end."""
    clients = Clients()
    rows, preloaded = options.rows, options.preload
    with databases(kind) as make, ExitStack() as stack:

        def visitor_of(database: Database) -> Visitor:
            return Visitor(stack.enter_context(gunicorn(database.settings, fresh=options.fresh)), database.admin)

        def database_with(name: str, count: int) -> Database:
            database = make(name)
            preload(database, clients, count)
            return database

        floor = FLOOR_OF[kind](database_with("floor", _HARDLY_ANY))
        stack.callback(floor.close)
        empty = visitor_of(database_with("empty", _HARDLY_ANY))
        cases = {
            "floor": lambda: by_the_floor(floor, clients, rows),
            "import": lambda: by_upload(empty, clients, rows),
            "import, by htmx": lambda: by_upload(empty, clients, rows, htmx=True),
        }
        if preloaded:
            tell(f"{kind}: preloading {preloaded:,} clients …")
            full = visitor_of(database_with("full", preloaded))
            cases["import into the full table"] = lambda: by_upload(full, clients, rows)
        tell(f"{kind}: measuring …")
        return in_turns(kind, options.runs, cases, warm_up=options.warm_up)


def by_the_floor(floor: Floor, clients: Clients, rows: int) -> Callable[[], None]:
    data = clients.csv_file(rows)
    return lambda: floor.write(read_and_check(data))


def by_upload(visitor: Visitor, clients: Clients, rows: int, *, htmx: bool = False) -> Callable[[], None]:
    body, content_type = visitor.form_with(clients.csv_file(rows))

    def upload() -> None:
        answer = visitor.send(f"{ic(PORTAL)}/import", body, content_type, htmx=htmx)
        assert answer.status == (200 if htmx else 303), answer

    return upload


def report(kind: str, figures: dict[str, Figure], preloaded: int) -> list[list[str]]:
    """The lines of the table for one kind of database. Also prints the ratios as JSON."""
    lines = [[figure.figure, f"{figure.median:.0f} ms", "", ""] for figure in figures.values()]
    ratios = [("import", "floor", TARGET_TO_FLOOR), ("import, by htmx", "floor", TARGET_TO_FLOOR)]
    if preloaded:
        ratios.append(("import into the full table", "import", TARGET_TO_EMPTY))
    for name, other, target in ratios:
        ratio = round(figures[name].median / figures[other].median, 2)
        say({"figure": f"{kind}: {name} / {other}", "ratio": ratio, "target": target, "met": ratio <= target})
        lines.append([f"{kind}: {name} / {other}", f"{ratio:.2f}", f"{target:.1f}", "yes" if ratio <= target else "NO"])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=11, help="runs of each case that are counted (default 11)")
    parser.add_argument("--rows", type=int, default=1000, help="rows of a file (default 1000)")
    parser.add_argument(
        "--preload", type=int, default=1_000_000, metavar="N", help="rows of the full table; 0 leaves it out"
    )
    parser.add_argument("--database", choices=KINDS, action="append", help="only this one (default both)")
    add_warm_up(parser)
    add_forked(parser)
    options = parser.parse_args()
    lines: list[list[str]] = []
    for kind in options.database or KINDS:
        figures = measure(kind, options)
        lines += report(kind, figures, options.preload)
    print(table(["", "median", "target", "met"], lines))


if __name__ == "__main__":
    main()
