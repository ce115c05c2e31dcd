"""Adding many rows, and rows that may be there already."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import insert, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.extensions import Base


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


def insert_or(session: Session, model: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say what is to happen `on_conflict`, in the words of the session's database."""
    return postgresql.insert(model) if session.get_bind().dialect.name == "postgresql" else sqlite.insert(model)


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
