"""Inserts many rows at once, and rows that may exist already."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.extensions import Base


def insert_all(session: Session, model: type[Base], rows: Sequence[Mapping[str, object]]) -> None:
    """Insert many rows into one table, in their order. Each row must name every column that is NOT NULL."""
    connection = session.connection()
    table, columns = model.__tablename__, ", ".join(rows[0])
    if connection.dialect.name != "postgresql":
        # SQLAlchemy's own way spends more on a row than SQLite does.
        marks = ", ".join("?" for _column in rows[0])
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - names of ours
        connection.exec_driver_sql(statement, list(_stored(model, rows, connection.dialect)))
        return
    # One statement inserts all rows. A thousand separate statements take four times as long.
    source = f"json_populate_recordset(CAST(NULL AS {table}), :rows)"
    of_all = text(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {source}")  # noqa: S608 - names of ours
    connection.execute(of_all, {"rows": json.dumps(rows, default=str)})


def _stored(model: type[Base], rows: Sequence[Mapping[str, object]], dialect: Dialect) -> Iterator[tuple[object, ...]]:
    """The values of each row in the form in which SQLite's driver takes them."""
    types = {name: model.__table__.c[name].type.dialect_impl(dialect) for name in rows[0]}
    converters = {name: type_.bind_processor(dialect) for name, type_ in types.items()}
    columns = [(name, convert and _once(convert)) for name, convert in converters.items()]
    for row in rows:
        yield tuple(convert(row[name]) if convert else row[name] for name, convert in columns)


def _once(convert: Callable[[Any], object]) -> Callable[[Any], object]:
    """Converts each object once: many rows share a moment or a portal. The rows have to keep their objects alive."""
    known: dict[int, object] = {}

    def converted(value: object) -> object:
        key = id(value)
        if key not in known:
            known[key] = convert(value)
        return known[key]

    return converted


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
