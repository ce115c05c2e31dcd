"""Runs the jobs with APScheduler, in the background of a web process or in a worker."""

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
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.core.clock import now
from app.core.signals import mail_queued, webhook_queued
from app.db.encrypted_columns import warn_of_keys
from app.db.schema import AWAY, OTHER_SCHEMA, may_run_on_schema
from app.jobs.look import look_for_work
from app.jobs.schedule import Job, jobs, perform
from app.observability import quiet
from app.observability.routes import serve_figures

log = logging.getLogger(__name__)

_LOOK_AT_CLOCK_SECONDS = 2.0
_AT_LEAST_SECONDS = 60.0
"""A job that runs when it has work also runs this often, so that its metrics say that it can."""
_LAST_LOOK_SECONDS = 0.5

# The jobs to run at once after a commit in this process sent the signal.
_AT_ONCE = ((mail_queued, "flush-outbox"), (webhook_queued, "flush-webhooks"))


class _Daemons(BaseExecutor):  # type: ignore[misc]
    """Runs each round of a job in a daemon thread.

    APScheduler's own executors use `concurrent.futures`. Python waits for its threads before it calls the functions
    that end a process, so nobody could tell a round to stop, and a flush would go on until the outbox is empty.
    """

    def __init__(self) -> None:
        super().__init__()
        self._threads: set[Thread] = set()

    def wait(self) -> None:
        """Wait until no round is running."""
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
    """Runs jobs in threads of this process until `stop`."""

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
        polled = [job for job in chosen if job.has_work is not None]
        self._look = Thread(
            target=look_for_work, args=(app, polled, self._run_now, self._stop), name="look", daemon=True
        )
        if polled:
            self._look.start()
        warn_of_keys(app)

    def stop(self) -> None:
        """Stop the jobs. Returns when the mails being sent now have been handed over and recorded."""
        for sent, waker in self._wakers:
            sent.disconnect(waker)
        self._stop.set()
        # wait=True would wait while it holds a lock that a round may need.
        self._scheduler.shutdown(wait=False)
        self._rounds.wait()
        if self._look.is_alive():
            self._look.join(_LAST_LOOK_SECONDS)

    def _watch_clock(self) -> None:
        """Run all jobs when the clock was set back: APScheduler plans by wall-clock time and would hold them all up."""
        ahead = time() - monotonic()
        while not self._stop.wait(_LOOK_AT_CLOCK_SECONDS):
            before, ahead = ahead, time() - monotonic()
            if ahead < before - _LOOK_AT_CLOCK_SECONDS:
                log.warning("the clock was set back by %.0f s: all jobs run now", before - ahead)
                for job in self._scheduler.get_jobs():
                    job.modify(next_run_time=now())

    def _run_now(self, name: str, _sender: Any = None) -> None:
        with suppress(JobLookupError):
            self._scheduler.modify_job(name, next_run_time=now())


def start_embedded(app: Flask) -> JobScheduler:
    """Run the jobs inside this process. A mail committed here is sent at once, without waiting for the interval."""
    return JobScheduler(app, jobs(app))


def run_worker(app: Flask) -> None:
    """Run the jobs until SIGTERM or SIGINT. Mails that are being sent then are finished first."""
    ends = {signal.SIGTERM, signal.SIGINT}
    # Blocked signals wait until sigwait takes them. Threads started from here on inherit the mask. A handler could miss
    # a signal that arrives just as this thread begins to wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    serve_figures(app.config["SETTINGS"])
    scheduler = JobScheduler(app, jobs(app))
    log.info("worker: started")
    signal.sigwait(ends)
    log.info("worker: finishing what is under way")
    scheduler.stop()


class Runner:
    """Runs a job's rounds, while the database is there and its schema fits."""

    def __init__(self, app: Flask, stop: Event) -> None:
        self._app = app
        self._stop = stop
        self._is_ready = False

    def run(self, job: Job) -> None:
        """Run one round. What fails is logged; the next round tries again by itself."""
        if self._is_ready or self._becomes_ready():
            try:
                perform(job, self._app, self._stop)
            except DBAPIError:
                self._is_ready = False
            except Exception:  # noqa: S110 - `perform` has logged it
                pass

    def _becomes_ready(self) -> bool:
        with self._app.app_context():
            try:
                trouble = None if may_run_on_schema() else OTHER_SCHEMA
            except SQLAlchemyError:
                trouble = AWAY
            if trouble:
                quiet.warn("database", trouble)
            else:
                quiet.over("database", "The database can be used again")
        self._is_ready = trouble is None
        return self._is_ready


def _add_jobs(scheduler: BackgroundScheduler, app: Flask, chosen: Sequence[Job], stop: Event) -> None:
    # APScheduler warns of every round that its predecessor is still running, which is normal here.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    runner = Runner(app, stop)
    for job in chosen:
        scheduler.add_job(
            runner.run,
            "interval",
            args=[job],
            seconds=job.interval_seconds if job.has_work is None else max(job.interval_seconds, _AT_LEAST_SECONDS),
            id=job.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            next_run_time=now(),
        )
