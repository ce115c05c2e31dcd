"""The figures, for Prometheus and whoever reads its format."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, current_app, request
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily

from app import metrics
from app.outbox.maintenance import QueueFigures, queue_figures
from app.outbox.servers import count_paused
from app.webhooks import maintenance as webhooks

bp = Blueprint("metrics", __name__)


@bp.get("/metrics")
def metrics_page() -> ResponseReturnValue:
    """All figures of all processes; for whoever has the token, if one is set."""
    token = current_app.config["SETTINGS"].metrics_token
    if token is not None and not _is_given(token):
        return Response("The token is missing or wrong.\n", 401, {"WWW-Authenticate": "Bearer"}, mimetype="text/plain")
    gauges = [*_gauges(queue_figures(), count_paused()), *_webhook_gauges(webhooks.queue_figures())]
    return Response(metrics.exposition(gauges), content_type=CONTENT_TYPE_LATEST)


def _is_given(token: str) -> bool:
    given = request.headers.get("Authorization", "").encode()
    return hmac.compare_digest(given, f"Bearer {token}".encode())


def _gauges(queue: QueueFigures, paused: int) -> list[GaugeMetricFamily]:
    name = f"{metrics.NAMESPACE}_outbox"
    mails = GaugeMetricFamily(f"{name}_mails", "Mails that are not sent, by state.", labels=["state"])
    for state, count in queue.mails.items():
        mails.add_metric([state], count)
    return [
        mails,
        GaugeMetricFamily(
            f"{name}_oldest_waiting_seconds",
            "Since the oldest of the mails that are to be sent was asked for.",
            value=queue.oldest_waiting_seconds,
        ),
        GaugeMetricFamily(
            f"{name}_overdue_seconds",
            "For how long the mail that has been due longest waits for any worker to take it.",
            value=queue.overdue_seconds,
        ),
        GaugeMetricFamily(
            f"{metrics.NAMESPACE}_mail_servers_paused", "Mail servers that are at fault just now.", value=paused
        ),
    ]


def _webhook_gauges(queue: webhooks.QueueFigures) -> list[GaugeMetricFamily]:
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
