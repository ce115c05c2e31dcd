"""The rows of a queue and their leases, measured by the database's clock.

    queued --fetch--> sending --finish--> settled
       ^                 |
       +--- for later ---+

If a holder dies, its lease expires. Each change of a row names the lease under which it is made, and changes nothing if
the row has another lease by now. So a process that wakes up too late changes nothing. Each function acts in its
caller's transaction.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Any, Protocol, cast
from uuid import UUID, uuid4

from flask import current_app
from sqlalchemy import ColumnElement, Float, Row, Select, Table, Update, and_, bindparam, select, update

from app.extensions import Base, db
from app.models.types import db_now, in_list
from config import Settings, Timings


class _Leasing(Protocol):
    @property
    def id(self) -> Any: ...

    @property
    def lease_id(self) -> UUID | None: ...


class LeasedQueue:
    """A table that is a queue. `states` is the enum of its rows' states; it must have QUEUED and SENDING.

    `is_known`: whether this code knows a row's kind. During an upgrade, newer code may already write other kinds. They
    are never due here, and newer workers send them.
    """

    def __init__(self, model: type[Base], states: Any, is_known: ColumnElement[bool]) -> None:
        self._states = states
        # The table, not the model, because these statements run for each row and need nothing of what the ORM would
        # add.
        self.table = table = cast(Table, model.__table__)
        self.is_known = is_known
        self.is_due = and_(table.c.state == states.QUEUED, table.c.due_at <= db_now(), is_known)
        # Compares both the row and its lease. With the state in the condition, SQLite would read all rows that are
        # being sent.
        self.is_leased: ColumnElement[bool] = and_(in_list(table.c.id, "ids"), in_list(table.c.lease_id, "leases"))
        """Whether a row is held under the leases that `finish` passes."""
        self._stalled = select(table.c.id).where(table.c.state == states.SENDING, table.c.lease_until <= db_now())
        self.has_stalled: ColumnElement[bool] = self._stalled.exists()

    def release_stalled(self, in_hand: Collection[Any] = ()) -> None:
        """Queue rows again whose lease has expired, because their holder died or was away for too long.

        Rows that the caller itself has `in_hand` are left out. After a long database outage, only the caller knows
        their results.
        """
        stalled = self._stalled.where(self.table.c.id.not_in(in_hand)).with_for_update(skip_locked=True)
        released = update(self.table).where(self.table.c.id.in_(stalled))
        db.session.connection().execute(released.values(state=self._states.QUEUED, lease_id=None, lease_until=None))

    def fetching(self, due: Select[Any], **values: object) -> Update:
        """A statement that leases the rows whose ids `due` selects, except those held by others. Counts the attempt."""
        table = self.table
        lease = {"lease_id": bindparam("new_lease"), "lease_until": db_now(bindparam("lease", type_=Float))}
        # In a CTE, which PostgreSQL reads once. It may run a subquery once for each row, and each run locks others.
        chosen = due.with_for_update(skip_locked=True, of=table).cte("chosen")
        taken = update(table).where(table.c.id.in_(select(chosen.c.id)))
        return taken.values(state=self._states.SENDING, attempts=table.c.attempts + 1, **lease, **values)

    def fetch(self, statement: Any, **values: object) -> Sequence[Row[Any]]:
        """Lease rows and return them. `statement` is `fetching` with the columns to return. All get the same lease."""
        parameters = {"new_lease": uuid4(), "lease": timings().lease, **values}
        return db.session.connection().execute(statement, parameters).all()

    def finishing(self, held: Select[Any] | None = None, **values: object) -> Any:
        """A statement that ends leases, for `finish`. `held` selects and locks the rows; the default is by id."""
        key = self.table.c.id
        held = select(key).where(self.is_leased).order_by(key).with_for_update() if held is None else held
        return update(self.table).where(key.in_(held)).values(lease_id=None, lease_until=None, **values).returning(key)

    def finish(self, statement: Any, rows: Collection[_Leasing], **values: object) -> set[Any]:
        """End the leases of those rows that are still held under them. Returns the ids of these rows."""
        if not rows:
            return set()
        keys = {"ids": [row.id for row in rows], "leases": list({row.lease_id for row in rows})}
        return set(db.session.connection().execute(statement, {**keys, **values}).scalars())


def timings() -> Timings:
    settings: Settings = current_app.config["SETTINGS"]
    return settings.timings


def jittered(seconds: float) -> float:
    """About this many seconds, varied at random, so that a thousand rows that failed together return apart."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
