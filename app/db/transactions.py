"""One transaction for one service call: how it begins and ends, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from blinker import Signal
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from app.extensions import db

_READ_ONLY = "25006"
"""PostgreSQL's state for who would write where nobody may: just after a failover, or with no room left."""
_IN_DOUBT = "The connection was lost at the commit."
_COMMITTED = "committed"
_TO_SEND = "signals to send"


@contextmanager
def transaction(over: Connection | None = None) -> Iterator[Session]:
    """One service call's writes: all committed at the end, or none.

    Ends whatever was read before, so that the rules are judged by what the database holds now. It has a connection of
    its own from the pool, which is asked for signs of life first, if it is not given one.

    On PostgreSQL two transactions that lock the same rows in different orders wait for each other, until one of them is
    ended with an error. So all of them lock, change and delete in this order, and several rows of one kind in the order
    of their keys:

    1. limits (`app.db.rate_limits`),
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


def send_after_commit(session: Session, signal: Signal) -> None:
    """Send the signal as soon as what the session has done is committed, and not at all if it never is."""
    session.info.setdefault(_TO_SEND, set()).add(signal)


@event.listens_for(Session, "after_commit")
def _send(session: Session) -> None:
    for signal in session.info.pop(_TO_SEND, ()):
        signal.send()


@event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(_TO_SEND, None)
