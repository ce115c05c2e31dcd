"""How we talk to the two databases: SQLite (embedded default) and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Engine, String, TypeDecorator, bindparam, event, insert, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine

from app.extensions import Base, db
from config import ConfigError

_BUSY_TIMEOUT_SECONDS = 10
_READ_ONLY = "25006"
"""PostgreSQL's state for who would write where nobody may: just after a failover, or with no room left."""
_IN_DOUBT = "The connection was lost at the commit."
_COMMITTED = "committed"


def engine_options(database_url: str) -> dict[str, Any]:
    """Options of the engine for this database. Raises `ConfigError` for a file where none can be."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        folder = Path(str(url.database)).parent
        if not folder.is_dir():
            raise ConfigError(f"DATABASE_URL names a file in {folder}, which is no folder: make it first.")
        timeout = {} if "timeout" in url.query else {"timeout": _BUSY_TIMEOUT_SECONDS}
        return {"hide_parameters": True, "connect_args": {"isolation_level": None, **timeout}}
    return {
        # An error's text would else hold what was to be written: names, addresses, password hashes.
        "hide_parameters": True,
        "pool_pre_ping": True,
        "connect_args": {
            "connect_timeout": 5,
            # A network that swallows everything is found out in seconds, not in a quarter of an hour.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            # A prepared statement gets a generic plan, which ignores what is searched for, and belongs to a session.
            "prepare_threshold": None,
        },
    }


def prepare_engine(engine: Engine, asleep_seconds: float) -> None:
    """Give both databases explicit transactions, and SQLite write-ahead logging and foreign keys.

    PostgreSQL ends a transaction that does nothing for so long: nobody else gets the rows that a process holds which
    was suspended, or whose machine is gone. It is told with each BEGIN, and nothing is ever set for a session, which
    behind a pooler like PgBouncer is another one in each transaction.
    """
    if engine.dialect.name != "sqlite":

        @event.listens_for(engine, "connect")
        def leave_transactions_to_us(connection: Any, _record: Any) -> None:
            connection.autocommit = True

        @event.listens_for(engine, "begin")
        def begin_awake(connection: Connection) -> None:
            # One message for both, since each takes a way there and back.
            asleep = f"SET LOCAL idle_in_transaction_session_timeout = {asleep_seconds * 1000:.0f}"
            connection.exec_driver_sql(f"BEGIN; {asleep}")

        return

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # FULL, so that what was accepted survives a power cut as well as a killed process.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        # What was written is copied into the database file, while everybody waits, at each 16 MB and not at each 4.
        cursor.execute("PRAGMA wal_autocheckpoint=4000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that turns into a write fails at once when somebody else has written since
        # (SQLITE_BUSY_SNAPSHOT, which no timeout cures); one that is immediate waits its turn.
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def transaction(over: Connection | None = None) -> Iterator[Session]:
    """One service call's writes: all committed at the end, or none.

    Ends whatever was read before, so that the rules are judged by what the database holds now. It has a connection of
    its own from the pool, which is asked for signs of life first, if it is not given one.

    On PostgreSQL two transactions that lock the same rows in different orders wait for each other, until one of them is
    ended with an error. So all of them lock, change and delete in this order, and several rows of one kind in the order
    of their keys:

    1. limits (`app.throttle`),
    2. issuers of host shells,
    3. imported clients,
    4. accounts,
    5. mails, those that go by cascade with a client or an account too: hence clients and accounts are locked before any
       of them is deleted.

    Whoever may have to wait in another order takes only what is free (SKIP LOCKED), as the outbox does.
    """
    session = db.session()
    session.rollback()
    bind = {} if over is None else {"bind": over}
    session.connection(bind_arguments=bind, execution_options={"immediate": True})
    try:
        yield session
        session.flush()
        _commit(session)
        session.info[_COMMITTED] = True
    except BaseException:
        session.rollback()
        raise


def _commit(session: Session) -> None:
    try:
        session.commit()
    except DBAPIError as error:
        if error.connection_invalidated:
            error.add_note(_IN_DOUBT)
        raise


def is_in_doubt(error: DBAPIError) -> bool:
    """Whether nobody can know if the transaction was committed: the answer to the commit is what was lost."""
    return _IN_DOUBT in getattr(error, "__notes__", ())


def has_committed() -> bool:
    """Whether a transaction of this request has been committed: what fails afterwards has not undone it."""
    return _COMMITTED in db.session().info


def is_passing(error: DBAPIError) -> bool:
    """Whether it says that the database is gone, locked or full, which passes, and not that we made a mistake."""
    is_away = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return is_away or getattr(error.orig, "sqlstate", None) == _READ_ONLY


class ListOf(TypeDecorator[Sequence[Any]]):
    """A list as one parameter, for `in_list`."""

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
    """Whether a column's value is in the list that a parameter of this name holds.

    The statement is the same text for lists of every length, which spares it from being made anew each time.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], name: str) -> None:
        super().__init__(column, bindparam(name, type_=ListOf(column.type)))

    def self_group(self, against: OperatorType | None = None) -> in_list:
        """Nothing is put around it: with the `= 1` that a function gets on SQLite, no index would be used."""
        return self


@compiles(in_list, "sqlite")
def _sqlite_in_list(element: in_list, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(part, **kw) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - parts of ours


@compiles(in_list, "postgresql")
def _postgresql_in_list(element: in_list, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(part, **kw) for part in element.clauses)
    return f"{column} = ANY({values})"


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
