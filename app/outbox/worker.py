"""The flush job: sends the mails that are due, over a few connections that stay open.

A connection gets its next mail only when the result of its last one is recorded. `app.queue.worker` explains the
bookkeeping thread.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from threading import Event
from time import monotonic

from flask import Flask

from app.branding.policy import PortalPolicy, policies_of
from app.core.clock import now
from app.core.signals import mail_queued
from app.observability import metrics
from app.outbox import queue, refusals, routing
from app.outbox.errors import DeliveryError, RecipientRefused, ServerFailure, ServerMisconfigured, UndecidedRefusal
from app.outbox.leased_email import LeasedEmail
from app.outbox.pool import ServerPool
from app.outbox.priorities import portal_of
from app.outbox.routing import Circuit, Route
from app.outbox.sender import SendResult
from app.queue import sending
from app.queue.worker import DATABASE_PAUSE_SECONDS, FINISH_SECONDS, Worker, work_off

log = logging.getLogger(__name__)

_ABORT_SECONDS = 0.75
_GOODBYE_SECONDS = 0.75


def flush(app: Flask, stop: Event) -> None:
    """Send mails that are due, until none is left that can be sent now, or `stop` is set.

    Mails without a mail server wait: they are not fetched.
    """
    work_off(lambda: OutboxWorker(app, stop), mail_queued, app, stop, queue.has_due_mail)


class OutboxWorker(Worker[SendResult]):
    """One run of the job."""

    what = "the outbox"
    signal = mail_queued

    def __init__(self, app: Flask, stop: Event) -> None:
        super().__init__(app, stop)
        self._pools: dict[str, ServerPool] = {}
        self._policies: dict[str | None, PortalPolicy] = {}
        """The policies of portals whose mails were fetched. Read anew each time `_look` finds out what is due."""
        self._next_look = 0.0
        # What the next batch has to record, in addition to `done`.
        self._failures: dict[str, ServerFailure] = {}
        self._healed: set[str] = set()
        # Servers whose latest results tell something about refusals that were remembered.
        self._refused: set[str] = set()
        self._answered: set[str] = set()
        self._took_mail: set[str] = set()

    def run(self) -> None:
        try:
            super().run()
        finally:
            senders = [sender for pool in self._pools.values() for sender in pool.dismiss_idle()]
            end = monotonic() + _GOODBYE_SECONDS
            for sender in senders:
                sender.wait(max(0.0, end - monotonic()))

    def wake(self) -> None:
        self._next_look = 0.0

    # Batches

    def batch(self) -> None:
        began = monotonic()
        is_look_due = not self.stop.is_set() and began >= self._next_look
        if is_look_due:
            # A transaction of its own. On PostgreSQL a row that is changed twice in one transaction has its foreign
            # keys checked. That check waits for a transaction that holds the client, which may be waiting for the mail
            # in turn.
            with self.transaction():
                queue.release_stalled(self._in_hand)
        turns = self._turns()
        with self.transaction():
            self.record(self.done)
            self._record_servers()
            if is_look_due:
                self._look()
            fetched = [] if self.stop.is_set() else self._fetch(turns)
            self._learn_policies(mail.portal_id for _, mail in fetched)
        self.done.clear()
        self._failures.clear()
        self._healed.clear()
        for pool, mail in fetched:
            pool.send(mail, self._policies[mail.portal_id], began)
        self._judge_refusals()

    def record(self, done: Sequence[SendResult]) -> None:
        outcomes = [queue.Outcome(result.mail, result.error, result.sender.route.key) for result in done]
        queue.record_results(outcomes, now(), self._policies)

    def _record_servers(self) -> None:
        for key, error in sorted(self._failures.items()):
            is_probe = self._pools[key].is_probe
            if isinstance(error, UndecidedRefusal):
                refusals.suspect(key, error, is_probe=is_probe)
            else:
                routing.pause(key, error, is_probe=is_probe)
        for key in sorted(self._healed):
            routing.resume(key)

    def _judge_refusals(self) -> None:
        if not self._has_judgements:
            return
        # In a transaction of its own, for the same reason as `release_stalled`.
        with self.transaction():
            for key in sorted(self._answered | self._took_mail):
                refusals.forget(key, server_took_mail=key in self._took_mail)
            at_fault = [key for key in sorted(self._refused) if refusals.are_servers(key)]
        for key in at_fault:
            log.warning(
                "the mail server of %s is paused: it refuses everyone in the same words", key or "the deployment"
            )
            if key in self._pools:
                self._pools[key].close()
        self._refused.clear()
        self._answered.clear()
        self._took_mail.clear()

    # Fetching

    def _look(self) -> None:
        """Find out what is due, by which routes it goes, and whether these are open."""
        self._next_look = monotonic() + self.settings.outbox_interval_seconds
        self._policies = policies_of({mail.portal_id for mail in self._in_hand})
        queues = queue.due_queues()
        if queues and sending.stopped() is not None:
            queues = {}
        routes = routing.routes_of({portal_of(one) for one in queues} | {key or None for key in self._pools})
        due: defaultdict[str, list[str]] = defaultdict(list)
        for one in queues:
            if (route := routes.get(portal_of(one))) is not None:
                due[route.key].append(one)
        circuits = routing.circuits_of(due)
        for key, its_queues in list(due.items()):
            if not self._is_open(routes[portal_of(its_queues[0])], circuits[key]):
                del due[key]
        for key, pool in list(self._pools.items()):
            route = routes.get(key or None)
            if pool.is_probe:
                due[key] = self._probe_queues(pool, due[key])
            pool.follow(due[key], route if route is not None and route.key == key else None)
            if not (due[key] or pool.is_busy):
                self._pools.pop(key).dismiss_idle()
        for key in refusals.servers_with_refusals(self._pools):
            self._pools[key].has_refusals = True

    def _probe_queues(self, pool: ServerPool, queues: list[str]) -> list[str]:
        """The queues whose mails tell most about a server at fault: mails to domains that have refused none so far.

        A domain's own policy is told from the server's fault by what becomes of other recipients.
        """
        failing = refusals.failing_domains(pool.route.key)
        elsewhere = queue.queues_with_mails_elsewhere(queues, failing)
        pool.avoids = failing if elsewhere else ()
        return elsewhere or queues

    def _is_open(self, route: Route, circuit: Circuit) -> bool:
        """Whether mails may be fetched for a server. If so, it has a pool afterwards."""
        if route.fault is not None:
            routing.pause(route.key, ServerMisconfigured(route.fault))
            return False
        pool = self._pools.get(route.key)
        if pool is not None and not pool.is_closed:
            return True
        if circuit is Circuit.OPEN or (pool is not None and pool.is_busy):
            return False
        fault = routing.claim_probe(route.key) if circuit is Circuit.HALF_OPEN else None
        if circuit is Circuit.HALF_OPEN and fault is None:
            return False
        self._pools[route.key] = ServerPool(self.app, route, self.results, fault=fault)
        return True

    def _turns(self) -> dict[str, int]:
        """How many mails each server with a rate limit may get now."""
        turns = {}
        for key, pool in self._pools.items():
            ready = 0 if self.stop.is_set() else pool.shares().total()
            if ready and pool.route.per_second is not None and monotonic() >= pool.next_turn:
                with self.transaction():
                    turns[key], seconds = routing.take_turns(key, pool.route.per_second, ready)
                pool.next_turn = monotonic() + seconds
        return turns

    def _fetch(self, turns: dict[str, int]) -> list[tuple[ServerPool, LeasedEmail]]:
        """Fetch as many mails as there are free connections, in turns. Other workers may fetch the rest."""
        fetched: list[tuple[ServerPool, LeasedEmail]] = []
        for key, pool in self._pools.items():
            most = turns.get(key, 0) if pool.route.per_second is not None else float("inf")
            ours: list[LeasedEmail] = []
            while shares := pool.shares(ours, most - len(ours)):
                for one, limit in shares.items():
                    mails, found = queue.fetch(one, limit, pool.avoids)
                    pool.had_turn(one, has_more=found == limit)
                    ours += mails
                    for _ in range(found - len(mails)):
                        metrics.mail_handled("unwanted")
            fetched += [(pool, mail) for mail in ours]
        return fetched

    def _learn_policies(self, portal_ids: Iterable[str | None]) -> None:
        if unknown := {portal_id for portal_id in portal_ids if portal_id not in self._policies}:
            self._policies.update(policies_of(unknown))

    # Results

    def note(self, result: SendResult) -> None:
        key = result.sender.route.key
        pool = self._pools[key]
        if pool.fault is not None and refusals.is_same_fault(pool.fault, result.error):
            result = result._replace(error=ServerMisconfigured(pool.fault))
        self.done.append(result)
        error = result.error
        metrics.mail_handled(error.outcome if error else "sent", result.seconds)
        was_probe, was_closed = pool.is_probe, pool.is_closed
        is_fault = pool.note(result)
        if was_probe and not pool.is_probe:
            self._healed.add(key)
        self._note_refusal(pool, error)
        if error is None:
            return
        kind = type(error).__name__
        log.warning("mail %s: not sent (attempt %s, %s)", result.mail.id, result.mail.attempts, kind)
        # If several connections fail in the same way, only the first failure is logged and recorded.
        if isinstance(error, ServerFailure) and is_fault and not was_closed and not self.stop.is_set():
            log.warning("the mail server of %s is paused: %s", key or "the deployment", error.reason)
            self._failures[key] = error
            pool.close()
        elif isinstance(error, UndecidedRefusal) and pool.undecided == 2:
            self._failures.setdefault(key, error)  # the second one shows more than the first

    def _note_refusal(self, pool: ServerPool, error: DeliveryError | None) -> None:
        key = pool.route.key
        if isinstance(error, UndecidedRefusal):
            pool.has_refusals = True
        elif refusals.may_be_servers(error):
            pool.has_refusals = True
            self._refused.add(key)
        elif pool.has_refusals and error is None:
            if pool.is_closed:  # it was only because of these refusals, if it takes a mail all the same
                self._healed.add(key)
            pool.has_refusals = False
            self._took_mail.add(key)
        elif pool.has_refusals and isinstance(error, RecipientRefused):
            self._answered.add(key)

    @property
    def _in_hand(self) -> list[LeasedEmail]:
        """The mails whose results only this process knows: those that senders have, and those not recorded yet."""
        return [mail for pool in self._pools.values() for mail in pool.in_hand] + [one.mail for one in self.done]

    @property
    def is_busy(self) -> bool:
        return any(pool.is_busy for pool in self._pools.values())

    @property
    def has_work(self) -> bool:
        return self.is_busy or any(pool.shares() for pool in self._pools.values())

    @property
    def has_news(self) -> bool:
        return bool(self.done or self._failures or self._healed or self._has_judgements)

    @property
    def _has_judgements(self) -> bool:
        return bool(self._refused or self._answered or self._took_mail)

    @property
    def poll_timeout(self) -> float:
        waits = [self._next_look - monotonic()]
        if self.has_news:
            waits.append(DATABASE_PAUSE_SECONDS)
        waits += [pool.next_turn - monotonic() for pool in self._pools.values() if pool.shares()]
        return max(0.0, min(waits))

    def finish(self) -> None:
        """Give mails in hand a few seconds to finish, then make them fail."""
        end = monotonic() + FINISH_SECONDS
        while self.is_busy and monotonic() < end:
            self.collect(end - monotonic())
            self.run_batch()
        for pool in self._pools.values():
            pool.abort()
        self.wait_for_busy(_ABORT_SECONDS)
