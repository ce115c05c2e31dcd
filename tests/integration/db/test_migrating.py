"""Migrations beside processes that use the database: requests go on, and the migration tries again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import flask_migrate
import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from flask import Flask
from sqlalchemy import Connection, event, text

from app import create_app
from app.db import migrating
from app.extensions import db
from config import load_settings
from tests.support.databases import PostgresqlDatabases, SqliteDatabases

_BEFORE = "0024"
"""From here on, processes may run beside a migration."""


def app_on(database_url: str) -> Flask:
    return create_app(
        load_settings({"DATABASE_URL": database_url, "SECRET_KEY": "a key for migrations and nothing else"})
    )


@pytest.fixture
def postgresql_url(postgresql_databases: PostgresqlDatabases, tmp_path: Path) -> str:
    return postgresql_databases.empty(tmp_path, "migrating")


@pytest.fixture
def on_postgresql(postgresql_url: str) -> Iterator[Flask]:
    app = app_on(postgresql_url)
    with app.app_context():
        flask_migrate.upgrade(revision=_BEFORE)
        db.session.remove()
    yield app
    with app.app_context():
        db.engine.dispose()


def test_a_request_that_holds_one_table_and_needs_the_other_goes_first(
    on_postgresql: Flask, postgresql_url: str
) -> None:
    """Else PostgreSQL sees that the two wait for each other, and ends the request's transaction."""
    failures: list[BaseException] = []

    def take_both() -> None:
        try:
            with on_postgresql.app_context(), db.engine.connect() as connection:
                migrating.migrate(connection, _taking(connection, "portal", refers_to=["imported_client"]))
        except BaseException as error:
            failures.append(error)

    thread = Thread(target=take_both)
    with psycopg.connect(postgresql_url) as request, psycopg.connect(postgresql_url, autocommit=True) as watcher:
        # PostgreSQL ends who looks first. A request may look at once, if it waited before the migration held a table.
        request.execute("SET deadlock_timeout = '1ms'")
        request.execute("DELETE FROM imported_client")
        thread.start()
        _wait_for_lock(watcher, "portal", is_held=True)
        request.execute("SELECT FROM portal")
    thread.join(60)
    assert failures == []


def _taking(connection: Connection, *tables: str, refers_to: Sequence[str] = ()) -> Callable[[], None]:
    """A migration that takes tables."""

    def run() -> None:
        with Operations.context(MigrationContext.configure(connection)), connection.begin():
            migrating.lock_tables(*tables, refers_to=refers_to)

    return run


def _wait_for_lock(watcher: psycopg.Connection, table: str, *, is_held: bool = False) -> None:
    """Until somebody waits for a table, or has it for themselves."""
    query = """
        SELECT count(*) FROM pg_locks
        WHERE granted = %s AND mode = 'AccessExclusiveLock' AND relation = %s::regclass
    """
    end = monotonic() + 30
    while not watcher.execute(query, [is_held, table]).fetchone()[0]:  # type: ignore[index]
        assert monotonic() < end
        sleep(0.005)


def test_a_migration_that_holds_nothing_waits_for_a_long_transaction(on_postgresql: Flask, postgresql_url: str) -> None:
    """Beside many processes, some transaction has each table at every moment, and a short wait would never end well."""

    def end_soon() -> None:
        with closing(psycopg.connect(postgresql_url, autocommit=True)) as watcher:
            _wait_for_lock(watcher, "portal")
            sleep(1)  # longer than who holds a table may ask for another one
            request.rollback()

    with psycopg.connect(postgresql_url) as request, on_postgresql.app_context(), db.engine.connect() as connection:
        request.execute("SELECT FROM portal")
        ending = Thread(target=end_soon)
        ending.start()
        migrating.migrate(connection, _taking(connection, "portal"), tries=1)
        ending.join()


def test_a_migration_takes_all_its_tables_at_first(on_postgresql: Flask) -> None:
    """What it takes later might never be free while it holds the others."""
    taken_later: list[tuple[str, str]] = []
    not_taken: set[str] = set()
    """Tables that were there before the migration, and that it has not taken at first."""
    referred_to: set[str] = set()
    """Those that it has taken so that others may read them."""

    def ask(connection: Connection, query: str) -> set[str]:
        return {row[0] for row in connection.connection.driver_connection.execute(query)}

    def note_locks(connection: Connection, _cursor: object, statement: str, *_more: object) -> None:
        if statement.startswith("BEGIN"):
            referred_to.clear()
            not_taken.update(ask(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        elif statement.startswith("LOCK TABLE"):
            not_taken.difference_update(ask(connection, _STRONG_LOCKS))
            referred_to.update(ask(connection, _STRONG_LOCKS) - ask(connection, _EXCLUSIVE_LOCKS))
            referred_to.difference_update(ask(connection, _EXCLUSIVE_LOCKS))
        else:
            found = ask(connection, _STRONG_LOCKS) & not_taken | ask(connection, _EXCLUSIVE_LOCKS) & referred_to
            taken_later.extend((table, statement) for table in found)

    with on_postgresql.app_context():
        event.listen(db.engine, "after_cursor_execute", note_locks)
        flask_migrate.upgrade()
        event.remove(db.engine, "after_cursor_execute", note_locks)
        db.session.remove()
    assert "portal" in not_taken
    assert taken_later == []


_STRONG_LOCKS = """
    SELECT relname FROM pg_locks JOIN pg_class ON pg_class.oid = relation
    WHERE pid = pg_backend_pid() AND relkind = 'r' AND relnamespace = 'public'::regnamespace
    AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""
_EXCLUSIVE_LOCKS = f"{_STRONG_LOCKS} AND mode = 'AccessExclusiveLock'"


def test_who_holds_a_table_for_too_long_is_said_so(on_postgresql: Flask, postgresql_url: str) -> None:
    def add_a_column() -> None:
        with connection.begin():
            connection.execute(text("ALTER TABLE portal ADD COLUMN x integer"))

    with psycopg.connect(postgresql_url) as request, on_postgresql.app_context(), db.engine.connect() as connection:
        request.execute("SELECT FROM portal")
        with pytest.raises(migrating.TooBusy):
            migrating.migrate(connection, add_a_column, tries=2)
        request.rollback()
        migrating.migrate(connection, add_a_column, tries=1)


def test_on_sqlite_nobody_writes_between_what_a_migration_reads_and_what_it_writes(
    sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    """Else SQLite refuses its writes ("database is locked"), whatever the timeout."""
    url = sqlite_databases.copy(tmp_path, "migrating")
    app = app_on(url)

    def add_a_column() -> None:
        with connection.begin():
            connection.execute(text("SELECT * FROM portal"))
            other = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0)
            with closing(other), suppress(sqlite3.OperationalError):
                other.execute("UPDATE sending SET batches = batches + 1")
                other.commit()
            connection.execute(text("ALTER TABLE portal ADD COLUMN x integer"))

    with app.app_context(), db.engine.connect() as connection:
        migrating.migrate(connection, add_a_column, tries=1)
    with app.app_context():
        db.engine.dispose()
