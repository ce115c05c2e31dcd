"""The flush job of webhooks: delivers what is due, over a few connections at a time to each endpoint.

One thread keeps the books, as for mails: in one transaction it marks what came of attempts and claims what goes out
next. Each attempt has a thread of its own, which never touches the database. So an endpoint that is slow holds up
nobody else, and nothing of this holds up a mail.
"""

from __future__ import annotations

import logging
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic, sleep
from uuid import UUID

from flask import Flask
from sqlalchemy.exc import DBAPIError

from app import metrics
from app.database import is_passing, transaction
from app.models import WebhookDelivery, WebhookEndpoint
from app.signals import webhook_queued
from app.webhooks import queue
from app.webhooks.attempt import attempt
from app.webhooks.messages import message_name
from app.webhooks.queue import Outcome, Verdict

log = logging.getLogger(__name__)

FINISH_SECONDS = 7.5
"""How long attempts in hand may take when the process is told to end; supervisors kill after ten seconds."""
BEGIN_SECONDS = 10.0
"""How long after its claim an attempt may begin. With its deadline it then does not outlast its lease, so a process
that slept in between does not send what others have taken over."""

_MOST_AT_ONCE = 64
_MOST_TO_ONE = 4
_SLOW_SECONDS = 1.0
"""An endpoint that takes longer than this gets one event at a time, so that many such leave room for others."""
_DATABASE_PAUSE_SECONDS = 0.5
_NO_ROOM_PAUSE_SECONDS = 0.5


def flush(app: Flask, stop: Event) -> None:
    """Deliver all that is due, until nothing is left that can be delivered now, or `stop` is set."""
    woken = Event()

    def wake(_sender: object) -> None:
        woken.set()

    with webhook_queued.connected_to(wake):
        while True:
            woken.clear()
            with app.app_context():
                has_work = queue.has_work()
                if has_work:
                    _Flush(app, stop).run()
            # An event may have been written while the last attempt was marked.
            if stop.is_set() or not woken.is_set():
                return


@dataclass(frozen=True)
class _Result:
    delivery: WebhookDelivery
    outcome: Outcome
    seconds: float


