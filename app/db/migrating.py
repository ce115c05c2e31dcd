"""How migrations run beside processes that use the database.

A migration changes one table. It begins with `lock_tables`, which takes this table first and waits for it up to ten
seconds. While it waits it holds nothing, so it can be in no deadlock. Requests that need the table wait behind it.

Then it takes the tables that its foreign keys point to. For these it must not wait: a request may hold one of them and
wait for the first table. PostgreSQL would call that a deadlock and end one of the two, often the request. So the
migration asks with NOWAIT, again and again for less than a second. If it does not get them, it rolls back and tries
again. This works because others may go on reading these tables. A second table to change would have to be free of
readers too, which beside many processes it hardly ever is. So what changes two tables is two migrations.

Autovacuum may hold a table for long. PostgreSQL interrupts it for whoever has waited for a second (`deadlock_timeout`).
So between two tries we wait up to two seconds for each table, one at a time, with a lock that stops neither readers nor
writers.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Sequence
from time import monotonic, sleep

from alembic import op
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import OperationalError

TRIES = 100
"""Each may wait for ten seconds: on SQLite for the writer, on PostgreSQL for its first table."""
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 0.8
_SECONDS_BETWEEN_QUESTIONS = 0.02
_FIRST_TABLE_SECONDS = 10.0
"""Longer than a transaction takes."""
_AUTOVACUUM_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 1.0
_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"


class TooBusy(Exception):
    """Other processes held the tables at each try."""


def migrate(connection: Connection, run: Callable[[], None], *, tries: int = TRIES) -> None:
    """Run migrations, each in a transaction of its own, until all are done. `run` goes on with what is left.

    On SQLite each transaction is IMMEDIATE: one that has begun by reading cannot write once somebody else has written.
    Raises `TooBusy`.
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


def lock_tables(changed: str | None = None, *, refers_to: Sequence[str] = ()) -> None:
    """Take the table that a migration changes, and those that it refers to. Call it before anything else.

    `refers_to`: the tables that foreign keys of the migration point to. Others go on reading them. The first table in
    all is waited for. On SQLite this does nothing, because there is only one writer. Raises `OperationalError` if a
    table is not to be had, as `migrate` expects.
    """
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    modes = {changed: "ACCESS EXCLUSIVE"} if changed else {}
    modes |= dict.fromkeys(refers_to, "SHARE ROW EXCLUSIVE")
    first, *others = modes
    seconds = connection.get_execution_options()["lock_seconds"]
    _wait_no_longer_than(connection, _FIRST_TABLE_SECONDS)
    connection.exec_driver_sql(f'LOCK TABLE "{first}" IN {modes[first]} MODE')
    _wait_no_longer_than(connection, seconds)
    end = monotonic() + seconds
    for table in others:
        _ask_for(connection, table, modes[table], end)


def allow_only(table: str, column: str, values: str) -> None:
    """Take the table, and replace the check of which values a column may have. `values` as SQL lists them."""
    lock_tables(table)
    name = op.f(f"ck_{table}_{column}")
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.drop_constraint(name, type_="check")
        batch_op.create_check_constraint(name, f"{column} IN ({values})")


def _wait_no_longer_than(connection: Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {seconds * 1000:.0f}")


def _ask_for(connection: Connection, table: str, mode: str, end: float) -> None:
    while True:
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f'LOCK TABLE "{table}" IN {mode} MODE NOWAIT')
            return
        except OperationalError as error:
            if not _is_locked(error) or monotonic() > end:
                raise
        sleep(_SECONDS_BETWEEN_QUESTIONS)


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
