"""How migrations run beside processes that use the database: they give up a lock soon, and try again.

A migration that holds one table and waits for another may wait for a transaction that waits for the first table.
PostgreSQL ends one of the two after a second, which would be somebody's request. So the migration gives up earlier.

A migration that took its tables one by one would hardly ever get them beside many processes. So it takes them all at
the beginning, with `lock_tables`. It waits longer for the first one: as long as it holds nothing, there is no
deadlock. Who needs that table meanwhile waits behind it.

An autovacuum that holds a table is interrupted for whoever waits for longer than that second. So between two tries we
wait for each table with a lock that nobody at work minds, holding nothing else.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Collection
from time import monotonic, sleep

from alembic import op
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import OperationalError

TRIES = 100
"""Each may wait for ten seconds: on SQLite, and for a first table."""
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 0.8
_SHORTEST_WAIT_SECONDS = 0.01
_FIRST_TABLE_SECONDS = 10.0
"""Longer than a transaction takes."""
_AUTOVACUUM_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 1.0
_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"


class TooBusy(Exception):
    """Other processes held the tables at each try."""


def migrate(connection: Connection, run: Callable[[], None], *, tries: int = TRIES) -> None:
    """Run migrations, each in a transaction of its own, until all are done. `run` goes on with what is left.

    On SQLite no transaction begins by reading, as it could not write once somebody else has written. Raises `TooBusy`.
    """
    seconds = _FIRST_WAIT_SECONDS
    for _try in range(tries):
        connection.execution_options(immediate=True, lock_seconds=seconds)
        try:
            run()
        except OperationalError as error:
            connection.rollback()
            if not _is_locked(error):
                raise
            if connection.dialect.name == "postgresql":
                _end_autovacuums(connection)
        else:
            return
        sleep(random.uniform(0.1, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - no secret
        seconds = min(1.1 * seconds, _LONGEST_WAIT_SECONDS)
    raise TooBusy


def lock_tables(first: str, *others: str, refers_to: Collection[str] = ()) -> None:
    """Take all tables that a migration changes or refers to. Call it before the migration does anything else.

    `first`: one that many transactions use, so that few of them are left when it is taken. `refers_to`: those that it
    only refers to by a foreign key, which others may go on reading. On SQLite this does nothing, because there is only
    one writer. Raises `OperationalError` if a table is not to be had, as `migrate` expects. All but the first have to
    be had within the seconds of this try.
    """
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    _lock(connection, first, "ACCESS EXCLUSIVE", _FIRST_TABLE_SECONDS)
    end = monotonic() + connection.get_execution_options()["lock_seconds"]
    modes = dict.fromkeys(others, "ACCESS EXCLUSIVE") | dict.fromkeys(refers_to, "SHARE ROW EXCLUSIVE")
    for table, mode in modes.items():
        _lock(connection, table, mode, max(end - monotonic(), _SHORTEST_WAIT_SECONDS))


def _lock(connection: Connection, table: str, mode: str, seconds: float) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {seconds * 1000:.0f}")
    connection.exec_driver_sql(f'LOCK TABLE "{table}" IN {mode} MODE')


def _end_autovacuums(connection: Connection) -> None:
    """Wait for each table in turn, so that PostgreSQL interrupts the autovacuum that holds it."""
    connection.execution_options(lock_seconds=_AUTOVACUUM_SECONDS)
    with connection.begin():
        tables = inspect(connection).get_table_names()
    for table in tables:
        try:
            with connection.begin():
                connection.exec_driver_sql(f'LOCK TABLE "{table}" IN SHARE UPDATE EXCLUSIVE MODE')
        except OperationalError as error:
            if not _is_locked(error):
                raise


def _is_locked(error: OperationalError) -> bool:
    """Whether somebody else held what was needed."""
    if isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(error.orig, "sqlstate", None) in (_LOCK_NOT_AVAILABLE, _DEADLOCK)
