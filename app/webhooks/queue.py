"""The deliveries as a queue: which are due, fetching them, recording results. `app.queue.leases` explains leases.

Of one client's unfinished deliveries to an endpoint, only the oldest can be fetched. So they arrive in order, and a
client whose event is refused holds up no other client. An endpoint that is away is paused for all workers. When the
pause is over, one of them tries it with one delivery. Each function acts in its caller's transaction. It locks
endpoints before deliveries, and deliveries in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, update
from sqlalchemy.orm import aliased

from app.extensions import db
from app.models import WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookState
from app.models.types import db_now
from app.queue.leases import LeasedQueue, jittered, timings

_QUEUE = LeasedQueue(WebhookDelivery, WebhookState, WebhookDelivery.event.in_([*WebhookEvent]))

_RETRY_SECONDS = (20, 60, 5 * 60, 30 * 60, 2 * 60 * 60, 5 * 60 * 60, 10 * 60 * 60)
"""The pauses after the first failures. The last one is repeated until the delivery is given up."""
_SHORTEST_PAUSE_SECONDS = 4.0
_LONGEST_PAUSE_SECONDS = 5 * 60.0
_PAUSE_SHARE = 8
"""An endpoint that is away is paused for an eighth of the time that it has been away. So one that was restarted is
found soon, and one that was abandoned is not tried all day."""
_LONGEST_WISH_SECONDS = 60 * 60.0
"""The longest Retry-After that is respected."""

_OPEN = (WebhookState.QUEUED, WebhookState.SENDING)


class Verdict(StrEnum):
    """The result of an attempt."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """The endpoint works, but does not accept this delivery."""
    GONE = "gone"
    """The endpoint wants no more deliveries (410)."""
    AWAY = "away"
    """No connection was possible, or none that we could trust."""
    UNANSWERED = "unanswered"
    """A connection was made, but no answer came, or the answer says that the endpoint is not available now."""
    INTERRUPTED = "interrupted"
    """We did not wait for the outcome, or did not begin."""


@dataclass(frozen=True)
class Outcome:
    """The result of an attempt, with a sentence for the admin."""

    verdict: Verdict
    sentence: str
    retry_after: float = 0.0
    """How many seconds the endpoint asked us to wait."""
    url: str | None = None
    """The address that was tried, or None if none was. The endpoint may have another one by now."""


# Fetching


def is_first_of_client() -> ColumnElement[bool]:
    """Whether no older delivery of the same client to the same endpoint is unfinished."""
    older = aliased(WebhookDelivery)
    # PostgreSQL plans by its statistics, and the queue is mostly empty when they are made. So this query leaves it no
    # choice. The LIMIT keeps it a lookup for each delivery. The lower() keeps it from any index on the state, so that
    # only the index on the client is left.
    query = select(older.id).where(
        older.client_id == WebhookDelivery.client_id,
        older.endpoint_id == WebhookDelivery.endpoint_id,
        func.lower(older.state).in_([state.value for state in _OPEN]),
        older.id < WebhookDelivery.id,
    )
    return query.limit(1).correlate(WebhookDelivery).scalar_subquery().is_(None)


def is_due() -> ColumnElement[bool]:
    """Whether a delivery can be made now, as far as the delivery itself is concerned."""
    return and_(_QUEUE.is_due, is_first_of_client())


def is_open_to_us() -> ColumnElement[bool]:
    """Whether an endpoint is on and not paused."""
    is_awake = or_(WebhookEndpoint.paused_until.is_(None), WebhookEndpoint.paused_until <= db_now())
    return and_(WebhookEndpoint.is_on, is_awake)


def may_have_work() -> ColumnElement[bool]:
    """Whether there may be something to fetch, as a part of a query. Cheap to ask."""
    return or_(_due_endpoints().exists(), _QUEUE.has_stalled)


def has_work() -> bool:
    """Whether there may be something to fetch. A cheap read, for use before taking the write lock."""
    return bool(db.session.scalar(select(may_have_work())))


def due_endpoints() -> Sequence[WebhookEndpoint]:
    """The endpoints that have deliveries to be made now. Costs an index lookup for each existing endpoint."""
    query = _due_endpoints().order_by(WebhookEndpoint.id)
    found = db.session.scalars(query.execution_options(populate_existing=True)).all()
    # Detached from the session: from here on they are plain values.
    for endpoint in found:
        db.session.expunge(endpoint)
    return found


def _due_endpoints() -> Select[WebhookEndpoint]:
    due = select(WebhookDelivery.id).where(WebhookDelivery.endpoint_id == WebhookEndpoint.id, is_due()).limit(1)
    has_due = due.correlate(WebhookEndpoint).scalar_subquery().is_not(None)
    return select(WebhookEndpoint).where(is_open_to_us(), has_due)


def release_stalled(in_hand: Collection[int] = ()) -> None:
    """Queue rows again whose holder died or was away for too long, except those that the caller has in hand."""
    _QUEUE.release_stalled(in_hand)


def fetch(endpoint: WebhookEndpoint, limit: int) -> Sequence[WebhookDelivery]:
    """Lease due deliveries of an endpoint and count the attempt. If the endpoint was away, lease only one."""
    if endpoint.paused_since is not None:
        if not _may_probe(endpoint.id):
            return []
        limit = 1
    due = (
        select(WebhookDelivery.id)
        .where(WebhookDelivery.endpoint_id == endpoint.id, is_due())
        .order_by(WebhookDelivery.due_at, WebhookDelivery.id)
        .limit(limit)
    )
    taking = _QUEUE.fetching(due, last_tried_at=db_now())
    ids = [row.id for row in _QUEUE.fetch(taking.returning(WebhookDelivery.id))]
    query = select(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).execution_options(populate_existing=True)
    fetched = db.session.scalars(query).all()
    # Detached from the session: from here on they are plain values.
    for delivery in fetched:
        db.session.expunge(delivery)
    return fetched


def _may_probe(endpoint_id: UUID) -> bool:
    """Claim the right to try an endpoint whose pause is over. Only one worker succeeds."""
    # We hold other rows by now, so we must not wait. If the row is locked, another worker is at this endpoint, and
    # there is a next round.
    free = (
        select(WebhookEndpoint.id)
        .where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.paused_until <= db_now())
        .with_for_update(skip_locked=True, key_share=True)
    )
    taken = db.session.execute(
        update(WebhookEndpoint)
        .where(WebhookEndpoint.id.in_(free))
        .values(paused_until=db_now(timings().probe))
        .execution_options(synchronize_session=False)
    )
    return bool(taken.rowcount)  # type: ignore[attr-defined]


# Recording


def record_results(done: Sequence[tuple[WebhookDelivery, Outcome]]) -> None:
    """Record the results of attempts. Does nothing for deliveries that others hold by now."""
    if not done:
        return
    endpoints = _locked_endpoints({delivery.endpoint_id for delivery, _outcome in done})
    ids = [delivery.id for delivery, _outcome in done]
    # Locked in one order, so that a transaction that removes clients waits for us, but never we for it in turn.
    db.session.execute(
        select(WebhookDelivery.id).where(WebhookDelivery.id.in_(ids)).order_by(WebhookDelivery.id).with_for_update()
    )
    for delivery, outcome in done:
        if delivery.endpoint_id in endpoints:
            _record_one(delivery, outcome, endpoints[delivery.endpoint_id])


@dataclass
class _LockedEndpoint:
    """An endpoint whose row is locked, with its current values."""

    id: UUID
    url: str
    paused_since: datetime | None


def _locked_endpoints(ids: Collection[UUID]) -> dict[UUID, _LockedEndpoint]:
    """Lock these endpoints and return them. Deleted ones are missing."""
    query = (
        select(WebhookEndpoint.id, WebhookEndpoint.url, WebhookEndpoint.paused_since)
        .where(WebhookEndpoint.id.in_(ids))
        .order_by(WebhookEndpoint.id)
        .with_for_update(key_share=True)
    )
    return {row.id: _LockedEndpoint(row.id, row.url, row.paused_since) for row in db.session.execute(query)}


_OF_THE_ADDRESS = (Verdict.GONE, Verdict.AWAY, Verdict.UNANSWERED)
"""Verdicts about the address that was tried. They say nothing about another address that the endpoint has now."""


def _record_one(delivery: WebhookDelivery, outcome: Outcome, endpoint: _LockedEndpoint) -> None:
    has_moved = outcome.url is not None and outcome.url != endpoint.url
    match outcome.verdict:
        case verdict if has_moved and verdict in _OF_THE_ADDRESS:
            _finish(delivery, outcome, state=WebhookState.QUEUED, attempts=delivery.attempts - 1)
        case Verdict.DELIVERED:
            _finish(delivery, outcome, state=WebhookState.DELIVERED, delivered_at=db_now())
            _resume(endpoint)
        case Verdict.REFUSED:
            _finish(delivery, outcome, **_later(delivery.attempts))
            _resume(endpoint)
        case Verdict.GONE:
            _finish(delivery, outcome, state=WebhookState.QUEUED, attempts=delivery.attempts - 1)
            _change_endpoint(endpoint.id, is_on=False, gone_at=db_now(), **_AWAKE)
            endpoint.paused_since = None
        case Verdict.UNANSWERED if endpoint.paused_since is None:
            # Perhaps the endpoint cannot answer this very delivery, so the attempt counts against it as well.
            _finish(delivery, outcome, **_later(delivery.attempts))
            _pause(endpoint, outcome)
        case Verdict.AWAY | Verdict.UNANSWERED:
            # The attempt does not count against the delivery. It becomes due anew, behind the others, so the next
            # attempt is for another delivery.
            attempts = delivery.attempts - 1
            _finish(delivery, outcome, state=_queued_or_given_up(), due_at=db_now(), attempts=attempts)
            _pause(endpoint, outcome)
        case Verdict.INTERRUPTED:
            _finish(delivery, outcome, state=WebhookState.QUEUED)


_AWAKE: Mapping[str, None] = {"paused_until": None, "paused_since": None, "pause_reason": None}


def _later(attempts: int) -> dict[str, object]:
    """The values for another attempt, or for giving up if the time is over."""
    return {"state": _queued_or_given_up(), "due_at": db_now(retry_pause_seconds(attempts))}


def _queued_or_given_up() -> ColumnElement[str]:
    is_over = WebhookDelivery.give_up_at <= db_now()
    return case((is_over, WebhookState.GIVEN_UP.value), else_=WebhookState.QUEUED.value)


def retry_pause_seconds(attempts: int) -> float:
    """The pause before the next attempt, in seconds, varied at random."""
    return jittered(_RETRY_SECONDS[min(attempts, len(_RETRY_SECONDS)) - 1])


def _finish(delivery: WebhookDelivery, outcome: Outcome, **values: Any) -> None:
    _QUEUE.finish(_QUEUE.finishing(last_answer=outcome.sentence, **values), [delivery])


def _pause(endpoint: _LockedEndpoint, outcome: Outcome) -> None:
    """Pause an endpoint that is away, and give up the deliveries that have waited for it too long."""
    at = db.session.scalars(select(db_now())).one()
    since = endpoint.paused_since or at
    seconds = (at - since).total_seconds() / _PAUSE_SHARE
    seconds = min(max(seconds, _SHORTEST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
    seconds = max(seconds, min(outcome.retry_after, _LONGEST_WISH_SECONDS))
    _change_endpoint(endpoint.id, paused_since=since, paused_until=db_now(seconds), pause_reason=outcome.sentence)
    endpoint.paused_since = since
    overdue = (
        select(WebhookDelivery.id)
        .where(
            WebhookDelivery.endpoint_id == endpoint.id,
            WebhookDelivery.state == WebhookState.QUEUED,
            WebhookDelivery.give_up_at <= db_now(),
        )
        .with_for_update(skip_locked=True)
    )
    db.session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(overdue))
        .values(state=WebhookState.GIVEN_UP, last_answer=outcome.sentence)
        .execution_options(synchronize_session=False)
    )


def _resume(endpoint: _LockedEndpoint) -> None:
    if endpoint.paused_since is not None:
        _change_endpoint(endpoint.id, **_AWAKE)
        endpoint.paused_since = None


def _change_endpoint(endpoint_id: UUID, **values: object) -> None:
    db.session.execute(
        update(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
