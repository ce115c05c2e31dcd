"""Metrics of processes, for Prometheus.

Each process counts in memory. gunicorn's web processes also share a folder (`PROMETHEUS_MULTIPROC_DIR`, which
`gunicorn.conf.py` sets up). Any of them shows the sum over all, including processes that have ended. A worker shows
only its own metrics.

No label names a portal or a person. Labels are states, results, and names from our own code.
"""

from __future__ import annotations

import os

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from app.core.clock import now

NAMESPACE = "imported_clients"

MAIL_OUTCOMES = ("sent", "refused", "later", "unknown", "server_at_fault", "unbuildable", "unwanted")
"""The possible results of handling a mail. `app.outbox.errors` explains them."""

WEBHOOK_OUTCOMES = ("delivered", "refused", "unanswered", "away", "gone", "interrupted")
"""The possible results of an attempt to deliver a webhook. `app.webhooks.queue` explains them."""

REPORT_OUTCOMES = (
    *("bounced", "complained", "delayed", "late", "account", "outdated", "repeated", "good"),
    *("forged", "unknown", "no_report"),
)
"""What may come of a message to the bounce address. `app.bounces.service` explains them."""

# Otherwise each metric has an extra line that says when it began, which nobody uses.
disable_created_metrics()

_mails = Counter("mails", "Mails taken up, by what came of it.", ["outcome"], NAMESPACE)
_mail_seconds = Histogram(
    "mail_send_seconds",
    "Time between a mail server and us, for one mail.",
    namespace=NAMESPACE,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
_webhooks = Counter("webhook_attempts", "Attempts to deliver a webhook, by what came of it.", ["outcome"], NAMESPACE)
_webhook_seconds = Histogram(
    "webhook_attempt_seconds",
    "Time until a receiver answered, or did not.",
    namespace=NAMESPACE,
    buckets=(0.1, 0.5, 1, 5, 10),
)
_reports = Counter("bounce_reports", "Messages to the bounce address, by what came of it.", ["outcome"], NAMESPACE)
_job_runs = Counter("job_runs", "Runs of jobs, by their result.", ["name", "result"], NAMESPACE)
_job_seconds = Summary("job_seconds", "Time of jobs' runs.", ["name"], NAMESPACE)
_job_success = Gauge(
    "job_last_success_timestamp_seconds",
    "When a run of the job last went well.",
    ["name"],
    NAMESPACE,
    multiprocess_mode="mostrecent",
)
_requests = Counter("http_requests", "Requests, by class of status.", ["status"], NAMESPACE)
_request_seconds = Histogram(
    "http_request_seconds",
    "Time to answer, by the endpoint's name.",
    ["endpoint"],
    NAMESPACE,
    buckets=(0.025, 0.1, 0.25, 1, 5),
)

# These are shown as 0 before the first event, because a rate needs a first value.
for _outcome in MAIL_OUTCOMES:
    _mails.labels(_outcome)
for _outcome in WEBHOOK_OUTCOMES:
    _webhooks.labels(_outcome)
for _outcome in REPORT_OUTCOMES:
    _reports.labels(_outcome)
for _class in "2345":
    _requests.labels(f"{_class}xx")


def mail_handled(outcome: str, seconds: float | None = None) -> None:
    """Count the result of a mail, one of `MAIL_OUTCOMES`. `seconds`: how long the server took, if it was asked."""
    _mails.labels(outcome).inc()
    if seconds is not None:
        _mail_seconds.observe(seconds)


def webhook_tried(outcome: str, seconds: float) -> None:
    """Count the result of an attempt, one of `WEBHOOK_OUTCOMES`, and how many seconds it took."""
    _webhooks.labels(outcome).inc()
    _webhook_seconds.observe(seconds)


def report_read(outcome: str) -> None:
    """Count a message to the bounce address by what came of it, one of `REPORT_OUTCOMES`."""
    _reports.labels(outcome).inc()


def job_ran(name: str, ok: bool, seconds: float) -> None:
    """Count a run of a job, its result and how many seconds it took."""
    _job_runs.labels(name, "ok" if ok else "failed").inc()
    _job_seconds.labels(name).observe(seconds)
    if ok:
        _job_success.labels(name).set(now().timestamp())


def request_answered(endpoint: str, status: int, seconds: float) -> None:
    """Count an answer by its status, and record how many seconds it took."""
    _requests.labels(f"{status // 100}xx").inc()
    _request_seconds.labels(endpoint).observe(seconds)


def exposition() -> bytes:
    """The metrics of this process and of those that share its folder, in Prometheus' text format."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
    if not os.path.isdir(folder):  # not under gunicorn, or somebody has deleted the folder
        return generate_latest(REGISTRY)
    shared = CollectorRegistry()
    MultiProcessCollector(shared, folder)
    return generate_latest(shared)
