"""Statements that run without end: made into text once, and given to the driver as they are.

What SQLAlchemy does on the way from a statement to the driver takes longer than the database needs for a row or two.
The outbox's books consist of a few such statements, and every mail waits for them.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, CompoundSelect, Connection, Select
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

_Convert = Callable[[Any], Any]
_Statement = Select[Any] | CompoundSelect[Any] | UpdateBase


class Prepared:
    """A statement, ready for either database. Its parameters are named `bindparam`s."""

    def __init__(self, statement: _Statement) -> None:
        self._statement = statement
        self._ready: dict[str, _Ready] = {}

    def run(self, connection: Connection, **values: object) -> list[Any]:
        """Run it with these values. Returns its rows, if any, as named tuples; raises as `Connection.execute`."""
        name = connection.dialect.name
        ready = self._ready.get(name) or self._ready.setdefault(name, _Ready(self._statement, connection.dialect))
        return ready.run(connection, values)


class _Ready:
    """The statement as one database wants it."""

    def __init__(self, statement: _Statement, dialect: Dialect) -> None:
        if dialect.name == "sqlite":
            # Parameters by their names, as with PostgreSQL.
            dialect = type(dialect)(paramstyle="named")  # type: ignore[call-arg]
        compiled = _compiler(dialect)(dialect, statement)
        self._text = str(compiled)
        self._parameters = {name: _to_driver(bind.type, dialect) for name, bind in compiled.binds.items()}
        columns: Sequence[Any] = list(getattr(statement, "exported_columns", ()))
        converts = [_from_driver(column.type, dialect) for column in columns]
        self._from_driver = {n: convert for n, convert in enumerate(converts) if convert is not _as_it_is}
        self._row = _row_of([column.key for column in columns])

    def run(self, connection: Connection, values: dict[str, object]) -> list[Any]:
        given = {name: convert(values[name]) for name, convert in self._parameters.items()}
        # Not the driver's own cursor: errors are SQLAlchemy's, and a connection that is lost is known to be.
        found = connection.exec_driver_sql(self._text, given)
        # All at once: the driver's way to a single row is a long one.
        return [self._row(*self._converted(row)) for row in found.all()] if found.returns_rows else []

    def _converted(self, row: Sequence[Any]) -> Sequence[Any]:
        if not self._from_driver:
            return row
        values = list(row)
        for n, convert in self._from_driver.items():
            values[n] = convert(values[n])
        return values


@cache
def _compiler(dialect: Dialect) -> type[Any]:
    """The dialect's own, but that it writes into a statement what is the statement's own.

    SQLite plans a statement anew each time that it is given as a parameter what a condition compares with.
    """
    base: Any = dialect.statement_compiler

    class Compiler(base):  # type: ignore[misc]
        def visit_bindparam(self, bindparam: BindParameter[Any], **kwargs: Any) -> str:
            if bindparam.required:
                return str(super().visit_bindparam(bindparam, **kwargs))
            value = _to_driver(bindparam.type, dialect)(bindparam.effective_value)
            return str(self.escape_literal_column(_written(value)))

    return Compiler


def _written(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case str():
            return "'{}'".format(value.replace("'", "''"))
        case int() | float() if not isinstance(value, bool):
            return repr(value)
    raise TypeError(f"{value!r} cannot be written into a statement: make it a parameter")


def _row_of(names: list[str]) -> Callable[..., Any]:
    return namedtuple("Row", names)


def _to_driver(its_type: TypeEngine[Any], dialect: Dialect) -> _Convert:
    return its_type.dialect_impl(dialect).bind_processor(dialect) or _as_it_is


def _from_driver(its_type: TypeEngine[Any], dialect: Dialect) -> _Convert:
    return its_type.dialect_impl(dialect).result_processor(dialect, None) or _as_it_is


def _as_it_is(value: Any) -> Any:
    return value
