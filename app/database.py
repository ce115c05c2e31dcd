"""How we talk to the two databases: SQLite (embedded default) and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from app.extensions import db

_BUSY_TIMEOUT_SECONDS = 10


def engine_options(database_url: str) -> dict[str, Any]:
    """Options of the engine for this database."""
    if make_url(database_url).get_backend_name() == "sqlite":
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
