"""How long the audit trail is kept: the job `retention`. Nothing else deletes from it.

Triggers refuse every change of `audit_event`, except that lines older than 30 days may be deleted: on SQLite by
anybody, on PostgreSQL only in a transaction that has said, as this one does, how long lines are kept, and only older
ones. See docs/adr/0011-audit-trail.md.
"""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from typing import Any

from sqlalchemy import delete, exists, or_, select, text

from app.db.transactions import transaction
from app.models import AuditEvent, AuditIdentity, Membership, Role
from app.models.types import db_now

_BATCH = 500
_SAY_HOW_LONG = text("SELECT set_config('imported_clients.audit_retention', :days, true)")


def prune_audit(keep_days: int, stop: Event) -> int:
    """Delete the lines that are older than `keep_days` days, and then whom no line names any more.

    In batches, until `stop` is set. Returns how many lines were deleted.
    """
    age = timedelta(days=keep_days).total_seconds()
    old = select(AuditEvent.id).where(AuditEvent.at < db_now(-age)).order_by(AuditEvent.id).limit(_BATCH)
    deleted, batch = 0, _BATCH
    while batch == _BATCH and not stop.is_set():
        with transaction() as session:
            if session.get_bind().dialect.name == "postgresql":
                session.execute(_SAY_HOW_LONG, {"days": str(keep_days)})
            result: Any = session.execute(
                delete(AuditEvent).where(AuditEvent.id.in_(old)).execution_options(synchronize_session=False)
            )
        batch = result.rowcount
        deleted += batch
    while not stop.is_set() and _delete_unnamed() == _BATCH:
        pass
    return deleted


def _delete_unnamed() -> int:
    """Delete some of those whom no line names. Returns how many. Who is on the team stays: they sign in again."""
    columns = (AuditEvent.actor_id, AuditEvent.target_id)
    is_named = or_(*(exists().where(column == AuditIdentity.id) for column in columns))
    is_on_team = exists().where(
        Membership.portal_id == AuditIdentity.portal_id,
        Membership.user_id == AuditIdentity.user_id,
        Membership.role != Role.CLIENT,
    )
    unnamed = select(AuditIdentity.id).where(~is_named, ~is_on_team).order_by(AuditIdentity.id).limit(_BATCH)
    with transaction() as session:
        # Locked first, and only then judged by what is committed: a line may just have come to name one of them.
        found = session.scalars(unnamed.with_for_update(skip_locked=True, of=AuditIdentity)).all()
        session.execute(
            delete(AuditIdentity)
            .where(AuditIdentity.id.in_(found), ~is_named)
            .execution_options(synchronize_session=False)
        )
    return len(found)
