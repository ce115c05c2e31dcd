"""A run of a flush job: a bookkeeping thread records, and others talk to the servers.

The bookkeeping thread alone touches the database. In one transaction (a batch) it records what came of what is done
and takes what goes out next, so that one commit serves many.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
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
from config import Settings

log = logging.getLogger(__name__)

FINISH_SECONDS = 7.5
"""How long what is in hand may take when the process is told to end; supervisors kill after ten seconds."""
DATABASE_PAUSE_SECONDS = 0.5
_LONGEST_GATHERING_SECONDS = 0.02
_BATCHES_WORTH_GATHERING = 6


class Result(Protocol):
    """What came of one attempt."""

    @property
    def name(self) -> str:
        """What it was about, for the log."""

    @property
    def seconds(self) -> float:
        """How long it took."""


R = TypeVar("R", bound=Result)


class Worker(ABC, Generic[R]):
    """One run. Whatever it remembers is but a hint: the database decides at each step."""

    what: ClassVar[str]
    """What is worked off, as the log says it."""
    signal: ClassVar[Signal]
    """Tells that something was queued."""

    def __init__(self, app: Flask, stop: Event) -> None:
        self.app = app
        self.stop = stop
        self.settings: Settings = app.config["SETTINGS"]
        self.results: SimpleQueue[R | None] = SimpleQueue()
        """Where the other threads put what is done; None says that something was queued."""
        self.done: list[R] = []
        """What the next batch has to record."""
        self._batch_seconds = 0.0
        self._connection: Connection

    def transaction(self) -> AbstractContextManager[Session]:
        """See `app.db.transactions.transaction`."""
        return transaction(self._connection)

    # What a queue has to say

    @abstractmethod
    def batch(self) -> None:
        """Record what is done, and begin what may begin now. What is recorded is taken from `done`."""

    @abstractmethod
    def record(self, done: Sequence[R]) -> None:
        """Record results, in the caller's transaction."""

    @abstractmethod
    def note(self, result: R) -> None:
        """Something is done: put it to `done`."""

    def wake(self) -> None:
        """Something was queued."""

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """Whether other threads have something in hand."""

    @property
    def has_work(self) -> bool:
        return self.is_busy

    @property
    def has_news(self) -> bool:
        """Whether there is something that the database was not told yet."""
        return bool(self.done)

    @property
    def poll_timeout(self) -> float:
        """For how many seconds nothing needs to be done, if nothing is done before."""
        return self.settings.outbox_interval_seconds

    @abstractmethod
    def finish(self) -> None:
        """The run is over, or was told to end."""

    # The run

    def run(self) -> None:
        def wake(_sender: object) -> None:
            self.results.put(None)

        # One connection for the whole run: it is asked for signs of life once, and connects anew when it was lost.
        with self.signal.connected_to(wake), db.engine.connect() as self._connection:
            self.run_batch()
            while (self.has_work or self.has_news) and not self.stop.is_set():
                self.collect(self.poll_timeout)
                self.run_batch()
            self.finish()

    def run_batch(self) -> None:
        """A batch; when the database is away, the next one has the same to say."""
        began = monotonic()
        try:
            self.batch()
            self._batch_seconds = monotonic() - began
        except Exception as error:
            if not (isinstance(error, DBAPIError) and is_passing(error)):
                self._record_singly(error)
            elif self.has_work or self.has_news:
                # What is done is recorded as soon as the database is back; until then nobody else can take it.
                log.warning("%s cannot be written (%s); trying again", self.what, type(error.orig).__name__)
                sleep(DATABASE_PAUSE_SECONDS)
            else:
                raise

    def _record_singly(self, error: Exception) -> None:
        """A result has run into a fault of ours: record the others. It keeps its lease, and is tried again."""
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
        """Wait for a result, or for something that was queued, and take what else there is."""
        try:
            first = self.results.get(timeout=timeout) if timeout > 0 else self.results.get_nowait()
        except Empty:
            return
        self._take(first)
        # A batch takes as long for one result as for many. Unless the server takes much longer than a batch, others
        # will be done in a moment, and all share one.
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
        """Let what is in hand be finished, but not for long."""
        end = monotonic() + seconds
        while (self.is_busy or self.has_news) and monotonic() < end:
            if self.is_busy:
                self.collect(end - monotonic())
            self.run_batch()


def work_off(
    start: Callable[[], Worker[R]], signal: Signal, app: Flask, stop: Event, has_work: Callable[[], bool]
) -> None:
    """Run until there is no work left that can be done now, or `stop` is set."""
    woken = Event()

    def wake(_sender: object) -> None:
        woken.set()

    with signal.connected_to(wake):
        while True:
            woken.clear()
            with app.app_context():
                is_due = has_work()
                db.session.rollback()  # so that one connection is enough for all this
                if is_due:
                    start().run()
            # Something may have been queued while the last one was recorded.
            if stop.is_set() or not woken.is_set():
                return
