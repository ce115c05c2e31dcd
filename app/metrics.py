"""Figures of what the processes do, counted in memory and added up in one table.

Mails are sent in one process and figures are asked for in another, perhaps on another machine. So each process adds
what it has counted since its last report to the table `metric_total`, and any web process shows the table: whichever
is asked, the figures are the same, and they never fall, since nothing is ever taken away when a process ends. What a
killed process had counted since its last report is lost.

No label names a portal or a person: labels are states, results, and names out of our own code.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import select

from app.clock import now
from app.database import insert_or, transaction
from app.extensions import db
from app.models import MetricTotal

NAMESPACE = "imported_clients"

MAIL_OUTCOMES = ("sent", "refused", "later", "unknown", "server_at_fault", "unbuildable", "unwanted")
"""What can come of a mail that was taken up; see `app.outbox.smtp` for what they mean."""

WEBHOOK_OUTCOMES = ("delivered", "refused", "unanswered", "away", "gone", "interrupted")
"""What can come of an attempt to deliver a webhook; see `app.webhooks.queue` for what they mean."""

_counted = CollectorRegistry()

_mails = Counter("mails", "Mails taken up, by what came of it.", ["outcome"], NAMESPACE, registry=_counted)
_mail_seconds = Histogram(
    "mail_send_seconds",
    "Time between a mail server and us, for one mail.",
    namespace=NAMESPACE,
    registry=_counted,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
_webhooks = Counter(
    "webhook_attempts", "Attempts to deliver a webhook, by what came of it.", ["outcome"], NAMESPACE, registry=_counted
)
_webhook_seconds = Histogram(
    "webhook_attempt_seconds",
    "Time until a receiver answered, or did not.",
    namespace=NAMESPACE,
    registry=_counted,
    buckets=(0.1, 0.5, 1, 5, 10),
)
_job_runs = Counter("job_runs", "Runs of jobs, by their result.", ["name", "result"], NAMESPACE, registry=_counted)
_job_seconds = Summary("job_seconds", "Time of jobs' runs.", ["name"], NAMESPACE, registry=_counted)
_job_success = Gauge(
    "job_last_success_timestamp_seconds",
    "When a run of the job last went well.",
    ["name"],
    NAMESPACE,
    registry=_counted,
)
_requests = Counter("http_requests", "Requests, by class of status.", ["status"], NAMESPACE, registry=_counted)
_request_seconds = Histogram(
    "http_request_seconds",
    "Time to answer, by the endpoint's name.",
    ["endpoint"],
    NAMESPACE,
    registry=_counted,
    buckets=(0.025, 0.1, 0.25, 1, 5),
)

# So that they are shown, as 0, before the first one happens: a rate has to begin somewhere.
for _outcome in MAIL_OUTCOMES:
    _mails.labels(_outcome)
for _outcome in WEBHOOK_OUTCOMES:
    _webhooks.labels(_outcome)
for _class in "2345":
    _requests.labels(f"{_class}xx")

_Key = tuple[str, str]

_reported: dict[_Key, float] = {}
_reporting = Lock()


def mail_handled(outcome: str, seconds: float | None = None) -> None:
    """Count what came of a mail that was taken up, one of `MAIL_OUTCOMES`, and how long the server took, if asked."""
    _mails.labels(outcome).inc()
    if seconds is not None:
        _mail_seconds.observe(seconds)


def webhook_tried(outcome: str, seconds: float) -> None:
    """Count what came of an attempt, one of `WEBHOOK_OUTCOMES`, and how long it took."""
    _webhooks.labels(outcome).inc()
    _webhook_seconds.observe(seconds)


def job_ran(name: str, ok: bool, seconds: float) -> None:
    """Count a run of a job."""
    _job_runs.labels(name, "ok" if ok else "failed").inc()
    _job_seconds.labels(name).observe(seconds)
    if ok:
        _job_success.labels(name).set(now().timestamp())


def request_answered(endpoint: str, status: int, seconds: float) -> None:
    """Count an answer."""
    _requests.labels(f"{status // 100}xx").inc()
    _request_seconds.labels(endpoint).observe(seconds)


def report() -> None:
    """Add what this process has counted since its last report to the table."""
    with _reporting:
        sums, latest = _samples()
        grown = {key: value - _reported.get(key, 0.0) for key, value in sums.items()}
        with transaction():
            _write({key: value for key, value in grown.items() if value}, is_sum=True)
            # Not the largest of all processes: a clock that was once ahead would be right for ever.
            _write({key: value for key, value in latest.items() if value != _reported.get(key)}, is_sum=False)
        _reported.update(sums | latest)


def exposition(more: Iterable[Metric]) -> bytes:
    """All figures of all processes in Prometheus' text format, and `more` that were read just now."""
    sums, _latest = _samples()
    totals = dict.fromkeys(sums, 0.0)
    for name, labels, value in db.session.execute(select(MetricTotal.name, MetricTotal.labels, MetricTotal.value)):
        totals[name, labels] = value
    samples = defaultdict[str, list[tuple[dict[str, str], float]]](list)
    for (name, labels), value in totals.items():
        samples[name].append((json.loads(labels), value))
    shown = CollectorRegistry()
    shown.register(_Shown([*_families(samples), *more]))
    return generate_latest(shown)


class _Shown(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _samples() -> tuple[dict[_Key, float], dict[_Key, float]]:
    """What this process has counted in its life: sums, and moments of which the last one told counts."""
    sums, latest = dict[_Key, float](), dict[_Key, float]()
    for family in _counted.collect():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                kind = latest if family.type == "gauge" else sums
                kind[sample.name, json.dumps(sample.labels, sort_keys=True)] = sample.value
    return sums, latest


def _write(values: dict[_Key, float], *, is_sum: bool) -> None:
    if not values:
        return
    # In one order, so that two processes that report at once wait for each other and not in a circle.
    rows = [{"name": name, "labels": labels, "value": value} for (name, labels), value in sorted(values.items())]
    statement = insert_or(db.session(), MetricTotal).values(rows)
    new = statement.excluded.value
    value = MetricTotal.value + new if is_sum else new
    db.session.execute(
        statement.on_conflict_do_update(index_elements=[MetricTotal.name, MetricTotal.labels], set_={"value": value})
    )


def _families(samples: dict[str, list[tuple[dict[str, str], float]]]) -> Iterator[Metric]:
    """The figures we know of, each with what it is, filled from the table."""
    for known in _counted.collect():
        family = Metric(known.name, known.documentation, known.type)
        endings = {"counter": ["_total"], "gauge": [""]}.get(known.type, ["_bucket", "_count", "_sum"])
        found = [(f"{known.name}{end}", *sample) for end in endings for sample in samples[f"{known.name}{end}"]]
        for name, labels, value in sorted(found, key=_place):
            family.add_sample(name, labels, value)
        yield family


def _place(sample: tuple[str, dict[str, str], float]) -> tuple[list[tuple[str, str]], str, float]:
    """Where a sample stands: what belongs together, together, and buckets from the smallest to the largest."""
    name, labels, _value = sample
    return sorted((k, v) for k, v in labels.items() if k != "le"), name, float(labels.get("le", 0))
