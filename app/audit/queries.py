"""Reading a portal's audit trail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import aliased

from app.audit.list_params import AuditView
from app.audit.words import change_lines, kind_label, kinds_of
from app.extensions import db
from app.models import AuditEvent, AuditIdentity, Portal

PAGE_SIZE = 50

_Actor = aliased(AuditIdentity)
_Target = aliased(AuditIdentity)


@dataclass(frozen=True)
class AuditLine:
    """A line with whom it names."""

    event: AuditEvent
    actor: AuditIdentity | None
    target: AuditIdentity | None

    @property
    def label(self) -> str:
        return kind_label(self.event.kind)

    @property
    def changes(self) -> Sequence[str]:
        return change_lines(self.event.change)


@dataclass(frozen=True)
class AuditPage:
    """A page of a trail, newest line first, with the views of the pages beside it."""

    lines: Sequence[AuditLine]
    older: AuditView | None
    newer: AuditView | None


def audit_page(portal_id: str, view: AuditView, size: int = PAGE_SIZE) -> AuditPage:
    """The page of a portal's trail that a view asks for."""
    order = AuditEvent.id.asc() if view.after is not None else AuditEvent.id.desc()
    rows = db.session.execute(
        select(AuditEvent, _Actor, _Target)
        # A portal of the same id may have been deleted before.
        .join(Portal, and_(Portal.id == AuditEvent.portal_id, Portal.created_at <= AuditEvent.at))
        .outerjoin(_Actor, _Actor.id == AuditEvent.actor_id)
        .outerjoin(_Target, _Target.id == AuditEvent.target_id)
        .where(AuditEvent.portal_id == portal_id, *_conditions(portal_id, view))
        .order_by(order)
        .limit(size + 1)
    ).all()
    has_more = len(rows) > size
    lines = [AuditLine(*row) for row in rows[:size]]
    if view.after is not None:
        lines.reverse()
        return _page(view, lines, has_older=True, has_newer=has_more)
    return _page(view, lines, has_older=has_more, has_newer=view.before is not None)


def _page(view: AuditView, lines: Sequence[AuditLine], *, has_older: bool, has_newer: bool) -> AuditPage:
    if not lines:
        # Beyond the first or the last line: the way back is the newest page.
        is_elsewhere = view.before is not None or view.after is not None
        return AuditPage(lines, None, view.at() if is_elsewhere else None)
    older = view.at(before=lines[-1].event.id) if has_older else None
    newer = view.at(after=lines[0].event.id) if has_newer else None
    return AuditPage(lines, older, newer)


def people_of(portal_id: str) -> Sequence[tuple[int, str]]:
    """Whom the trail names, for the filter: account and latest name with address, ordered by name."""
    named = select(AuditIdentity.user_id, AuditIdentity.name, AuditIdentity.email).where(
        AuditIdentity.portal_id == portal_id, AuditIdentity.user_id.is_not(None), AuditIdentity.name.is_not(None)
    )
    latest = {row.user_id: f"{row.name} ({row.email})" for row in db.session.execute(named.order_by(AuditIdentity.id))}
    return sorted(latest.items(), key=lambda one: one[1].casefold())


def _conditions(portal_id: str, view: AuditView) -> Iterator[ColumnElement[bool]]:
    if view.before is not None:
        yield AuditEvent.id < view.before
    if view.after is not None:
        yield AuditEvent.id > view.after
    if view.person is not None:
        theirs = select(AuditIdentity.id).where(
            AuditIdentity.portal_id == portal_id, AuditIdentity.user_id == view.person
        )
        yield or_(AuditEvent.actor_id.in_(theirs), AuditEvent.target_id.in_(theirs))
    if view.actor is not None:
        yield AuditEvent.actor == view.actor
    if view.group is not None:
        yield AuditEvent.kind.in_(kinds_of(view.group))
    if view.since is not None:
        yield AuditEvent.at >= _midnight(view.since)
    if view.until is not None and view.until < date.max:
        yield AuditEvent.at < _midnight(view.until + timedelta(days=1))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, clock_time(), UTC)
