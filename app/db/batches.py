"""Work on many rows in batches, one transaction each, because on SQLite nobody else can write during a transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import Any, TypeVar

from sqlalchemy import Select, delete
from sqlalchemy.orm import InstrumentedAttribute

from app.db.transactions import transaction

_CHANGED = 100
_DELETED = 500

_Id = TypeVar("_Id")


def change_in_batches(ids: Sequence[_Id], change: Callable[[Sequence[_Id]], int]) -> int:
    """Call `change` with the ids, one batch at a time. Returns the sum of its results: the number of changed rows."""
    changed = 0
    for start in range(0, len(ids), _CHANGED):
        with transaction():
            changed += change(ids[start : start + _CHANGED])
    return changed


def delete_in_batches(key: InstrumentedAttribute[_Id], old: Select[_Id], stop: Event) -> int:
    """Delete the rows whose keys `old` selects, in its order, until `stop` is set. Returns how many were deleted.

    Rows that another transaction holds are left alone. A transaction that removes clients holds some of their mails; if
    it also waited for a row of ours, the two would wait for each other.
    """
    some = old.limit(_DELETED).with_for_update(skip_locked=True)
    deletion = delete(key.class_).where(key.in_(some)).execution_options(synchronize_session=False)
    deleted = 0
    while not stop.is_set():
        with transaction() as session:
            result: Any = session.execute(deletion)
        deleted += result.rowcount
        if result.rowcount < _DELETED:
            break
    return deleted
