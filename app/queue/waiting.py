"""What waits in a queue, by kind: what would go out if a copy of the database were released now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select

from app.core.stored_texts import stored
from app.extensions import db

DROPPED = stored("Dropped by the operator when a copy of the database was released.")
"""What a dropped mail or webhook has in place of an answer."""


@dataclass(frozen=True)
class Waiting:
    """The rows of a kind that wait: since when the oldest exists, and when the first and the last of them are due."""

    kind: str
    count: int
    oldest: datetime
    first_due: datetime
    last_due: datetime


def waiting_by_kind(kind: Any, made_at: Any, due_at: Any, *conditions: ColumnElement[bool]) -> list[Waiting]:
    """The rows that meet the conditions, by the column `kind`."""
    query = select(kind, func.count(), func.min(made_at), func.min(due_at), func.max(due_at)).where(*conditions)
    return [Waiting(*row) for row in db.session.execute(query.group_by(kind).order_by(kind))]
