"""Inserts many rows at once, and rows that may exist already."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import insert, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.extensions import Base


def insert_all(session: Session, model: type[Base], rows: Sequence[Mapping[str, object]]) -> None:
    """Insert many rows into one table, in their order. Each row must name every column that is NOT NULL."""
    connection = session.connection()
    if connection.dialect.name != "postgresql":
        connection.execute(insert(model), rows)
        return
    # One statement inserts all rows. A thousand separate statements take four times as long.
    table, columns = model.__tablename__, ", ".join(rows[0])
    source = f"json_populate_recordset(CAST(NULL AS {table}), :rows)"
    statement = text(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {source}")  # noqa: S608 - names of ours
    connection.execute(statement, {"rows": json.dumps(rows, default=str)})


def insert_or(session: Session, model: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """An INSERT statement of the session's own database, which supports `on_conflict_…`."""
    return postgresql.insert(model) if session.get_bind().dialect.name == "postgresql" else sqlite.insert(model)


def refresh_statistics(session: Session, model: type[Base]) -> None:
    """Let PostgreSQL analyze a table that was empty when it last did. Call this after adding many rows.

    PostgreSQL plans by its last statistics. While they say that the table is empty, the check of a single foreign key
    into it may read all rows of the portal. PostgreSQL would refresh them by itself only after a minute.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    never_seen = text("SELECT reltuples <= 0 FROM pg_class WHERE oid = CAST(:name AS regclass)")
    if session.scalar(never_seen, {"name": model.__tablename__}):
        session.execute(text(f"ANALYZE (SKIP_LOCKED) {model.__tablename__}"))
