"""Looking at an audit trail from behind the scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import aliased

from app.extensions import db
from app.models import ActorKind, AuditEvent, AuditIdentity, AuditKind
from tests.support.app_driver import HARBOUR, AppDriver


@dataclass(frozen=True)
class Line:
    kind: AuditKind
    by: ActorKind
    actor: str | None
    """The actor's address."""
    target: str | None
    """The target's address, or its name if it has none."""
    change: dict[str, object]
    network: str | None


def lines(app_driver: AppDriver, portal_id: str = HARBOUR) -> Sequence[Line]:
    """A portal's lines, oldest first."""
    actor, target = aliased(AuditIdentity), aliased(AuditIdentity)
    query = (
        select(AuditEvent, actor.email, target.email, target.name)
        .outerjoin(actor, actor.id == AuditEvent.actor_id)
        .outerjoin(target, target.id == AuditEvent.target_id)
        .where(AuditEvent.portal_id == portal_id)
        .order_by(AuditEvent.id)
    )
    return [
        Line(event.kind, event.actor, by, email or name, event.change, event.network)
        for event, by, email, name in app_driver.do(lambda: db.session.execute(query).all())
    ]


def kinds(app_driver: AppDriver, portal_id: str = HARBOUR) -> list[AuditKind]:
    return [line.kind for line in lines(app_driver, portal_id)]
