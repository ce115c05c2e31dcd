"""How we talk to the two databases: SQLite (embedded default) and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, insert, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from app.extensions import Base, db
from config import ConfigError

_BUSY_TIMEOUT_SECONDS = 10


def engine_options(database_url: str) -> dict[str, Any]:
    """Options of the engine for this database. Raises `ConfigError` for a file where none can be."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        folder = Path(str(url.database)).parent
        if not folder.is_dir():
            raise ConfigError(f"DATABASE_URL names a file in {folder}, which is no folder: make it first.")
        return {"connect_args": {"timeout": _BUSY_TIMEOUT_SECONDS, "isolation_level": None}}
    return {
        "pool_pre_ping": True,
        "connect_args": {
            "connect_timeout": 5,
            # A prepared statement gets a generic plan, which ignores what is searched for.
            "prepare_threshold": None,
        },
    }


def prepare_engine(engine: Engine) -> None:
    """Give SQLite write-ahead logging, foreign keys and explicit transactions."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # FULL, so that what was accepted survives a power cut as well as a killed process.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that turns into a write fails at once when somebody else has written since
        # (SQLITE_BUSY_SNAPSHOT, which no timeout cures); one that is immediate waits its turn.
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def transaction() -> Iterator[Session]:
    """One service call's writes: all committed at the end, or none.

    Ends whatever was read before, so that the rules are judged by what the database holds now.
    """
    session = db.session()
    session.rollback()
    session.connection(execution_options={"immediate": True})
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise


def insert_all(session: Session, model: type[Base], rows: Sequence[Mapping[str, object]]) -> None:
    """Add many rows of one table, in their order. Each has to name every column that may not be empty."""
    connection = session.connection()
    if connection.dialect.name != "postgresql":
        connection.execute(insert(model), rows)
        return
    # One statement for all rows: a thousand of them take four times as long.
    table, columns = model.__tablename__, ", ".join(rows[0])
    source = f"json_populate_recordset(CAST(NULL AS {table}), :rows)"
    statement = text(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {source}")  # noqa: S608 - names of ours
    connection.execute(statement, {"rows": json.dumps(rows, default=str)})


def insert_if_new(session: Session, model: type[Base], row: Mapping[str, object]) -> None:
    """Add a row unless there is one with its key already, whoever adds it at this very moment."""
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    statement = postgresql.insert(model) if is_postgresql else sqlite.insert(model)
    session.execute(statement.values(row).on_conflict_do_nothing())


def refresh_statistics(session: Session, model: type[Base]) -> None:
    """Let PostgreSQL look at a table that it has only seen empty; to be called after many rows were added.

    It plans by what it saw last. While that is nothing, checking one foreign key into the table may go through all
    rows of the portal, and it would only look again by itself after a minute.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    never_seen = text("SELECT reltuples <= 0 FROM pg_class WHERE oid = CAST(:name AS regclass)")
    if session.scalar(never_seen, {"name": model.__tablename__}):
        session.execute(text(f"ANALYZE (SKIP_LOCKED) {model.__tablename__}"))
