"""The webhooks of a copy of the database that wait to be released, and dropping those that were due long ago."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from app.db.batches import change_in_batches
from app.extensions import db
from app.models import WebhookDelivery, WebhookState
from app.queue.waiting import DROPPED, Waiting, waiting_by_kind

_WAITS = WebhookDelivery.state.in_((WebhookState.QUEUED, WebhookState.SENDING))


def waiting_webhooks() -> list[Waiting]:
    """The deliveries that wait, by event."""
    return waiting_by_kind(WebhookDelivery.event, WebhookDelivery.at, WebhookDelivery.due_at, _WAITS)


def webhooks_due_before(moment: datetime) -> Sequence[int]:
    """The deliveries that wait and were due before a moment."""
    due = select(WebhookDelivery.id).where(_WAITS, WebhookDelivery.due_at < moment).order_by(WebhookDelivery.id)
    return db.session.scalars(due).all()


def drop_webhooks(before: datetime) -> int:
    """Give up the deliveries that were due before a moment. Returns how many."""
    return change_in_batches(webhooks_due_before(before), _drop)


def _drop(ids: Sequence[int]) -> int:
    given_up = {"state": WebhookState.GIVEN_UP, "lease_id": None, "lease_until": None, "last_answer": DROPPED}
    dropping = update(WebhookDelivery).where(WebhookDelivery.id.in_(ids), _WAITS).values(given_up)
    result: Any = db.session.execute(dropping.execution_options(synchronize_session=False))
    return int(result.rowcount)
