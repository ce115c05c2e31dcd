"""The rows of a queue and their leases, by the database's clock.

    queued --fetch--> sending --finish--> settled
       ^                 |
       +--- for later ---+

A lease ends by itself when its holder dies. Whoever changes a row names the lease that it acts under, and nothing
happens when the row is held under another one by now: so a process that wakes too late changes nothing. Each function
acts in its caller's transaction.
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
    """A table that is a queue. `states` are those of its rows, of which QUEUED and SENDING matter here."""

    def __init__(self, model: type[Base], states: Any) -> None:
        self._states = states
        # The table and not the model: these statements run for each row, and what the ORM would add is not used.
        self.table = table = cast(Table, model.__table__)
        self.is_due = and_(table.c.state == states.QUEUED, table.c.due_at <= db_now())
        # Both the row and the lease. With its state in the condition, SQLite would go through all that are being sent.
        self.is_leased: ColumnElement[bool] = and_(in_list(table.c.id, "ids"), in_list(table.c.lease_id, "leases"))
        """Held under the leases that `finish` asks for."""
        self._stalled = select(table.c.id).where(table.c.state == states.SENDING, table.c.lease_until <= db_now())

    def has_stalled(self) -> bool:
        return db.session.scalar(self._stalled.limit(1)) is not None

    def release_stalled(self, in_hand: Collection[Any] = ()) -> None:
        """Put back what belonged to somebody who has died, or was gone for too long.

        Not what the caller itself has in hand: after a database was away for long, it alone knows what came of it.
        """
        stalled = self._stalled.where(self.table.c.id.not_in(in_hand)).with_for_update(skip_locked=True)
        released = update(self.table).where(self.table.c.id.in_(stalled))
        db.session.connection().execute(released.values(state=self._states.QUEUED, lease_id=None, lease_until=None))

    def fetching(self, due: Select[Any], **values: object) -> Update:
        """What takes the rows whose ids `due` selects, but for those that others hold, and counts the attempt."""
        table = self.table
        lease = {"lease_id": bindparam("new_lease"), "lease_until": db_now(bindparam("lease", type_=Float))}
        taken = update(table).where(table.c.id.in_(due.with_for_update(skip_locked=True, of=table)))
        return taken.values(state=self._states.SENDING, attempts=table.c.attempts + 1, **lease, **values)

    def fetch(self, statement: Any, **values: object) -> Sequence[Row[Any]]:
        """Take rows for one lease. `statement` is `fetching` with what is to be returned."""
        parameters = {"new_lease": uuid4(), "lease": timings().lease, **values}
        return db.session.connection().execute(statement, parameters).all()

    def finishing(self, held: Select[Any] | None = None, **values: object) -> Any:
        """What ends leases: see `finish`. `held` selects and locks the rows, by their ids if it is not given."""
        key = self.table.c.id
        held = select(key).where(self.is_leased).order_by(key).with_for_update() if held is None else held
        return update(self.table).where(key.in_(held)).values(lease_id=None, lease_until=None, **values).returning(key)

    def finish(self, statement: Any, rows: Collection[_Leasing], **values: object) -> set[Any]:
        """End the leases of those of the rows that are still held under them; returns their ids."""
        if not rows:
            return set()
        keys = {"ids": [row.id for row in rows], "leases": list({row.lease_id for row in rows})}
        return set(db.session.connection().execute(statement, {**keys, **values}).scalars())


def timings() -> Timings:
    settings: Settings = current_app.config["SETTINGS"]
    return settings.timings


def jittered(seconds: float) -> float:
    """A pause of about so long, each a little different: a thousand that failed together do not return together."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
