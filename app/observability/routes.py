"""Serves the metrics in Prometheus' format: a page of the web processes, and a worker's own page at `METRICS_PORT`."""

from __future__ import annotations

import hmac
import logging
import socket
from collections.abc import Iterable
from threading import Thread

import waitress
from flask import Blueprint, Flask, Response, current_app, request
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.bounces.mailbox import seconds_failing
from app.observability import metrics
from app.outbox.maintenance import queue_figures
from app.outbox.routing import DEPLOYMENT, paused_servers
from app.queue.sending import stopped
from app.webhooks import maintenance as webhooks
from config import Settings

log = logging.getLogger(__name__)

bp = Blueprint("metrics", __name__)


@bp.get("/metrics")
def metrics_page() -> ResponseReturnValue:
    """The metrics of the web processes and of the queues. If a token is set, a request must have it."""
    if not _is_allowed():
        return _refusal()
    queues = CollectorRegistry()
    queues.register(_Queues())
    return _figures(metrics.exposition() + generate_latest(queues))


def serve_figures(settings: Settings) -> None:
    """Serve this process's metrics at `METRICS_PORT`, if set, while the process lives. A port in use is only logged."""
    if settings.metrics_port is None:
        return
    app = Flask(__name__, static_folder=None)
    app.config["SETTINGS"] = settings
    app.add_url_rule("/metrics", view_func=_process_page)
    try:
        listener = socket.create_server(("", settings.metrics_port))
    except OSError as error:
        log.warning("no figures are shown at port %s: %s", settings.metrics_port, error.strerror)
        return
    server = waitress.create_server(app, sockets=[listener], threads=1)
    Thread(target=server.run, name="metrics", daemon=True).start()


def _process_page() -> ResponseReturnValue:
    return _figures(metrics.exposition()) if _is_allowed() else _refusal()


def _figures(exposition: bytes) -> Response:
    return Response(exposition, content_type=CONTENT_TYPE_LATEST)


def _is_allowed() -> bool:
    token = current_app.config["SETTINGS"].metrics_token
    given = request.headers.get("Authorization", "").encode()
    return token is None or hmac.compare_digest(given, f"Bearer {token}".encode())


def _refusal() -> Response:
    return Response("The token is missing or wrong.\n", 401, {"WWW-Authenticate": "Bearer"}, mimetype="text/plain")


class _Queues(Collector):
    """The current state of the queues, read from the database."""

    def collect(self) -> Iterable[Metric]:
        return [_sending_gauge(), *_outbox_gauges(), *_webhook_gauges(), _mailbox_gauge()]


def _sending_gauge() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        f"{metrics.NAMESPACE}_sending_stopped",
        "1 if nothing is sent, because of SENDING=off or because the database is a copy.",
        value=stopped() is not None,
    )


def _outbox_gauges() -> list[GaugeMetricFamily]:
    queue = queue_figures()
    name = f"{metrics.NAMESPACE}_outbox"
    mails = GaugeMetricFamily(f"{name}_mails", "Mails that are not sent, by state.", labels=["state"])
    for state, count in queue.mails.items():
        mails.add_metric([state], count)
    paused = GaugeMetricFamily(
        f"{metrics.NAMESPACE}_mail_servers_paused", "Mail servers that are at fault just now.", labels=["server"]
    )
    keys = paused_servers().keys()
    paused.add_metric(["deployment"], DEPLOYMENT in keys)
    paused.add_metric(["own"], len(keys - {DEPLOYMENT}))
    return [
        mails,
        paused,
        GaugeMetricFamily(
            f"{name}_oldest_waiting_seconds",
            "Since the oldest of the mails that are to be sent was asked for.",
            value=queue.oldest_waiting_seconds,
        ),
        GaugeMetricFamily(
            f"{name}_overdue_seconds",
            "For how long the mail that could have been sent longest waits for any worker to take it.",
            value=queue.overdue_seconds,
        ),
    ]


def _mailbox_gauge() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        f"{metrics.NAMESPACE}_bounce_mailbox_failing_seconds",
        "For how long the bounce mailbox cannot be read; 0 if it can, or if there is none.",
        value=seconds_failing(),
    )


def _webhook_gauges() -> list[GaugeMetricFamily]:
    queue = webhooks.queue_figures()
    name = f"{metrics.NAMESPACE}_webhook"
    deliveries = GaugeMetricFamily(f"{name}_deliveries", "Webhooks that are not delivered, by state.", labels=["state"])
    for state, count in queue.deliveries.items():
        deliveries.add_metric([state], count)
    return [
        deliveries,
        GaugeMetricFamily(
            f"{name}_overdue_seconds",
            "For how long the webhook that could have been delivered longest waits for any worker to take it.",
            value=queue.overdue_seconds,
        ),
        GaugeMetricFamily(f"{name}_endpoints_paused", "Endpoints that are away.", value=queue.paused_endpoints),
    ]
