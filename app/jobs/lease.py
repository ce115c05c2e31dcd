"""Leases: one process at a time runs a job, and none waits for one that died."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

from flask import Flask
from sqlalchemy import delete, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.db.bulk_insert import insert_or
from app.db.transactions import transaction
from app.models import JobLease
from app.models.types import db_now

_KEPT_SECONDS = 24 * 60 * 60
_PATIENCE_SECONDS = 3
"""How long to wait on PostgreSQL for a lease that another process is just taking or giving back. It may be suspended in
the middle of that, and who waits for it could not end in time when it is told to."""
_LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's state for who has waited so long."""


@contextmanager
def lease(app: Flask, name: str, seconds: float) -> Iterator[bool]:
    """Hold the lease of this name for the block. Gives whether it is ours; if not, somebody else holds it.

    It ends with the block, or after `seconds` should this process not get that far.
    """
    holder = uuid4()
    with app.app_context():
        is_ours = take(name, holder, seconds)
    try:
        yield is_ours
    finally:
        if is_ours:
            with app.app_context():
                release(name, holder)


def take(name: str, holder: UUID, seconds: float) -> bool:
    """Take a lease that nobody holds, or whose time is over. Returns whether it is the holder's now."""
    with _impatient_transaction() as session:
        statement = insert_or(session, JobLease).values(name=name, holder=holder, until=db_now(seconds))
        # One statement, so that of two who come at once the database lets the second see what the first one wrote.
        taken = session.execute(
            statement.on_conflict_do_update(
                index_elements=[JobLease.name],
                set_={"holder": statement.excluded.holder, "until": statement.excluded.until},
                where=JobLease.until <= db_now(),
            ).returning(JobLease.name)
        )
        return taken.first() is not None
    return False


def release(name: str, holder: UUID) -> None:
    """Give a lease back, if it is still the holder's. Where that takes too long, it ends by itself."""
    with _impatient_transaction() as session:
        session.execute(delete(JobLease).where(JobLease.name == name, JobLease.holder == holder))


@contextmanager
def _impatient_transaction() -> Iterator[Session]:
    """A transaction that is given up, with nothing done and no error, when it has to wait too long for a row."""
    try:
        with transaction() as session:
            if session.get_bind().dialect.name == "postgresql":
                session.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE_SECONDS}s'"))
            yield session
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise


def prune_leases() -> None:
    """Delete the leases of processes that died in jobs which nobody runs any more."""
    with transaction() as session:
        session.execute(delete(JobLease).where(JobLease.until <= db_now(-_KEPT_SECONDS)))
