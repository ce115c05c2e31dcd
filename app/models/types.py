"""Column types and expressions that mean the same on both databases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    CheckConstraint,
    ColumnElement,
    DateTime,
    Enum,
    Float,
    String,
    bindparam,
    literal,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine


def text_enum(kind: type[StrEnum]) -> Enum:
    """A column type that stores an enum by its values, as plain text. Add `one_of` to constrain the column."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


def one_of(column: str, kind: type[StrEnum]) -> CheckConstraint:
    """A CHECK constraint, named like the column, that allows only the enum's values."""
    values = ", ".join(f"'{member.value}'" for member in kind)
    return CheckConstraint(f"{column} IN ({values})", name=column)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC on both databases, although SQLite stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a zone must not reach the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class db_now(FunctionElement[datetime]):
    """The database's current time plus `seconds`, evaluated inside the statement."""

    type = UtcDateTime()
    # The seconds are a parameter, so a statement is compiled once for all values of them.
    inherit_cache = True

    def __init__(self, seconds: float | BindParameter[Any] = 0) -> None:
        super().__init__(literal(float(seconds), Float) if isinstance(seconds, int | float) else seconds)


@compiles(db_now, "sqlite")
def _sqlite_now(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:
    # The format in which SQLAlchemy stores datetimes, so that comparing the texts compares the times.
    seconds = compiler.process(element.clauses, **kw)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"


@compiles(db_now, "postgresql")
def _postgresql_now(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


class ListOf(TypeDecorator[Sequence[Any]]):
    """A list as one statement parameter, for `in_list`."""

    impl = String
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(postgresql.ARRAY(self.item) if dialect.name == "postgresql" else String())

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        if dialect.name == "postgresql":
            return value
        bind = self.item.dialect_impl(dialect).bind_processor(dialect)
        return json.dumps([bind(one) if bind else one for one in value or ()])


class in_list(FunctionElement[bool]):
    """Whether a column's value is in the list that the parameter `name` holds.

    The statement has the same text for lists of every length, so it is not compiled anew for each.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], name: str) -> None:
        super().__init__(column, bindparam(name, type_=ListOf(column.type)))

    def self_group(self, against: OperatorType | None = None) -> in_list:
        """Adds nothing: with the `= 1` that a function gets on SQLite, the database would not use an index."""
        return self


@compiles(in_list, "sqlite")
def _sqlite_in_list(element: in_list, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(part, **kw) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - parts of ours


@compiles(in_list, "postgresql")
def _postgresql_in_list(element: in_list, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(part, **kw) for part in element.clauses)
    return f"{column} = ANY({values})"
