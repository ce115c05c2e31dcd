"""APScheduler: in the background of a web process or of a worker."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from threading import Event, Thread
from time import monotonic, time
from typing import Any

from apscheduler.executors.base import BaseExecutor
from apscheduler.executors.base import run_job as run_round
from apscheduler.job import Job as ScheduledJob
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask

from app.core.clock import now
from app.core.signals import mail_queued, webhook_queued
from app.db.encrypted_columns import warn_of_keys
from app.jobs.schedule import Job, jobs, perform
from app.observability.routes import serve_figures

log = logging.getLogger(__name__)

_LOOK_AT_CLOCK_SECONDS = 2.0

# What is to run at once, when something has been committed in this process.
_AT_ONCE = ((mail_queued, "flush-outbox"), (webhook_queued, "flush-webhooks"))


class _Daemons(BaseExecutor):  # type: ignore[misc]
    """A thread for each round of a job.

    APScheduler's own come from `concurrent.futures`, whose threads Python waits for before it calls what is to be done
    at a process's end: nobody could tell a round to stop, and a flush would go on until the outbox is empty.
    """

    def __init__(self) -> None:
        super().__init__()
        self._threads: set[Thread] = set()

    def wait(self) -> None:
        """Until no round is under way."""
        for thread in self._threads:
            thread.join()

    def _do_submit_job(self, job: ScheduledJob, run_times: list[datetime]) -> None:
        thread = Thread(target=self._run, args=(job, run_times), name=job.id, daemon=True)
        self._threads = {one for one in self._threads if one.is_alive()} | {thread}
        thread.start()

    def _run(self, job: ScheduledJob, run_times: list[datetime]) -> None:
        try:
            events = run_round(job, job._jobstore_alias, run_times, self._logger.name)
        except BaseException:
            self._run_job_error(job.id, *sys.exc_info()[1:])
        else:
            self._run_job_success(job.id, events)


class JobScheduler:
    """Jobs that run in threads of this process until `stop`."""

    def __init__(self, app: Flask, chosen: Sequence[Job]) -> None:
        self._stop = Event()
        self._rounds = _Daemons()
        self._scheduler = BackgroundScheduler(timezone=UTC, executors={"default": self._rounds})
        _add_jobs(self._scheduler, app, chosen, self._stop)
        self._wakers = [(sent, partial(self._run_now, name)) for sent, name in _AT_ONCE]
        for sent, waker in self._wakers:
            sent.connect(waker, weak=False)
        self._scheduler.start()
        Thread(target=self._watch_clock, name="clock", daemon=True).start()
        warn_of_keys(app)

    def stop(self) -> None:
        """End the jobs; returns when what is being sent just now has been handed over and marked."""
        for sent, waker in self._wakers:
            sent.disconnect(waker)
        self._stop.set()
        # It would wait with a lock in its hand that a round may want.
        self._scheduler.shutdown(wait=False)
        self._rounds.wait()

    def _watch_clock(self) -> None:
        """APScheduler writes down at what time each job is next: a clock that is set back would hold them all up."""
        ahead = time() - monotonic()
        while not self._stop.wait(_LOOK_AT_CLOCK_SECONDS):
            before, ahead = ahead, time() - monotonic()
            if ahead < before - _LOOK_AT_CLOCK_SECONDS:
                log.warning("the clock was set back by %.0f s: all jobs run now", before - ahead)
                for job in self._scheduler.get_jobs():
                    job.modify(next_run_time=now())

    def _run_now(self, name: str, _sender: Any) -> None:
        with suppress(JobLookupError):
            self._scheduler.modify_job(name, next_run_time=now())


def start_embedded(app: Flask) -> JobScheduler:
    """Run the jobs inside this process; a mail that is committed here is sent at once, without the interval."""
    return JobScheduler(app, jobs(app))


def run_worker(app: Flask) -> None:
    """Run the jobs until SIGTERM or SIGINT; what is being sent then is finished first."""
    ends = {signal.SIGTERM, signal.SIGINT}
    # Blocked, in the threads that are started from here on too, they wait until we ask for them, whenever they come. A
    # handler would not be called for one that comes just as this thread begins to wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    serve_figures(app.config["SETTINGS"])
    scheduler = JobScheduler(app, jobs(app))
    log.info("worker: started")
    signal.sigwait(ends)
    log.info("worker: finishing what is under way")
    scheduler.stop()


def _add_jobs(scheduler: BackgroundScheduler, app: Flask, chosen: Sequence[Job], stop: Event) -> None:
    # Says for every round that the last one is still busy, which is how it should be.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    for job in chosen:
        scheduler.add_job(
            _run_safely,
            "interval",
            args=[app, job, stop],
            seconds=job.interval_seconds,
            id=job.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            next_run_time=now(),
        )


def _run_safely(app: Flask, job: Job, stop: Event) -> None:
    # A database that is away, for one, has been logged: the next round tries again, without a person.
    with suppress(Exception):
        perform(job, app, stop)
