"""One transaction per service call: how it begins, how it ends, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from blinker import Signal
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from app.extensions import db

_READ_ONLY = "25006"
"""PostgreSQL's SQLSTATE for a write where only reads are allowed: just after a failover, or on a full disk."""
_IN_DOUBT = "The connection was lost at the commit."
_COMMITTED = "committed"
_TO_SEND = "signals to send"


@contextmanager
def transaction(over: Connection | None = None) -> Iterator[Session]:
    """The transaction of one service call: all its writes are committed at the end, or none.

    It begins by ending whatever transaction was open, so that the rules are judged by what the database holds now. It
    uses the connection `over`. Without one it takes a connection from the pool, which first checks that it is alive.

    On PostgreSQL, two transactions that lock the same rows in different orders wait for each other, until PostgreSQL
    ends one of them with an error. So all of them lock, change and delete in this order, and rows of one kind in the
    order of their keys:

    1. rate limits (`app.db.rate_limits`),
    2. issuers of host shells,
    3. imports,
    4. imported clients,
    5. accounts,
    6. mails, including those that are deleted by cascade with a client or an account. So clients and accounts are
       locked before any of them is deleted.

    A transaction that would have to lock in another order takes only rows that are free (SKIP LOCKED), as the outbox
    does.
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
    """Whether nobody can know if the transaction was committed, because the connection was lost at the commit."""
    return _IN_DOUBT in getattr(error, "__notes__", ())


def has_committed() -> bool:
    """Whether this request has committed a transaction. A later failure does not undo it."""
    return _COMMITTED in db.session().info


def is_passing(error: DBAPIError) -> bool:
    """Whether the error is temporary (the database is away, locked or full) and not a mistake of ours."""
    is_away = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return is_away or getattr(error.orig, "sqlstate", None) == _READ_ONLY


def send_after_commit(session: Session, signal: Signal) -> None:
    """Send the signal as soon as the session's changes are committed. If they never are, it is not sent."""
    session.info.setdefault(_TO_SEND, set()).add(signal)


@event.listens_for(Session, "after_commit")
def _send(session: Session) -> None:
    for signal in session.info.pop(_TO_SEND, ()):
        signal.send()


@event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(_TO_SEND, None)
