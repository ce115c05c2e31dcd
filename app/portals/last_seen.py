"""When a member was last seen in a portal: the one thing that looking at a page writes.

It is written at most every ten minutes for each member, after the page was made, and without waiting: if somebody else
is writing at that moment, the next page tries again. So a page costs nothing more, and is shown also while the database
cannot be written to.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, update
from sqlalchemy.exc import DBAPIError

from app.core.clock import now
from app.db.transactions import is_passing
from app.extensions import db
from app.models import Membership

_EVERY = timedelta(minutes=10)
_LOCK_SECONDS = 0.05


def note_seen(portal_id: str, user_id: int, before: datetime | None) -> None:
    """Record that a member is there now. `before`: what their membership says of it, None if it says nothing.

    Ends the session's transaction when it writes.
    """
    at = now()
    if before is not None and at - before < _EVERY:
        return
    db.session.rollback()  # gives its connection back, so that no request holds two
    try:
        with db.engine.connect().execution_options(lock_seconds=_LOCK_SECONDS) as connection:
            _write(connection, portal_id, user_id, at)
    except DBAPIError as error:
        if not is_passing(error):
            raise


def _write(connection: Connection, portal_id: str, user_id: int, at: datetime) -> None:
    seen = update(Membership).where(Membership.portal_id == portal_id, Membership.user_id == user_id)
    if connection.dialect.name != "sqlite":
        connection.execute(seen.values(last_seen_at=at))
        connection.commit()
        return
    patience = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        connection.execute(seen.values(last_seen_at=at))
        connection.commit()
    finally:
        connection.rollback()
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience}")
