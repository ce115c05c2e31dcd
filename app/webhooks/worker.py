"""The flush job of webhooks: makes the deliveries that are due, over a few connections at a time to each endpoint.

Each attempt has a thread of its own, which never uses the database. So a slow endpoint holds up no other endpoint, and
no mail. `app.queue.worker` explains the bookkeeping thread.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from uuid import UUID

from flask import Flask

from app.core.signals import webhook_queued
from app.core.stored_texts import stored
from app.models import WebhookDelivery, WebhookEndpoint
from app.observability import metrics
from app.queue import sending
from app.queue.worker import FINISH_SECONDS, Worker, work_off
from app.webhooks import queue
from app.webhooks.messages import message_name
from app.webhooks.queue import Outcome, Verdict
from app.webhooks.sender import attempt

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 64
_MOST_TO_ONE = 4
_SLOW_SECONDS = 1.0
"""An endpoint that takes longer than this gets one event at a time, so that many slow ones leave room for others."""
_NO_ROOM_PAUSE_SECONDS = 0.5
_OWN_FAULT = stored("An error in this service stopped it. Its log says more: ask whoever operates the service.")


def flush(app: Flask, stop: Event) -> None:
    """Make deliveries that are due, until none is left that can be made now, or `stop` is set."""
    work_off(lambda: WebhookWorker(app, stop), webhook_queued, app, stop, queue.has_work)


@dataclass(frozen=True)
class AttemptResult:
    """The result of one attempt."""

    delivery: WebhookDelivery
    outcome: Outcome
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return f"webhook {message_name(self.delivery.message_id)}"


class WebhookWorker(Worker[AttemptResult]):
    """One run of the job."""

    what = "the queue of webhooks"
    signal = webhook_queued

    def __init__(self, app: Flask, stop: Event) -> None:
        super().__init__(app, stop)
        self._in_hand: dict[int, WebhookDelivery] = {}
        self._slow: set[UUID] = set()

    @property
    def is_busy(self) -> bool:
        return bool(self._in_hand)

    def batch(self) -> None:
        with self.transaction():
            self.record(self.done)
            fetched = [] if self.stop.is_set() else self._fetch()
            fetched_at = monotonic()
        self.done.clear()
        has_room = True
        for delivery, endpoint in fetched:
            self._in_hand[delivery.id] = delivery
            has_room = self._begin(delivery, endpoint, fetched_at) and has_room
        if not has_room:
            # What could not begin is fetched again at once. Without this pause the worker would spin while there is no
            # room.
            self.stop.wait(_NO_ROOM_PAUSE_SECONDS)

    def record(self, done: Sequence[AttemptResult]) -> None:
        queue.record_results([(result.delivery, result.outcome) for result in done])

    def _fetch(self) -> list[tuple[WebhookDelivery, WebhookEndpoint]]:
        queue.release_stalled(self._in_hand)
        fetched: list[tuple[WebhookDelivery, WebhookEndpoint]] = []
        due = queue.due_endpoints()
        for endpoint in due if due and sending.stopped() is None else ():
            share = 1 if endpoint.id in self._slow else _MOST_TO_ONE
            taken = sum(delivery.endpoint_id == endpoint.id for delivery in self._in_hand.values())
            room = min(share - taken, _MOST_AT_ONCE - len(self._in_hand) - len(fetched))
            if room > 0:
                fetched += [(delivery, endpoint) for delivery in queue.fetch(endpoint, room)]
        return fetched

    def _begin(self, delivery: WebhookDelivery, endpoint: WebhookEndpoint, fetched_at: float) -> bool:
        """Start an attempt. Returns whether that was possible; if not, this is the attempt's result."""
        # A daemon, so that a process that has to end does not wait for an endpoint that never answers.
        # In a copy of the context, so that its log lines name the job.
        work = copy_context().run
        thread = Thread(target=work, args=(self._attempt, delivery, endpoint, fetched_at), name="webhook", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("webhook %s: no thread could be started (%s)", message_name(delivery.message_id), error)
            outcome = Outcome(Verdict.INTERRUPTED, stored("It was not offered: its worker had no room for it."))
            self.results.put(AttemptResult(delivery, outcome))
            return False
        return True

    def _attempt(self, delivery: WebhookDelivery, endpoint: WebhookEndpoint, fetched_at: float) -> None:
        began = monotonic()
        if began - fetched_at > self.settings.timings.begin_within:
            outcome = Outcome(Verdict.INTERRUPTED, stored("It was not offered: its worker had come to a halt."))
        else:
            try:
                with self.app.app_context():
                    outcome = attempt(delivery, endpoint, self.settings)
            except Exception:
                log.exception("webhook %s: could not be offered", message_name(delivery.message_id))
                outcome = Outcome(Verdict.REFUSED, _OWN_FAULT)
        self.results.put(AttemptResult(delivery, outcome, monotonic() - began))

    def note(self, result: AttemptResult) -> None:
        delivery, verdict = result.delivery, result.outcome.verdict
        self._in_hand.pop(delivery.id, None)
        self.done.append(result)
        metrics.webhook_tried(verdict, result.seconds)
        if result.seconds > _SLOW_SECONDS:
            self._slow.add(delivery.endpoint_id)
        else:
            self._slow.discard(delivery.endpoint_id)
        if verdict is not Verdict.DELIVERED:
            log.warning("%s: not delivered (attempt %s, %s)", result.name, delivery.attempts, verdict)

    def finish(self) -> None:
        """Give attempts in hand a few seconds to finish, and release the leases of the rest."""
        end = monotonic() + FINISH_SECONDS
        while self.is_busy and monotonic() < end:
            self.collect(end - monotonic())
            self.run_batch()
        given_back = Outcome(
            Verdict.INTERRUPTED, stored("Its outcome was not waited for, since the worker was stopped.")
        )
        self.done += [AttemptResult(delivery, given_back) for delivery in self._in_hand.values()]
        self._in_hand.clear()
        if self.done:
            self.run_batch()
