"""The flush job: sends what is due, over a few connections that stay open, and marks each mail before the next.

One thread keeps the books: it claims mails, and in one transaction for all connections it marks what came of those that
are done and has the last look at those that go out next. The connections' own threads never touch the database.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic, sleep

from flask import Flask
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app import metrics
from app.branding.face import SERVICE, Face, faces_of
from app.clock import now
from app.database import autocommit, is_passing, kept, transaction
from app.extensions import db
from app.outbox import servers, services
from app.outbox.desk import Desk
from app.outbox.entry import mark_and_look
from app.outbox.lanes import portal_of
from app.outbox.mail import HeldMail
from app.outbox.sender import Result
from app.outbox.servers import Route, ServerStanding
from app.outbox.smtp import ServerAtFault
from app.signals import mail_queued

log = logging.getLogger(__name__)

FINISH_SECONDS = 7.5
"""How long mails in hand may take when the process is told to end; supervisors kill after ten seconds."""

_ABORT_SECONDS = 0.75
_GOODBYE_SECONDS = 0.75
_DATABASE_PAUSE_SECONDS = 0.5
_LONGEST_GATHERING_SECONDS = 0.02
_RENEWAL_SECONDS = services.LEASE_SECONDS / 3
"""How often the leases of mails begin anew that wait here for their turn, as behind a rate."""


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
                db.session.rollback()  # so that one connection is enough for all this
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
        self._connection: Connection
        self._desks: dict[str, Desk] = {}
        self._faces: dict[str | None, Face] = {None: SERVICE}
        """Of the portals that we have mails of, as of when we last looked for all that is due."""
        self._results: SimpleQueue[Result | None] = SimpleQueue()
        self._next_claim = 0.0
        self._next_renewal = 0.0
        self._book_seconds = 0.0
        """How long the last entry in the books took."""
        # What the next entry in the books has to say.
        self._done: list[Result] = []
        self._put_down: list[HeldMail] = []
        self._faults: dict[str, ServerAtFault] = {}
        self._healed: set[str] = set()

    def run(self) -> None:
        with mail_queued.connected_to(self._wake), kept() as self._connection:
            try:
                self._keep_books()
                while (self._has_work or self._has_news) and not self._stop.is_set():
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
            self._book()
        except DBAPIError as error:
            if not is_passing(error):
                self._book_singly(error)
            elif self._has_work or self._has_news:
                # What is done is marked as soon as the database is back; until then nobody else can take it.
                log.warning("the outbox cannot be written (%s); trying again", type(error.orig).__name__)
                sleep(_DATABASE_PAUSE_SECONDS)
            else:
                raise
        except Exception as error:
            self._book_singly(error)

    def _book(self) -> None:
        """An entry, which all mails wait for, and before and after it in transactions of their own what is rare.

        On PostgreSQL, a row that is changed twice in one transaction has its foreign keys checked, which waits for
        whoever holds the client; and who resends or removes it waits for the mail in turn. So no mail goes out in the
        transaction in which it was claimed.
        """
        self._settle_unsent()
        self._enter()
        if self._stop.is_set():
            return
        if monotonic() >= self._next_claim:
            with transaction(self._connection):
                if monotonic() >= self._next_renewal:
                    services.renew([mail for desk in self._desks.values() for mail in desk.stock])
                    self._next_renewal = monotonic() + _RENEWAL_SECONDS
                services.free_lapsed([mail for desk in self._desks.values() for mail in desk.in_hand])
            with transaction(self._connection):
                self._claim()
            self._enter()
        elif short := [(desk, lanes) for desk in self._desks.values() if (lanes := desk.lanes_to_stock_up())]:
            is_one_claim = sum(len(lanes) for _, lanes in short) == 1
            with autocommit(self._connection) if is_one_claim else transaction(self._connection):
                for desk, lanes in short:
                    self._stock_up(desk, lanes)

    def _enter(self) -> None:
        """Mark what was sent, and hand out what may go now."""
        began = monotonic()
        outgoing = [] if self._stop.is_set() else self._chosen()
        sent = [result.mail for result in self._done]
        if not sent and not outgoing:
            return
        try:
            self._know_faces_of(mail for _, mail in outgoing)
            wanted = set(mark_and_look(self._connection, sent, [mail for _, mail in outgoing], now()))
        except DBAPIError as error:
            if is_passing(error):
                for desk, mail in reversed(outgoing):
                    desk.put_back(mail)
            raise
        self._done.clear()
        self._book_seconds = monotonic() - began
        for desk, mail in outgoing:
            if mail in wanted:
                desk.send(mail, self._faces[mail.portal_id], began)
            else:
                metrics.mail_handled("unwanted")

    def _know_faces_of(self, mails: Iterable[HeldMail]) -> None:
        """A mail about an account waits in no portal's lane, so its portal may be news to us."""
        unknown = {mail.portal_id for mail in mails if mail.portal_id is not None} - self._faces.keys()
        if unknown:
            with transaction(self._connection):
                self._faces.update(faces_of(unknown))

    def _settle_unsent(self) -> None:
        """Note what came of mails that were not sent, and what it says about their servers."""
        unsent = [(result.mail, result.error) for result in self._done if result.error]
        if not (unsent or self._has_notes):
            return
        with transaction(self._connection):
            services.settle(unsent, now())
            services.release(self._put_down)
            for key, error in self._faults.items():
                servers.pause(key, error)
            for key in self._healed:
                servers.resume(key)
        self._done = [result for result in self._done if not result.error]
        self._forget_noted()

    def _book_singly(self, error: Exception) -> None:
        """One of the mails has run into a fault of ours: mark the others. It keeps its lease, and is tried again."""
        log.error("the outbox's books could not be kept; marking one mail after the other", exc_info=error)
        done, self._done = self._done, []
        self._forget_noted()
        for result in done:
            try:
                with transaction(self._connection):
                    services.settle([(result.mail, result.error)], now())
            except Exception as its_error:
                log.exception("mail %s: could not be marked", result.mail.id)
                if isinstance(its_error, DBAPIError) and is_passing(its_error):
                    self._done.append(result)
        sleep(_DATABASE_PAUSE_SECONDS)

    def _forget_noted(self) -> None:
        self._put_down.clear()
        self._faults.clear()
        self._healed.clear()

    # Claiming

    def _claim(self) -> None:
        """Find out what is due, by which ways it goes and whether these are open, and claim a stock of each."""
        self._next_claim = monotonic() + min(self._interval, _RENEWAL_SECONDS)
        lanes = services.due_lanes()
        routes = servers.routes_of({portal_of(lane) for lane in lanes} | {key or None for key in self._desks})
        for key, desk in self._desks.items():
            route = routes.get(key or None)
            if route is not None and route.key == key:
                desk.follow(route)
            else:
                self._put_down += desk.put_down()
        ways: defaultdict[str, list[str]] = defaultdict(list)
        for lane in lanes:
            route = routes.get(portal_of(lane))
            if route is not None:
                ways[route.key].append(lane)
        standings = servers.standings_of(ways)
        open_ways: dict[str, list[str]] = {}
        for key, its_lanes in ways.items():
            if self._desk(routes[portal_of(its_lanes[0])], standings[key]) is not None:
                open_ways[key] = its_lanes
        for key, desk in self._desks.items():
            # What went this way until now may go another one by now.
            desk.has_more_only_in(open_ways.get(key, ()))
            self._stock_up(desk, open_ways.get(key, ()))
        for key in [key for key, desk in self._desks.items() if not desk.has_work]:
            self._desks.pop(key).dismiss_idle()
        self._faces.update(faces_of({portal_id for desk in self._desks.values() for portal_id in desk.faces}))

    def _desk(self, route: Route, standing: ServerStanding) -> Desk | None:
        """The desk of a server that mails may be claimed for."""
        if route.fault is not None:
            servers.pause(route.key, ServerAtFault(route.fault))
            return None
        desk = self._desks.get(route.key)
        if desk is not None and not desk.is_closed:
            return desk
        if standing.is_paused or (desk is not None and desk.is_busy):
            return None
        if standing.is_at_fault and not servers.may_probe(route.key):
            return None
        self._desks[route.key] = Desk(self._app, route, self._results, is_probe=standing.is_at_fault)
        return self._desks[route.key]

    def _stock_up(self, desk: Desk, lanes: Sequence[str]) -> None:
        if not lanes:
            return
        share = max(1, min(desk.appetite(), services.CLAIM_SIZE) // len(lanes))
        for lane in lanes:
            room = share - desk.stock_of(lane)
            if room > share // 2:
                claimed = services.claim(self._connection, lane, room)
                desk.add(lane, claimed, is_all=len(claimed) < room)

    # Handing out

    def _chosen(self) -> list[tuple[Desk, HeldMail]]:
        """The mails that may go out now, as far as their servers are concerned."""
        chosen = []
        for desk in self._desks.values():
            most = None
            if desk.route.per_second is not None and (most := desk.could_take()):
                if monotonic() < desk.next_turn:
                    continue
                with transaction(self._connection):
                    most, seconds = servers.take_turns(desk.route.key, desk.route.per_second, most)
                desk.next_turn = monotonic() + seconds
            chosen += [(desk, mail) for mail in desk.next_mails(most)]
        return chosen

    @property
    def _patience(self) -> float:
        """For how long nothing needs to be done, if no sender is done before."""
        waits = [self._next_claim - monotonic()]
        if self._has_news:
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
        # An entry in the books takes as long for one mail as for many. Where the server is quicker than that, the
        # others will be done in a moment, and all share one.
        is_quick = first is not None and first.seconds < self._book_seconds
        end = monotonic() + min(self._book_seconds, _LONGEST_GATHERING_SECONDS) if is_quick else 0.0
        while self._is_busy or not self._results.empty():
            left = end - monotonic()
            try:
                self._note(self._results.get(timeout=left) if left > 0 else self._results.get_nowait())
            except Empty:
                return

    def _note(self, result: Result | None) -> None:
        if result is None:
            self._next_claim = 0.0
            return
        self._done.append(result)
        metrics.mail_handled(result.outcome, result.seconds)
        key, error = result.sender.route.key, result.error
        desk = self._desks[key]
        was_probe, was_closed = desk.is_probe, desk.is_closed
        is_fault = desk.note(result)
        if was_probe and not desk.is_probe:
            self._healed.add(key)
        if error is None:
            return
        kind = type(error).__name__
        log.warning("mail %s: not sent (attempt %s, %s)", result.mail.id, result.mail.attempts, kind)
        # Of several connections to which the same happens, the first says so.
        if isinstance(error, ServerAtFault) and is_fault and not was_closed and not self._stop.is_set():
            log.warning("the mail server of %s is paused: %s", key or "the deployment", error.reason)
            self._faults[key] = error
            self._put_down += desk.close()

    # The end

    @property
    def _has_work(self) -> bool:
        return any(desk.has_work for desk in self._desks.values())

    @property
    def _has_news(self) -> bool:
        """Whether there is something that the database was not told yet."""
        return bool(self._done) or self._has_notes

    @property
    def _has_notes(self) -> bool:
        return bool(self._put_down or self._faults or self._healed)

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
        while (self._is_busy or self._has_news) and monotonic() < end:
            if self._is_busy:
                self._collect(end - monotonic())
            self._keep_books()

    def _close(self) -> None:
        senders = [sender for desk in self._desks.values() for sender in desk.dismiss_idle()]
        end = monotonic() + _GOODBYE_SECONDS
        for sender in senders:
            sender.wait(max(0.0, end - monotonic()))
