"""Inserts many rows at once, and rows that may exist already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, Dialect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.extensions import Base


def insert_all(session: Session, model: type[Base], rows: Sequence[Mapping[str, object]]) -> None:
    """Insert many rows into one table, in their order. Each row must name every column that is NOT NULL.

    SQLAlchemy's own way spends more time on a row than either database does.
    """
    connection = session.connection()
    stored = _stored(model, rows, connection.dialect)
    table, columns = model.__tablename__, ", ".join(rows[0])
    if connection.dialect.name == "postgresql":
        _copy(connection, f"COPY {table} ({columns}) FROM STDIN", stored)
    else:
        marks = ", ".join("?" for _column in rows[0])
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - names of ours
        connection.exec_driver_sql(statement, list(stored))


def _copy(connection: Connection, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Send rows to PostgreSQL with its COPY, which SQLAlchemy does not know: so its errors become SQLAlchemy's here."""
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        raise DBAPIError.instance(statement, None, error, psycopg.Error, dialect=connection.dialect) from error


def _stored(model: type[Base], rows: Sequence[Mapping[str, object]], dialect: Dialect) -> Iterator[tuple[object, ...]]:
    """The values of each row in the form in which the database's driver takes them."""
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