class _Flush:
    """One run of the job. Whatever it remembers is but a hint: the database decides at each step."""

    def __init__(self, app: Flask, stop: Event) -> None:
        self._app = app
        self._stop = stop
        self._interval: float = app.config["SETTINGS"].outbox_interval_seconds
        self._allowed = app.config["SETTINGS"].webhook_allowed_networks
        self._results: SimpleQueue[_Result | None] = SimpleQueue()
        self._in_hand: dict[int, WebhookDelivery] = {}
        self._slow: set[UUID] = set()
        self._done: list[_Result] = []

    def run(self) -> None:
        with webhook_queued.connected_to(self._wake):
            self._keep_books()
            while (self._in_hand or self._done) and not self._stop.is_set():
                self._collect(self._interval)
                self._keep_books()
            self._finish()

    def _wake(self, _sender: object) -> None:
        self._results.put(None)

    # The books

    def _keep_books(self) -> None:
        try:
            self._book()
        except Exception as error:
            if not (isinstance(error, DBAPIError) and is_passing(error)):
                self._book_singly(error)
            elif self._in_hand or self._done:
                # What is done is marked as soon as the database is back; until then nobody else can take it.
                log.warning("webhooks cannot be marked (%s); trying again", type(error).__name__)
                sleep(_DATABASE_PAUSE_SECONDS)
            else:
                raise

    def _book(self) -> None:
        """One entry: all of it or nothing."""
        with transaction():
            queue.settle([(result.delivery, result.outcome) for result in self._done])
            claimed = [] if self._stop.is_set() else self._claim()
            claimed_at = monotonic()
        self._done.clear()
        has_room = True
        for delivery, endpoint in claimed:
            self._in_hand[delivery.id] = delivery
            has_room = self._begin(delivery, endpoint, claimed_at) and has_room
        if not has_room:
            # What could not begin is claimed again at once: not round and round while there is no room.
            self._stop.wait(_NO_ROOM_PAUSE_SECONDS)

    def _book_singly(self, error: Exception) -> None:
        """One of the results has run into a fault of ours: mark the others. It keeps its lease, and is tried again."""
        log.error("the books of webhooks could not be kept; marking one after the other", exc_info=error)
        done = list(self._done)
        self._done.clear()
        for result in done:
            try:
                with transaction():
                    queue.settle([(result.delivery, result.outcome)])
            except Exception:
                log.exception("webhook %s: could not be marked", message_name(result.delivery.message_id))

    def _claim(self) -> list[tuple[WebhookDelivery, WebhookEndpoint]]:
        queue.free_lapsed(self._in_hand)
        claimed: list[tuple[WebhookDelivery, WebhookEndpoint]] = []
        for endpoint in queue.due_endpoints():
            share = 1 if endpoint.id in self._slow else _MOST_TO_ONE
            taken = sum(delivery.endpoint_id == endpoint.id for delivery in self._in_hand.values())
            room = min(share - taken, _MOST_AT_ONCE - len(self._in_hand) - len(claimed))
            if room > 0:
                claimed += [(delivery, endpoint) for delivery in queue.claim(endpoint, room)]
        return claimed

    # Attempts

    def _begin(self, delivery: WebhookDelivery, endpoint: WebhookEndpoint, claimed_at: float) -> bool:
        """Start an attempt; whether that could be done. If not, that is its result."""
        # A daemon: a process that has to end does not wait for an endpoint that never answers.
        # In a copy of the context, so that what it logs names the job.
        work = copy_context().run
        thread = Thread(target=work, args=(self._attempt, delivery, endpoint, claimed_at), name="webhook", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("webhook %s: no thread could be started (%s)", message_name(delivery.message_id), error)
            outcome = Outcome(Verdict.INTERRUPTED, "It was not offered: its worker had no room for it.")
            self._results.put(_Result(delivery, outcome, 0.0))
            return False
        return True

    def _attempt(self, delivery: WebhookDelivery, endpoint: WebhookEndpoint, claimed_at: float) -> None:
        began = monotonic()
        if began - claimed_at > BEGIN_SECONDS:
            outcome = Outcome(Verdict.INTERRUPTED, "It was not offered: its worker had come to a halt.")
        else:
            try:
                with self._app.app_context():
                    outcome = attempt(delivery, endpoint, self._allowed)
            except Exception as error:
                log.exception("webhook %s: could not be offered", message_name(delivery.message_id))
                outcome = Outcome(Verdict.REFUSED, f"It could not be offered ({type(error).__name__}).")
        self._results.put(_Result(delivery, outcome, monotonic() - began))

    def _collect(self, patience: float) -> None:
        """Wait for an attempt that is done, or for an event that was written, and take what else there is."""
        try:
            self._note(self._results.get(timeout=max(0.0, patience)))
            while True:
                self._note(self._results.get_nowait())
        except Empty:
            return

    def _note(self, result: _Result | None) -> None:
        if result is None:
            return
        delivery, verdict = result.delivery, result.outcome.verdict
        self._in_hand.pop(delivery.id, None)
        self._done.append(result)
        metrics.webhook_tried(verdict, result.seconds)
        if result.seconds > _SLOW_SECONDS:
            self._slow.add(delivery.endpoint_id)
        else:
            self._slow.discard(delivery.endpoint_id)
        if verdict is not Verdict.DELIVERED:
            name = message_name(delivery.message_id)
            log.warning("webhook %s: not delivered (attempt %s, %s)", name, delivery.attempts, verdict)

    # The end

    def _finish(self) -> None:
        """Let attempts in hand be finished, but not for long, and give back the rest."""
        end = monotonic() + FINISH_SECONDS
        while self._in_hand and monotonic() < end:
            self._collect(end - monotonic())
            self._keep_books()
        given_back = Outcome(Verdict.INTERRUPTED, "Its outcome was not waited for, since the worker was stopped.")
        self._done += [_Result(delivery, given_back, 0.0) for delivery in self._in_hand.values()]
        self._in_hand.clear()
        if self._done:
            self._keep_books()
