"""Webhooks for their operators: the queue, a single delivery, trying again, deleting old deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event

from flask_babel import gettext as _
from sqlalchemy import and_, func, or_, select

from app.core.clock import now
from app.core.errors import DomainError
from app.core.ids import first_id_at
from app.db.batches import change_in_batches, delete_in_batches
from app.db.transactions import transaction
from app.extensions import db
from app.models import Portal, WebhookDelivery, WebhookEndpoint, WebhookState
from app.models.types import db_now
from app.webhooks.endpoints import queue_again
from app.webhooks.messages import message_name, read_message_name
from app.webhooks.queue import is_due, is_open_to_us

_NOT_DELIVERED = (WebhookState.QUEUED, WebhookState.SENDING, WebhookState.GIVEN_UP)


@dataclass(frozen=True)
class QueueFigures:
    """The state of the queue."""

    deliveries: dict[WebhookState, int]
    """The number of deliveries in each state except delivered, because those are too many to count."""
    overdue_seconds: float
    """The longest time that a delivery which can be made has waited for a worker. 0 if there is none."""
    paused_endpoints: int
    """How many endpoints are away now."""


@dataclass(frozen=True)
class StatusLine:
    """The deliveries of one state and portal."""

    state: WebhookState
    portal_id: str
    count: int
    oldest: datetime


def queue_figures() -> QueueFigures:
    """The figures of the queue, read with three queries that use indexes."""
    counts = db.session.execute(
        select(WebhookDelivery.state, func.count().label("number"))
        .where(WebhookDelivery.state.in_(_NOT_DELIVERED))
        .group_by(WebhookDelivery.state)
    ).all()
    first_due = (
        select(WebhookDelivery.due_at)
        .where(WebhookDelivery.endpoint_id == WebhookEndpoint.id, is_due())
        .order_by(WebhookDelivery.due_at)
        .limit(1)
        .scalar_subquery()
    )
    due, at = db.session.execute(select(func.min(first_due), db_now()).where(is_open_to_us())).one()
    paused = select(func.count()).select_from(WebhookEndpoint)
    paused = paused.where(WebhookEndpoint.is_on, WebhookEndpoint.paused_since.is_not(None))
    return QueueFigures(
        deliveries=dict.fromkeys(_NOT_DELIVERED, 0) | {row.state: row.number for row in counts},
        overdue_seconds=0.0 if due is None else max(0.0, (at - due).total_seconds()),
        paused_endpoints=db.session.scalar(paused) or 0,
    )


def status() -> Sequence[StatusLine]:
    """The number of deliveries by state and portal, in the order of states."""
    rows = db.session.execute(
        select(WebhookDelivery.state, WebhookDelivery.portal_id, func.count(), func.min(WebhookDelivery.at)).group_by(
            WebhookDelivery.state, WebhookDelivery.portal_id
        )
    ).all()
    order = list(WebhookState)
    return sorted((StatusLine(*row) for row in rows), key=lambda line: (order.index(line.state), line.portal_id))


def find_delivery(name: str) -> tuple[WebhookDelivery, WebhookEndpoint]:
    """Find a delivery by its `webhook-id`, with its endpoint. Raises `DomainError` if there is none."""
    message_id = read_message_name(name)
    delivery = db.session.scalar(select(WebhookDelivery).where(WebhookDelivery.message_id == message_id))
    if delivery is None:
        raise DomainError(_("There is no webhook with the id %(id)s.", id=name))
    return delivery, db.session.get_one(WebhookEndpoint, (delivery.portal_id, delivery.endpoint_id))


def retry_delivery(name: str) -> None:
    """Send a delivery again that was delivered or given up, under the same id. Raises `DomainError` otherwise."""
    delivery, _endpoint = find_delivery(name)
    state = delivery.state
    with transaction():
        if not queue_again([delivery.id]):
            raise DomainError(
                _("Webhook %(id)s is on its way: it is %(state)s.", id=message_name(delivery.message_id), state=state)
            )


def retry_given_up(portal_id: str | None = None) -> int:
    """Send all given-up deliveries again, of one portal or of all. Returns how many.

    Raises `DomainError` for a portal that does not exist.
    """
    if portal_id is not None and db.session.get(Portal, portal_id) is None:
        raise DomainError(_("There is no portal with the id %(id)s.", id=portal_id))
    given_up = select(WebhookDelivery.id).where(WebhookDelivery.state == WebhookState.GIVEN_UP)
    if portal_id is not None:
        given_up = given_up.where(WebhookDelivery.portal_id == portal_id)
    return change_in_batches(db.session.scalars(given_up.order_by(WebhookDelivery.id)).all(), queue_again)


def prune_deliveries(keep_days: int, stop: Event) -> int:
    """Delete deliveries that were written more than `keep_days` days ago, until `stop` is set. Returns how many.

    These are deliveries that were made or given up, and those that wait for an endpoint that has been off for so long.
    A delivery stays while it may still be tried.
    """
    is_over = or_(
        WebhookDelivery.state.in_((WebhookState.DELIVERED, WebhookState.GIVEN_UP)),
        and_(WebhookDelivery.state == WebhookState.QUEUED, WebhookDelivery.give_up_at <= db_now()),
    )
    long_ago = now() - timedelta(days=keep_days)
    old = (
        select(WebhookDelivery.id)
        # The message ids are in the order of time, and have an index.
        .where(WebhookDelivery.message_id < first_id_at(long_ago), is_over)
        .order_by(WebhookDelivery.message_id)
    )
    return delete_in_batches(WebhookDelivery.id, old, stop)
