"""How many clients a view matches, and the numbers beside the filter tabs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

from sqlalchemy import BindParameter, Select, bindparam, func, select

from app.clients.filters import COUNT_LIMIT, Moments, matching_keys
from app.clients.list_params import Health, TableView
from app.core.i18n import number
from app.extensions import db
from app.models import ClientStatus, ImportedClient
from app.models.types import UtcDateTime


@dataclass(frozen=True)
class Count:
    """A number of clients, exact up to `COUNT_LIMIT`."""

    found: int

    @property
    def is_more(self) -> bool:
        return self.found > COUNT_LIMIT

    def __str__(self) -> str:
        return f"{number(COUNT_LIMIT)}+" if self.is_more else number(self.found)


@dataclass(frozen=True)
class Summary:
    """The numbers beside the filter tabs: how many of a portal's clients are in which state."""

    invited: Count
    waiting: Count
    failed: Count
    expired: Count
    attention: Count
    joined: Count

    @property
    def all(self) -> Count:
        return Count(self.invited.found + self.joined.found)


def summary(portal_id: str) -> Summary:
    """The numbers beside the filter tabs, in one query."""
    moments = Moments.now()
    numbers = {"portal_id": portal_id, "at": moments.at, "soon": moments.soon}
    return Summary(*map(Count, db.session.execute(_summary_query(), numbers).one()))


def count_matching(portal_id: str, view: TableView, moments: Moments) -> Count:
    """How many clients match a view's filters."""
    return Count(db.session.scalar(_count_query(portal_id, view, moments)) or 0)


@cache
def _summary_query() -> Select[*tuple[int, ...]]:
    """All numbers in one query. Built once, because building it takes as long as running it."""
    pending, joined = frozenset({ClientStatus.INVITE_SENT}), frozenset({ClientStatus.JOINED})
    views = {
        "invited": TableView(statuses=pending),
        "waiting": TableView(health=Health.WAITING),
        "failed": TableView(health=Health.FAILED),
        "expired": TableView(health=Health.EXPIRED),
        "attention": TableView(health=Health.ATTENTION),
        "joined": TableView(statuses=joined),
    }
    portal_id = bindparam("portal_id", type_=ImportedClient.portal_id.type)
    moments = Moments(bindparam("at", type_=UtcDateTime()), bindparam("soon", type_=UtcDateTime()))
    counts = [_count_query(portal_id, views[field.name], moments) for field in fields(Summary)]
    return select(*(count.scalar_subquery() for count in counts))


def _count_query(portal_id: str | BindParameter[str], view: TableView, moments: Moments) -> Select[int]:
    return select(func.count()).select_from(matching_keys(portal_id, view, moments).subquery())
