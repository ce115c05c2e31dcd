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
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Any, Protocol, cast
from uuid import UUID, uuid4

from flask import current_app
from sqlalchemy import ColumnElement, Float, Row, Select, Table, Update, and_, bindparam, select, update

from app.clock import db_now
from app.database import in_list
from app.extensions import Base, db
from config import Settings, Timings


class _Leasing(Protocol):
    @property
    def id(self) -> Any: ...

    @property
    def lease_id(self) -> UUID | None: ...


class LeasedQueue:
    """A table that is a queue. `states` are those of its rows, of which QUEUED and SENDING matter here."""

    def __init__(self, model: type[Base], states: Any) -> None:
        self._queued: StrEnum = states.QUEUED
        self._sending: StrEnum = states.SENDING
        # The table and not the model: these statements run for each row, and what the ORM would add is not used.
        self.table = table = cast(Table, model.__table__)
        # Both the row and the lease. The lease may be any of those that are asked for; where a process may have a row
        # under two leases, it has to compare. Only what is being sent has one: with its state in the condition, SQLite
        # would go through all that are.
        is_held = and_(in_list(table.c.id, "ids"), in_list(table.c.lease_id, "leases"))
        held = select(table.c.id).where(is_held)
        self.is_held = table.c.id.in_(held.order_by(table.c.id).with_for_update())
        """Held under their leases; in a change they are locked in the order of their ids."""
        self.is_held_and_free = table.c.id.in_(held.with_for_update(skip_locked=True))
        """Without what somebody is just removing: to wait for that could be to wait in a circle."""
        self._told = (table.c.id, table.c.lease_id, table.c.attempts)
        self._renewing = self.renewing(self.is_held_and_free)

    # Taking

    @property
    def is_due(self) -> ColumnElement[bool]:
        return and_(self.table.c.state == self._queued, self.table.c.due_at <= db_now())

    def has_stalled(self) -> bool:
        return db.session.scalar(self._stalled().limit(1)) is not None

    def release_stalled(self, in_hand: Collection[Any] = ()) -> None:
        """Put back what belonged to somebody who has died, or was gone for too long.

        Not what the caller itself has in hand: after a database was away for long, it alone knows what came of it.
        """
        stalled = self._stalled().where(self.table.c.id.not_in(in_hand)).with_for_update(skip_locked=True)
        released = update(self.table).where(self.table.c.id.in_(stalled))
        db.session.connection().execute(released.values(state=self._queued, lease_id=None, lease_until=None))

    def fetching(self, due: Select[Any], **values: object) -> Update:
        """What takes the rows whose ids `due` selects, but for those that others take at this moment: see `fetch`."""
        table = self.table
        return (
            update(table)
            .where(table.c.id.in_(due.with_for_update(skip_locked=True, of=table)))
            .values(state=self._sending, lease_id=bindparam("new_lease"), lease_until=_lease_end(), **values)
        )

    def fetch(self, statement: Update, **values: object) -> Sequence[Row[Any]]:
        """Take rows for one lease. `statement` is `fetching` with what is to be returned."""
        parameters = {"new_lease": uuid4(), "lease": timings().lease, **values}
        return db.session.connection().execute(statement, parameters).all()

    # Changing what is held

    def renewing(self, which: ColumnElement[bool], **values: object) -> Update:
        """What lets leases begin anew."""
        return update(self.table).where(which).values(lease_until=_lease_end(), **values).returning(*self._told)

    def renew(self, rows: Collection[_Leasing]) -> None:
        """Let the leases begin anew of what is to wait longer for its turn; what others change is left as it is."""
        self.change(self._renewing, rows)

    def finishing(self, **values: object) -> Update:
        """What ends leases."""
        ended = update(self.table).where(self.is_held).values(lease_id=None, lease_until=None, **values)
        return ended.returning(*self._told)

    def release(self, rows: Collection[_Leasing], **values: object) -> None:
        """Give back what is held."""
        self.change(self.finishing(state=self._queued, **values), rows)

    def change(self, statement: Update, rows: Collection[_Leasing], **values: object) -> dict[Any, Row[Any]]:
        """Change those of the rows that are still held. Returns id, lease and attempts of each that was, by its id."""
        if not rows:
            return {}
        parameters = {"lease": timings().lease, **keys_of(rows), **values}
        return {row.id: row for row in db.session.connection().execute(statement, parameters)}

    def _stalled(self) -> Select[Any]:
        table = self.table
        return select(table.c.id).where(table.c.state == self._sending, table.c.lease_until <= db_now())


def keys_of(rows: Iterable[_Leasing]) -> dict[str, object]:
    """The parameters of `LeasedQueue.is_held`."""
    found = list(rows)
    return {"ids": [row.id for row in found], "leases": list({row.lease_id for row in found})}


def _lease_end() -> db_now:
    return db_now(bindparam("lease", type_=Float))


def timings() -> Timings:
    settings: Settings = current_app.config["SETTINGS"]
    return settings.timings


def jittered(seconds: float) -> float:
    """A pause of about so long, each a little different: a thousand that failed together do not return together."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
