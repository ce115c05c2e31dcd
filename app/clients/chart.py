"""The chart of the last twelve weeks: how many clients were invited, and how many joined."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, select

from app.core.clock import now
from app.core.ids import first_id_at
from app.extensions import db
from app.models import ImportedClient

WEEKS = 12

_HEIGHT = 100
_SLOT = 40


@dataclass(frozen=True)
class Week:
    """A week, identified by its Monday, with its numbers."""

    monday: date
    invited: int
    joined: int


@dataclass(frozen=True)
class Bar:
    """A bar of the chart, in units of the SVG."""

    kind: str
    x: float
    y: float
    height: float


def last_weeks(portal_id: str) -> list[Week]:
    """The last `WEEKS` weeks in UTC, oldest first. Counts the clients that are in the table now."""
    today = now()
    this_monday = (today - timedelta(days=today.weekday())).date()
    mondays = [this_monday - timedelta(weeks=ago) for ago in range(WEEKS - 1, -1, -1)]
    starts = [datetime.combine(monday, time(), UTC) for monday in mondays]
    # Ids are ordered by time, so the primary key finds the clients of these weeks.
    invited = _by_week(portal_id, starts, ImportedClient.created_at, ImportedClient.id >= first_id_at(starts[0]))
    joined = _by_week(portal_id, starts, ImportedClient.joined_at, ImportedClient.joined_at >= starts[0])
    return [Week(monday, invited.get(n, 0), joined.get(n, 0)) for n, monday in enumerate(mondays)]


def bars(weeks: list[Week]) -> list[Bar]:
    """The bars of the chart: two for each week, scaled to the largest number."""
    largest = max((max(week.invited, week.joined) for week in weeks), default=0) or 1
    found = []
    for n, week in enumerate(weeks):
        for offset, kind, number in ((5, "invited", week.invited), (21, "joined", week.joined)):
            height = round(number * _HEIGHT / largest, 1)
            found.append(Bar(kind, n * _SLOT + offset, _HEIGHT - height, height))
    return found


def _by_week(portal_id: str, starts: list[datetime], moment: Any, recent: ColumnElement[bool]) -> dict[int, int]:
    week = case(*((moment >= start, n) for n, start in reversed(list(enumerate(starts)))))
    counts = db.session.execute(
        select(week, func.count()).where(ImportedClient.portal_id == portal_id, recent).group_by(week)
    )
    return {n: count for n, count in counts if n is not None}
