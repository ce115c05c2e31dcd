"""The flush job: sends what is due, over a few connections that stay open, and marks each mail before the next.

One thread keeps the books: it claims mails, has the last look at each, and marks what came of it, in one transaction
for all connections. The connections' own threads never touch the database.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic

from flask import Flask
from sqlalchemy.exc import DBAPIError

from app.clock import now
from app.database import transaction
from app.models import OutboxMail
from app.outbox import servers, services
from app.outbox.desk import Desk, Result
from app.outbox.lanes import portal_of
from app.outbox.servers import Route, ServerStanding
from app.outbox.signals import mail_queued
from app.outbox.smtp import ServerAtFault

log = logging.getLogger(__name__)

FINISH_SECONDS = 8.0
"""How long mails in hand may take when the process is told to end; supervisors kill after ten seconds."""

_ABORT_SECONDS = 1.0
_DATABASE_PAUSE_SECONDS = 1.0
_SMALLEST_CLAIM = 4


def flush(app: Flask, stop: Event) -> None:
    """Send all mails that are due, until none is left that can be sent now, or `stop` is set.

    Mails without a mail server wait: they are not claimed.
    """
    woken = Event()

    def wake(_sender: object) -> None:
        woken.set()

    with mail_queued.connected_to(wake):
        while True:
            woken.clear()
            with app.app_context():
                is_due = services.has_due_mail()
            if is_due:
                _Flush(app, stop).run()
            # A mail may have been queued while the last connection said good-bye.
            if stop.is_set() or not woken.is_set():
                return


class _Flush:
    """One run of the job. Whatever it remembers of mails is but a hint: the database decides at each step."""

    def __init__(self, app: Flask, stop: Event) -> None:
        self._app = app
        self._stop = stop
        self._interval: float = app.config["SETTINGS"].outbox_interval_seconds
        self._desks: dict[str, Desk] = {}
        self._results: SimpleQueue[Result | None] = SimpleQueue()
        self._next_claim = 0.0
        # What the next entry in the books has to say.
        self._done: list[Result] = []
        self._put_down: list[OutboxMail] = []
        self._faults: dict[str, ServerAtFault] = {}
        self._healed: set[str] = set()

    def run(self) -> None:
        with mail_queued.connected_to(self._wake):
            try:
                self._keep_books()
                while self._has_work and not self._stop.is_set():
                    self._collect(self._patience)
                    self._keep_books()
                self._finish()
            finally:
                self._close()

    def _wake(self, _sender: object) -> None:
        self._results.put(None)

    # The books

    def _keep_books(self) -> None:
        """Mark what is done, claim what is due, and hand out what may go now."""
        try:
            with self._app.app_context():
                self._book()
        except DBAPIError as error:
            if not (self._has_work or self._done):
                raise
            # What is in hand is marked as soon as the database is back: until then nobody else can take it.
            log.warning("the outbox cannot be written (%s); trying again", type(error.orig).__name__)
            self._stop.wait(_DATABASE_PAUSE_SECONDS)
        except Exception:
            log.exception("the outbox's books could not be kept; marking one mail after the other")
            with self._app.app_context():
                self._book_singly()

    def _book(self) -> None:
        """One entry: all of it or nothing. Where there is something to claim, that follows in entries of its own.

        On PostgreSQL, a row that is changed twice in one transaction has its foreign keys checked, which waits for
        whoever holds the client; and who resends or removes it waits for the mail in turn.
        """
        is_claiming = not self._stop.is_set() and self._is_time_to_claim
        outgoing: list[tuple[Desk, OutboxMail]] = []
        with transaction():
            self._settle(self._done)
            looked_at = monotonic()
            if not is_claiming and not self._stop.is_set():
                outgoing = self._chosen()
        self._forget_booked()
        if is_claiming:
            if monotonic() >= self._next_claim:
                with transaction():
                    services.free_lapsed()
            with transaction():
                self._claim()
            with transaction():
                looked_at = monotonic()
                outgoing = self._chosen()
        for desk, mail in outgoing:
            desk.send(mail, looked_at)

    def _book_singly(self) -> None:
        # One of them has run into a fault of ours. It keeps its lease, and is tried again when that has ended.
        done = list(self._done)
        self._forget_booked()
        for result in done:
            try:
                with transaction():
                    self._settle([result])
            except Exception:
                log.exception("mail %s: could not be marked", result.mail.id)

    def _settle(self, done: Sequence[Result]) -> None:
        services.settle([(result.mail, result.error) for result in done], now())
        services.release(self._put_down)
        for key, error in self._faults.items():
            servers.pause(key, error)
        for key in self._healed:
            servers.resume(key)

    def _forget_booked(self) -> None:
        self._done.clear()
        self._put_down.clear()
        self._faults.clear()
        self._healed.clear()

    # Claiming

    @property
    def _is_time_to_claim(self) -> bool:
        return monotonic() >= self._next_claim or any(desk.wants_more for desk in self._desks.values())

    def _claim(self) -> None:
        self._next_claim = monotonic() + self._interval
        lanes = services.due_lanes()
        for desk in self._desks.values():
            desk.has_more_only_in(lanes)
        routes = servers.routes_of({portal_of(lane) for lane in lanes})
        ways: defaultdict[str, list[str]] = defaultdict(list)
        for lane in lanes:
            route = routes.get(portal_of(lane))
            if route is not None:
                ways[route.key].append(lane)
        standings = servers.standings_of(ways)
        for key, its_lanes in ways.items():
            open_desk = self._desk(routes[portal_of(its_lanes[0])], standings[key])
            if open_desk is not None:
                self._stock_up(open_desk, its_lanes)

    def _desk(self, route: Route, standing: ServerStanding) -> Desk | None:
        """The desk of a server that mails may be claimed for."""
        if route.fault is not None:
            servers.pause(route.key, ServerAtFault(route.fault))
            return None
        desk = self._desks.get(route.key)
        if desk is not None and not desk.is_closed:
            desk.follow(route)
            return desk
        if standing.is_paused or (desk is not None and desk.is_busy):
            return None
        if standing.is_at_fault and not servers.may_probe(route.key):
            return None
        self._desks[route.key] = Desk(self._app, route, self._results, is_probe=standing.is_at_fault)
        return self._desks[route.key]

    def _stock_up(self, desk: Desk, lanes: Sequence[str]) -> None:
        share = max(_SMALLEST_CLAIM, services.CLAIM_SIZE // len(lanes))
        for lane in lanes:
            room = share - desk.stock_of(lane)
            if room > share // 2:
                claimed = services.claim(lane, room)
                desk.add(lane, claimed, is_all=len(claimed) < room)

    # Handing out

    def _chosen(self) -> list[tuple[Desk, OutboxMail]]:
        """The mails that go out now, looked at for the last time."""
        chosen = []
        for desk in self._desks.values():
            most = desk.could_take()
            if most and desk.route.per_second is not None:
                if monotonic() < desk.next_turn:
                    continue
                most, seconds = servers.take_turns(desk.route.key, desk.route.per_second, most)
                desk.next_turn = monotonic() + seconds
            chosen += [(desk, mail) for mail in desk.next_mails(most)]
        if not chosen:
            return []
        wanted = {mail.id for mail in services.last_look([mail for _, mail in chosen])}
        return [(desk, mail) for desk, mail in chosen if mail.id in wanted]

    @property
    def _patience(self) -> float:
        """For how long nothing needs to be done, if no sender is done before."""
        waits = [self._next_claim - monotonic()]
        if self._done:
            waits.append(_DATABASE_PAUSE_SECONDS)
        for desk in self._desks.values():
            if desk.could_take():
                waits.append(desk.next_turn - monotonic())
        return max(0.0, min(waits))

    def _collect(self, patience: float) -> None:
        """Wait for a sender that is done, or for a mail that was queued, and take what else there is."""
        try:
            first = self._results.get(timeout=patience) if patience > 0 else self._results.get_nowait()
        except Empty:
            return
        self._note(first)
        while not self._results.empty():
            self._note(self._results.get_nowait())

    def _note(self, result: Result | None) -> None:
        if result is None:
            self._next_claim = 0.0
            return
        self._done.append(result)
        key, error = result.sender.route.key, result.error
        desk = self._desks[key]
        was_probe = desk.is_probe
        is_fault = desk.note(result)
        if error is None:
            if was_probe:
                self._healed.add(key)
            return
        log.warning("mail %s: not sent (attempt %s)", result.mail.id, result.mail.attempts)
        if isinstance(error, ServerAtFault) and is_fault and not self._stop.is_set():
            log.warning("mail server of %s is paused", key or "the deployment")
            self._faults[key] = error
            desk.is_closed = True
            self._put_down += desk.put_down()

    # The end

    @property
    def _has_work(self) -> bool:
        return any(desk.has_work for desk in self._desks.values())

    @property
    def _is_busy(self) -> bool:
        return any(desk.is_busy for desk in self._desks.values())

    def _finish(self) -> None:
        """Let the mails in hand be finished, but not for long, and give back the rest."""
        for desk in self._desks.values():
            self._put_down += desk.put_down()
        end = monotonic() + FINISH_SECONDS
        while self._is_busy and monotonic() < end:
            self._collect(end - monotonic())
            self._keep_books()
        for desk in self._desks.values():
            desk.abort()
        end += _ABORT_SECONDS
        while (self._is_busy or self._done or self._put_down) and monotonic() < end:
            if self._is_busy:
                self._collect(end - monotonic())
            self._keep_books()

    def _close(self) -> None:
        senders = [sender for desk in self._desks.values() for sender in desk.dismiss_idle()]
        for sender in senders:
            sender.wait(_ABORT_SECONDS)
