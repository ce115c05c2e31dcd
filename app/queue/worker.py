"""A run of a flush job: one bookkeeping thread records results, and other threads talk to the servers.

Only the bookkeeping thread uses the database. In one transaction (a batch) it records the results of finished attempts
and fetches what goes out next, so that one commit serves many rows.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic, sleep
from typing import ClassVar, Generic, Protocol, TypeVar

from blinker import Signal
from flask import Flask
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.db.transactions import is_passing, transaction
from app.extensions import db
from app.observability import quiet
from app.queue import sending
from config import Settings

log = logging.getLogger(__name__)

FINISH_SECONDS = 7.5
"""How long attempts in hand may still take when the process is told to end. Supervisors kill after ten seconds."""
DATABASE_PAUSE_SECONDS = 0.5
_LONGEST_GATHERING_SECONDS = 0.02
_BATCHES_WORTH_GATHERING = 6


class Result(Protocol):
    """The result of one attempt."""

    @property
    def name(self) -> str:
        """The row that was attempted, for the log."""

    @property
    def seconds(self) -> float:
        """How long the attempt took."""


R = TypeVar("R", bound=Result)


class Worker(ABC, Generic[R]):
    """One run. What it keeps in memory is only a hint: the database decides at each step."""

    what: ClassVar[str]
    """What the worker processes, for the log."""
    signal: ClassVar[Signal]
    """Sent when something was queued."""

    def __init__(self, app: Flask, stop: Event) -> None:
        self.app = app
        self.stop = stop
        self.settings: Settings = app.config["SETTINGS"]
        self.results: SimpleQueue[R | None] = SimpleQueue()
        """The other threads put their results here. None means that something was queued."""
        self.done: list[R] = []
        """The results that the next batch has to record."""
        self._batch_seconds = 0.0
        self._connection: Connection

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """See `app.db.transactions.transaction`. Each one counts as a batch: see `app.queue.sending`."""
        with transaction(self._connection) as session:
            yield session
            number = sending.count_batch(self._connection)
        if number is not None:
            sending.note_batch(self._connection, number)

    # What each kind of queue defines

    @abstractmethod
    def batch(self) -> None:
        """Record the results in `done`, remove them from it, and begin the attempts that may begin now."""

    @abstractmethod
    def record(self, done: Sequence[R]) -> None:
        """Record results in the caller's transaction."""

    @abstractmethod
    def note(self, result: R) -> None:
        """Take note of a finished attempt and append it to `done`."""

    def wake(self) -> None:
        """Take note that something was queued."""

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """Whether other threads have attempts in hand."""

    @property
    def has_work(self) -> bool:
        return self.is_busy

    @property
    def has_news(self) -> bool:
        """Whether there is something that is not recorded in the database yet."""
        return bool(self.done)

    @property
    def poll_timeout(self) -> float:
        """How many seconds to wait for a result before the next batch."""
        return self.settings.outbox_interval_seconds

    @abstractmethod
    def finish(self) -> None:
        """Called when the run is over or was told to end."""

    # The run

    def run(self) -> None:
        def wake(_sender: object) -> None:
            self.results.put(None)

        # One connection for the whole run. It is checked only once, and it reconnects if it was lost.
        with self.signal.connected_to(wake), db.engine.connect() as self._connection:
            self.run_batch()
            while (self.has_work or self.has_news) and not self.stop.is_set():
                self.collect(self.poll_timeout)
                self.run_batch()
            self.finish()

    def run_batch(self) -> None:
        """Run a batch. If the database is away, the next batch records the same results."""
        began = monotonic()
        try:
            self.batch()
            self._batch_seconds = monotonic() - began
            quiet.over(self.what, f"{self.what} can be written again")
        except Exception as error:
            self.wake()  # it may be another database when it is back
            if not (isinstance(error, DBAPIError) and is_passing(error)):
                self._record_singly(error)
            elif self.has_work or self.has_news:
                # The results are recorded as soon as the database is back. Until then no other worker can take these
                # rows.
                quiet.warn(self.what, f"{self.what} cannot be written ({type(error.orig).__name__}); trying again")
                sleep(DATABASE_PAUSE_SECONDS)
            else:
                raise

    def _record_singly(self, error: Exception) -> None:
        """Record each result alone, because one of them triggers a bug of ours.

        That one stays leased. When its lease has expired, it is tried again.
        """
        log.error("a batch of %s failed; recording one result after the other", self.what, exc_info=error)
        done, self.done = self.done, []
        for result in done:
            try:
                with self.transaction():
                    self.record([result])
            except Exception as its_error:
                log.exception("%s: could not be recorded", result.name)
                if isinstance(its_error, DBAPIError) and is_passing(its_error):
                    self.done.append(result)
        sleep(DATABASE_PAUSE_SECONDS)

    def collect(self, timeout: float) -> None:
        """Wait for a result, or until something is queued, and take all other results that are there."""
        try:
            first = self.results.get(timeout=timeout) if timeout > 0 else self.results.get_nowait()
        except Empty:
            return
        self._take(first)
        # A batch takes as long for one result as for many. Unless the server takes much longer than a batch, more
        # results will arrive in a moment, and all share one batch.
        is_quick = first is not None and first.seconds < _BATCHES_WORTH_GATHERING * self._batch_seconds
        end = monotonic() + min(self._batch_seconds, _LONGEST_GATHERING_SECONDS) if is_quick else 0.0
        while self.is_busy or not self.results.empty():
            left = end - monotonic()
            try:
                self._take(self.results.get(timeout=left) if left > 0 else self.results.get_nowait())
            except Empty:
                return

    def _take(self, result: R | None) -> None:
        if result is None:
            self.wake()
        else:
            self.note(result)

    def wait_for_busy(self, seconds: float) -> None:
        """Give attempts in hand up to `seconds` to finish, and record their results."""
        end = monotonic() + seconds
        while (self.is_busy or self.has_news) and monotonic() < end:
            if self.is_busy:
                self.collect(end - monotonic())
            self.run_batch()


def work_off(
    start: Callable[[], Worker[R]], signal: Signal, app: Flask, stop: Event, has_work: Callable[[], bool]
) -> None:
    """Run workers until no work is left that can be done now, or `stop` is set."""
    woken = Event()

    def wake(_sender: object) -> None:
        woken.set()

    with signal.connected_to(wake):
        while True:
            woken.clear()
            with app.app_context():
                is_due = has_work() and sending.may_send()
                db.session.rollback()  # Releases its connection, so that one connection is enough.
                if is_due:
                    start().run()
            # Something may have been queued while the last results were recorded.
            if stop.is_set() or not woken.is_set():
                return
