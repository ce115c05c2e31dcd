"""The list of jobs and their intervals.

Every job can run anywhere, at any time, in any number of processes: all state is in our own tables, and the database
decides what must happen only once. So the scheduler keeps nothing but the intervals, in memory. Where one process is
enough, a lease keeps the others from doing the same work in vain.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Event

from flask import Flask
from sqlalchemy import ColumnElement
from sqlalchemy.exc import DBAPIError
from structlog.contextvars import bound_contextvars

from app.accounts.security.challenges import prune_challenges
from app.accounts.security.pending import prune_pending
from app.accounts.users import prune_sessions
from app.audit.caller import acting_as
from app.audit.retention import prune_audit
from app.bounces.mailbox import read_bounces
from app.clients.expiry import track_expiry
from app.clients.notices import send_digests
from app.clients.retention import JOB_INTERVAL, prune_histories, remove_unaccepted
from app.db import rate_limits
from app.db.schema import trouble_of
from app.db.transactions import transaction
from app.imports.rejected_uploads import prune_rejections
from app.invitations.reminders import send_reminders
from app.jobs.lease import lease, prune_leases
from app.models import ActorKind
from app.observability import quiet
from app.observability.metrics import job_ran
from app.outbox import queue as outbox_queue
from app.outbox.maintenance import prune_sent, prune_unaddressed
from app.outbox.routing import prune_states
from app.outbox.worker import flush
from app.sso.service import prune_used_tokens
from app.webhooks import queue as webhook_queue
from app.webhooks.maintenance import prune_deliveries
from app.webhooks.worker import flush as flush_webhooks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A job. `run` takes the app and an event that asks it to stop early. `what` is its purpose, for people.

    With `lease_seconds`, only one process at a time runs it; that process counts as dead after so many seconds. With
    `has_work`, a part of a query, it runs when it has work, which is looked for at each interval.
    """

    name: str
    what: str
    interval_seconds: float
    run: Callable[[Flask, Event], None]
    lease_seconds: float | None = None
    has_work: ColumnElement[bool] | None = None


def jobs(app: Flask) -> list[Job]:
    """All jobs, with the intervals of the app's settings."""
    settings = app.config["SETTINGS"]
    often = settings.outbox_interval_seconds
    mails, webhooks = outbox_queue.may_have_work(), webhook_queue.may_have_work()
    return [
        Job("flush-outbox", "send the mails that are due", often, flush, has_work=mails),
        Job("flush-webhooks", "deliver the webhooks that are due", often, flush_webhooks, has_work=webhooks),
        Job("read-bounces", "read the reports in the bounce mailbox", 60, _read_bounces, lease_seconds=5 * 60),
        Job("track-expiry", "write lapsed links into the history", 60, _track_expiry, lease_seconds=5 * 60),
        Job("send-reminders", "remind of links that end soon", 5 * 60, _send_reminders, lease_seconds=5 * 60),
        Job("send-digests", "tell admins once a day who has joined", 10 * 60, _send_digests, lease_seconds=5 * 60),
        Job(
            "prune",
            "delete old mails, webhooks, sign-ins, tokens and counts",
            60 * 60,
            _prune,
            lease_seconds=60 * 60,
        ),
        Job(
            "retention",
            "delete old lines of audit trails; also invitations nobody accepted, and old histories, if set",
            JOB_INTERVAL.total_seconds(),
            _retain,
            lease_seconds=60 * 60,
        ),
    ]


def run_job(app: Flask, name: str) -> bool:
    """Run one job once, to its end. Returns False without running it if another process holds its lease.

    Raises `KeyError` for an unknown name.
    """
    return perform({job.name: job for job in jobs(app)}[name], app, Event())


def perform(job: Job, app: Flask, stop: Event) -> bool:
    """Run a job, under its lease if it has one, and count the run. Logs and re-raises an exception.

    While the database cannot be used, it says so at growing intervals.

    Returns False without running it if another process holds the lease.
    """
    with bound_contextvars(job=job.name, run=secrets.token_hex(4)), acting_as(ActorKind.JOB):
        started = time.perf_counter()
        try:
            with lease(app, job.name, job.lease_seconds) if job.lease_seconds else nullcontext(True) as is_ours:
                if is_ours:
                    job.run(app, stop)
        except Exception as error:
            job_ran(job.name, ok=False, seconds=time.perf_counter() - started)
            _log_failure(app, error)
            raise
        if is_ours:
            job_ran(job.name, ok=True, seconds=time.perf_counter() - started)
        return is_ours


def _log_failure(app: Flask, error: Exception) -> None:
    with app.app_context():
        if isinstance(error, DBAPIError) and (trouble := trouble_of(error)):
            quiet.warn("database", trouble)
            return
    log.error("job failed", exc_info=error)


def _read_bounces(app: Flask, stop: Event) -> None:
    with app.app_context():
        read_bounces(stop)


def _track_expiry(app: Flask, stop: Event) -> None:
    with app.app_context():
        track_expiry()


def _send_reminders(app: Flask, stop: Event) -> None:
    with app.app_context():
        written = send_reminders(stop)
    if written:
        log.info("reminders written", extra={"mails": written})


def _send_digests(app: Flask, stop: Event) -> None:
    with app.app_context():
        written = send_digests(stop)
    if written:
        log.info("digests written", extra={"mails": written})


def _prune(app: Flask, stop: Event) -> None:
    with app.app_context():
        with transaction():
            prune_sessions()
            prune_pending()
            prune_challenges()
            prune_used_tokens()
            rate_limits.prune()
            prune_rejections()
            prune_states()
        prune_leases()
        keep_days = app.config["SETTINGS"].keep_sent_mails_days
        mails = prune_sent(keep_days, stop)
        prune_unaddressed(stop)
        deliveries = prune_deliveries(keep_days, stop)
    if deliveries:
        log.info("old webhooks deleted", extra={"deliveries": deliveries})
    if mails:
        log.info("old mails deleted", extra={"mails": mails})


def _retain(app: Flask, stop: Event) -> None:
    settings = app.config["SETTINGS"]
    with app.app_context():
        removed = remove_unaccepted(settings.keep_invitations_days, stop)
        events, mails = prune_histories(settings.keep_history_months, stop)
        lines = prune_audit(settings.keep_audit_days, stop)
    if removed:
        log.info("invitations that nobody accepted removed", extra={"clients": removed})
    if events or mails:
        log.info("old histories deleted", extra={"events": events, "mails": mails})
    if lines:
        log.info("old lines of audit trails deleted", extra={"lines": lines})
