"""Job leases: only one process at a time runs a job, and no process waits for one that died."""

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
"""How long to wait on PostgreSQL for a lease that another process is taking or releasing at this moment. That process
may
be suspended, and a process that waited for it any longer could not stop in time when it is told to."""
_LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's SQLSTATE after a lock timeout."""


@contextmanager
def lease(app: Flask, name: str, seconds: float) -> Iterator[bool]:
    """Hold the lease of this name during the block. Yields whether we hold it; if not, another process does.

    The lease ends with the block, or after `seconds` if this process dies in the block.
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
    """Take a lease that is free or expired. Returns whether `holder` holds it now."""
    with _impatient_transaction() as session:
        statement = insert_or(session, JobLease).values(name=name, holder=holder, until=db_now(seconds))
        # A single statement, so that the second of two concurrent processes sees what the first one wrote.
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
    """Release a lease if `holder` still holds it.

    If this takes too long, we give up and the lease expires by itself.
    """
    with _impatient_transaction() as session:
        session.execute(delete(JobLease).where(JobLease.name == name, JobLease.holder == holder))


@contextmanager
def _impatient_transaction() -> Iterator[Session]:
    """A transaction that is silently rolled back if it has to wait too long for a row."""
    try:
        with transaction() as session:
            if session.get_bind().dialect.name == "postgresql":
                session.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE_SECONDS}s'"))
            yield session
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise


def prune_leases() -> None:
    """Delete expired leases that nobody has taken again, such as those of jobs that no longer exist."""
    with transaction() as session:
        session.execute(delete(JobLease).where(JobLease.until <= db_now(-_KEPT_SECONDS)))
