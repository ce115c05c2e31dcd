"""When a session, and a member of a portal, was last seen: the one thing that looking at a page writes.

It is written at most every ten minutes for each, after the page was made, and without waiting: if somebody else is
writing at that moment, the next page tries again. So a page costs nothing more, and is shown also while the database
cannot be written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Update, update
from sqlalchemy.exc import DBAPIError

from app.accounts.users import session_id
from app.core.clock import now
from app.db.transactions import is_passing
from app.extensions import db
from app.models import LoginSession, Membership, User

_EVERY = timedelta(minutes=10)
_LOCK_SECONDS = 0.05


@dataclass(frozen=True)
class Seen:
    """What was seen: the row that says so, and what it says now (None if nothing)."""

    row: Update
    before: datetime | None


def seen_session(user: User) -> Seen:
    """The login session that has loaded this user."""
    return Seen(update(LoginSession).where(LoginSession.id == session_id(user.get_id())), user.session_seen_at)


def seen_member(membership: Membership) -> Seen:
    """A member, in the membership's portal."""
    ours = Membership.portal_id == membership.portal_id, Membership.user_id == membership.user_id
    return Seen(update(Membership).where(*ours), membership.last_seen_at)


def note_seen(*seen: Seen) -> None:
    """Record that all these are there now. Ends the database session's transaction when it writes."""
    at = now()
    due = [one.row.values(last_seen_at=at) for one in seen if one.before is None or at - one.before >= _EVERY]
    if not due:
        return
    db.session.rollback()  # gives its connection back, so that no request holds two
    try:
        with db.engine.connect().execution_options(lock_seconds=_LOCK_SECONDS) as connection:
            _write(connection, due)
    except DBAPIError as error:
        if not is_passing(error):
            raise


def _write(connection: Connection, updates: Sequence[Update]) -> None:
    if connection.dialect.name != "sqlite":
        _execute(connection, updates)
        return
    patience = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        _execute(connection, updates)
    finally:
        connection.rollback()
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience}")


def _execute(connection: Connection, updates: Sequence[Update]) -> None:
    for one in updates:
        connection.execute(one)
    connection.commit()
