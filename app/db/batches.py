"""Work on many rows, a batch in each transaction: on SQLite nobody else writes meanwhile."""

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
    """Let `change` work on the rows with these ids, some at a time; returns how many it has changed, as it says."""
    changed = 0
    for start in range(0, len(ids), _CHANGED):
        with transaction():
            changed += change(ids[start : start + _CHANGED])
    return changed


def delete_in_batches(key: InstrumentedAttribute[_Id], old: Select[_Id], stop: Event) -> int:
    """Delete the rows whose keys `old` selects, in its order, until `stop` is set; returns how many.

    Rows that somebody else holds just now stay: who removes clients holds some of their mails, and is not to wait for
    us who wait for them.
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
