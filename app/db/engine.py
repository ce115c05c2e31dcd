"""How we connect to the two databases: SQLite (the embedded default) and PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url

from config import ConfigError

_BUSY_TIMEOUT_SECONDS = 10


def engine_options(database_url: str) -> dict[str, Any]:
    """The engine's options for this database. Raises `ConfigError` if the folder of a SQLite file does not exist."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        folder = Path(str(url.database)).parent
        if not folder.is_dir():
            raise ConfigError(f"DATABASE_URL names a file in {folder}, which is no folder: make it first.")
        timeout = {} if "timeout" in url.query else {"timeout": _BUSY_TIMEOUT_SECONDS}
        return {"hide_parameters": True, "connect_args": {"isolation_level": None, **timeout}}
    return {
        # Otherwise an error's text would hold the parameters: names, addresses, password hashes.
        "hide_parameters": True,
        "pool_pre_ping": True,
        "connect_args": {
            # Else a database with another encoding gives us bytes, which nothing understands.
            "client_encoding": "utf8",
            "connect_timeout": 5,
            # A network that drops every packet is noticed in seconds, not in a quarter of an hour.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            # A prepared statement gets a generic plan, which ignores the parameters, and it belongs to a session.
            "prepare_threshold": None,
        },
    }


def prepare_engine(engine: Engine, asleep_seconds: float) -> None:
    """Give both databases explicit transactions, and give SQLite write-ahead logging and foreign keys.

    PostgreSQL ends a transaction that has been idle for `asleep_seconds`. Otherwise a process that is suspended, or
    whose machine is gone, would hold its rows for ever. The limit is set with each BEGIN. Nothing is ever set for a
    session, because behind a pooler such as PgBouncer each transaction may run in another session.

    A connection with the option `single_statements` gets no transactions: each of its statements is one by itself.
    With `lock_seconds`, its statements on PostgreSQL wait no longer for a lock.
    """
    if engine.dialect.name != "sqlite":

        @event.listens_for(engine, "connect")
        def leave_transactions_to_us(connection: Any, _record: Any) -> None:
            connection.autocommit = True

        @event.listens_for(engine, "begin")
        def begin_awake(connection: Connection) -> None:
            if _has_single_statements(connection):
                return
            # All in one message, because each message costs a round trip.
            begin = f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = {asleep_seconds * 1000:.0f}"
            if seconds := connection.get_execution_options().get("lock_seconds"):
                begin += f"; SET LOCAL lock_timeout = {seconds * 1000:.0f}"
            connection.exec_driver_sql(begin)

        return

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # FULL, so that a committed transaction survives a power cut, not only a killed process.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        # A checkpoint copies the log into the database file while all writers wait. Let one run every 16 MB, not every
        # 4.
        cursor.execute("PRAGMA wal_autocheckpoint=4000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if _has_single_statements(connection):
            return
        # A deferred transaction that turns into a write fails at once if somebody else has written meanwhile
        # (SQLITE_BUSY_SNAPSHOT, which no timeout prevents). An immediate one waits its turn.
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _has_single_statements(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("single_statements", False))
