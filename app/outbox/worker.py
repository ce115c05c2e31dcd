"""The flush job: sends what is due, over a few connections that stay open.

A connection takes its next mail only when its last one is recorded. See `app.queue.worker` for the thread that records.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from threading import Event
from time import monotonic

from flask import Flask
from sqlalchemy.exc import DBAPIError

from app import metrics
from app.branding.face import SERVICE, Face, faces_of
from app.clock import now
from app.database import is_passing, transaction
from app.outbox import queue, servers
from app.outbox.emails import LeasedEmail
from app.outbox.errors import ServerFailure, ServerMisconfigured
from app.outbox.pool import ServerPool
from app.outbox.priorities import portal_of
from app.outbox.sender import SendResult
from app.outbox.servers import CircuitState, Route
from app.queue.worker import DATABASE_PAUSE_SECONDS, FINISH_SECONDS, Worker, work_off
from app.signals import mail_queued

log = logging.getLogger(__name__)

_ABORT_SECONDS = 0.75
_GOODBYE_SECONDS = 0.75


def flush(app: Flask, stop: Event) -> None:
    """Send all mails that are due, until none is left that can be sent now, or `stop` is set.

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
        self._faces: dict[str | None, Face] = {None: SERVICE}
        """Of the portals that we have mails of, as of when we last looked for all that is due."""
        self._next_fetch = 0.0
        self._next_renewal = 0.0
        # What the next batch has to record, beside what is done.
        self._released: list[LeasedEmail] = []
        self._failures: dict[str, ServerFailure] = {}
        self._healed: set[str] = set()

    def run(self) -> None:
        try:
            super().run()
        finally:
            senders = [sender for pool in self._pools.values() for sender in pool.dismiss_idle()]
            end = monotonic() + _GOODBYE_SECONDS
            for sender in senders:
                sender.wait(max(0.0, end - monotonic()))

    def wake(self) -> None:
        self._next_fetch = 0.0

    # Batches

    def batch(self) -> None:
        """Record what is done and start what may go out now, fetch what is due, and start that.

        On PostgreSQL, a row that is changed twice in one transaction has its foreign keys checked, which waits for
        whoever holds the client; and who resends or removes it waits for the mail in turn. So no mail is started in the
        transaction in which it was fetched.
        """
        self._record_and_start()
        if self.stop.is_set():
            return
        if monotonic() >= self._next_fetch:
            with transaction():
                self._renew()
                queue.release_stalled([mail for pool in self._pools.values() for mail in pool.in_hand])
            with transaction():
                self._fetch_all()
            self._record_and_start()
        elif short := [(pool, queues) for pool in self._pools.values() if (queues := pool.queues_to_refill())]:
            with transaction():
                for pool, queues in short:
                    self._refill(pool, queues)

    def _record_and_start(self) -> None:
        began = monotonic()
        allowed = [] if self.stop.is_set() else self._allowed()
        outgoing = [(pool, mail) for pool, most in allowed for mail in pool.next_mails(most)]
        if not (outgoing or self.has_news):
            return
        try:
            with transaction():
                self.record(self.done)
                self._record_servers()
                wanted = set(queue.start_attempts([mail for _, mail in outgoing]))
                self._learn_faces({mail.portal_id for mail in wanted} - self._faces.keys())
        except DBAPIError as error:
            if is_passing(error):
                for pool, mail in reversed(outgoing):
                    pool.requeue(mail)
            raise
        self._forget_recorded()
        for pool, mail in outgoing:
            if mail in wanted:
                pool.send(mail, self._faces[mail.portal_id], began)
            else:
                metrics.mail_handled("unwanted")

    def record(self, done: Sequence[SendResult]) -> None:
        queue.record_results([(result.mail, result.error) for result in done], now())

    def _record_servers(self) -> None:
        queue.release(self._released)
        for key, error in sorted(self._failures.items()):
            servers.pause(key, error)
        for key in sorted(self._healed):
            servers.resume(key)

    def _forget_recorded(self) -> None:
        self.done.clear()
        self._released.clear()
        self._failures.clear()
        self._healed.clear()

    def _record_singly(self, error: Exception) -> None:
        done = list(self.done)
        self._forget_recorded()
        self.done = done
        super()._record_singly(error)

    # Fetching

    def _renew(self) -> None:
        if monotonic() >= self._next_renewal:
            queue.renew([mail for pool in self._pools.values() for mail in pool.prefetched])
            self._next_renewal = monotonic() + self.settings.timings.renewal

    def _fetch_all(self) -> None:
        """Find out what is due, by which routes it goes and whether these are open, and fetch some of each."""
        self._next_fetch = monotonic() + min(self.settings.outbox_interval_seconds, self.settings.timings.renewal)
        queues = queue.due_queues()
        routes = servers.routes_of({portal_of(one) for one in queues} | {key or None for key in self._pools})
        self._follow(routes)
        by_server: defaultdict[str, list[str]] = defaultdict(list)
        for one in queues:
            if (route := routes.get(portal_of(one))) is not None:
                by_server[route.key].append(one)
        states = servers.circuit_states(by_server)
        is_open = {key: self._opened(routes[portal_of(of_it[0])], states[key]) for key, of_it in by_server.items()}
        for key, pool in self._pools.items():
            # What went this way until now may go another one by now.
            open_queues = by_server[key] if is_open.get(key) else []
            pool.has_more_only_in(open_queues)
            self._refill(pool, open_queues)
        for key in [key for key, pool in self._pools.items() if not pool.has_work]:
            self._pools.pop(key).dismiss_idle()
        self._learn_faces({mail.portal_id for pool in self._pools.values() for mail in pool.prefetched})

    def _follow(self, routes: dict[str | None, Route]) -> None:
        for key, pool in self._pools.items():
            route = routes.get(key or None)
            if route is not None and route.key == key:
                pool.follow(route)
            else:
                self._released += pool.release()

    def _opened(self, route: Route, state: CircuitState) -> bool:
        """Whether mails may be fetched for a server; it has a pool then."""
        if route.fault is not None:
            servers.pause(route.key, ServerMisconfigured(route.fault))
            return False
        pool = self._pools.get(route.key)
        if pool is not None and not pool.is_closed:
            return True
        if state.is_paused or (pool is not None and pool.is_busy):
            return False
        if state.is_at_fault and not servers.may_probe(route.key):
            return False
        self._pools[route.key] = ServerPool(self.app, route, self.results, is_probe=state.is_at_fault)
        return True

    @staticmethod
    def _refill(pool: ServerPool, queues: Sequence[str]) -> None:
        pool.measure()
        for one in queues:
            room = pool.room_for(one, len(queues), queue.FETCH_SIZE)
            if room:
                fetched = queue.fetch(one, room)
                pool.add(one, fetched, is_all=len(fetched) < room)

    def _learn_faces(self, portal_ids: Collection[str | None]) -> None:
        """A mail about an account waits in no portal's queue, so its portal may be news to us."""
        named = {portal_id for portal_id in portal_ids if portal_id is not None}
        if named:
            self._faces.update(faces_of(named))

    # Sending

    def _allowed(self) -> list[tuple[ServerPool, int]]:
        """How many mails each server may get now."""
        allowed = []
        for pool in self._pools.values():
            ready = pool.ready
            if ready and pool.route.per_second is not None:
                if monotonic() < pool.next_turn:
                    continue
                with transaction():
                    ready, seconds = servers.take_turns(pool.route.key, pool.route.per_second, ready)
                pool.next_turn = monotonic() + seconds
            allowed.append((pool, ready))
        return allowed

    @property
    def poll_timeout(self) -> float:
        waits = [self._next_fetch - monotonic()]
        if self.has_news:
            waits.append(DATABASE_PAUSE_SECONDS)
        waits += [pool.next_turn - monotonic() for pool in self._pools.values() if pool.ready]
        return max(0.0, min(waits))

    def note(self, result: SendResult) -> None:
        self.done.append(result)
        key, error = result.sender.route.key, result.error
        metrics.mail_handled(error.outcome if error else "sent", result.seconds)
        pool = self._pools[key]
        was_probe, was_closed = pool.is_probe, pool.is_closed
        is_fault = pool.note(result)
        if was_probe and not pool.is_probe:
            self._healed.add(key)
        if error is None:
            return
        kind = type(error).__name__
        log.warning("mail %s: not sent (attempt %s, %s)", result.mail.id, result.mail.attempts, kind)
        # Of several connections to which the same happens, the first says so.
        if isinstance(error, ServerFailure) and is_fault and not was_closed and not self.stop.is_set():
            log.warning("the mail server of %s is paused: %s", key or "the deployment", error.reason)
            self._failures[key] = error
            self._released += pool.close()

    @property
    def is_busy(self) -> bool:
        return any(pool.is_busy for pool in self._pools.values())

    @property
    def has_work(self) -> bool:
        return any(pool.has_work for pool in self._pools.values())

    @property
    def has_news(self) -> bool:
        return bool(self.done or self._released or self._failures or self._healed)

    def finish(self) -> None:
        """Let the mails in hand be finished, but not for long, and give back the rest."""
        for pool in self._pools.values():
            self._released += pool.release()
        end = monotonic() + FINISH_SECONDS
        while self.is_busy and monotonic() < end:
            self.collect(end - monotonic())
            self.keep_books()
        for pool in self._pools.values():
            pool.abort()
        self.wait_for_busy(_ABORT_SECONDS)
