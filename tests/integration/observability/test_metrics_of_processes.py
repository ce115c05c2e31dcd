"""The figures of several processes: gunicorn's together, a worker's at a port of its own."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest
from flask import Flask

from app.observability import metrics
from app.observability.routes import serve_figures
from config import load_settings
from tests.integration.observability.test_metrics import TOKEN, figures_of
from tests.support.production import PATIENCE_SECONDS, gunicorn


def test_the_web_processes_of_a_server_show_what_all_of_them_have_counted(
    environment: dict[str, str], app: Flask, tmp_path: Path
) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "counter_99.db").write_text("what another server has left there")
    queued = ("outbox_mails", (("state", "queued"),))
    with gunicorn(environment | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}, workers=2) as port:
        assert {get(port, f"/no/such/page/{n}").status for n in range(16)} == {404}
        pages = [figures_of(get(port, "/metrics").text) for _ in range(6)]
    assert [(page["http_requests_total", (("status", "4xx"),)], page[queued]) for page in pages] == [(16, 0)] * 6


def test_a_worker_shows_its_figures_at_a_port_of_its_own(
    environment: dict[str, str], app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    settings = load_settings(environment | {"METRICS_PORT": str(port), "METRICS_TOKEN": TOKEN})
    serve_figures(settings)
    metrics.mail_handled("sent", 0.01)
    assert get(port, "/metrics").status == 401
    page = get(port, "/metrics", {"Authorization": f"Bearer {TOKEN}"})
    assert page.status == 200
    figures = figures_of(page.text)
    assert figures["mails_total", (("outcome", "sent"),)] >= 1
    # A second worker of the machine goes on without.
    serve_figures(settings)
    assert f"no figures are shown at port {port}: " in caplog.text


@dataclass
class Page:
    status: int
    text: str


def get(port: int, path: str, headers: dict[str, str] | None = None) -> Page:
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)) as connection:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return Page(answer.status, answer.read().decode())
