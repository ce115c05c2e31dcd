"""The figures: every process counts, web processes show the sum of theirs, and no figure names anybody."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from app import create_app
from app.jobs.schedule import run_job
from app.models import MailState
from app.models.types import db_now
from app.observability import metrics
from app.outbox.errors import ServerMisconfigured
from app.outbox.routing import DEPLOYMENT
from config import load_settings
from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic

INVITEE = "info@nordwind.test"
TOKEN = "a-secret-for-figures"

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def shown(app: Flask) -> Figures:
    """What /metrics says, by name and labels."""
    response = app.test_client().get("/metrics")
    assert response.status_code == 200
    assert response.content_type.startswith("text/plain; version=")
    return figures_of(response.text)


def figures_of(text: str) -> Figures:
    return {
        (sample.name.removeprefix("imported_clients_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def figure(app: Flask, name: str, /, **labels: str) -> float:
    return shown(app).get((name, tuple(sorted(labels.items()))), 0.0)


@contextmanager
def growth(app: Flask, name: str, /, **labels: str) -> Iterator[list[float]]:
    """By how much a figure grows meanwhile."""
    key = (name, tuple(sorted(labels.items())))
    before = shown(app).get(key, 0.0)
    grown = list[float]()
    yield grown
    grown.append(shown(app).get(key, 0.0) - before)


# Counting


def test_mails_are_counted_by_what_came_of_them(app: Flask) -> None:
    with (
        growth(app, "mails_total", outcome="sent") as sent,
        growth(app, "mails_total", outcome="refused") as refused,
        growth(app, "mail_send_seconds_count") as timed,
        growth(app, "mail_send_seconds_sum") as seconds,
        growth(app, "mail_send_seconds_bucket", le="0.1") as quick,
    ):
        metrics.mail_handled("sent", 0.07)
        metrics.mail_handled("sent", 0.5)
        metrics.mail_handled("refused", 0.2)
        metrics.mail_handled("unwanted", None)
    assert (sent, refused, timed, quick) == ([2], [1], [3], [1])
    assert seconds == [pytest.approx(0.77)]


def test_every_outcome_is_there_before_it_happens(app: Flask) -> None:
    figures = shown(app)
    for outcome in metrics.MAIL_OUTCOMES:
        assert ("mails_total", (("outcome", outcome),)) in figures


def test_jobs_are_counted_by_their_result_with_their_last_success(app: Flask) -> None:
    before = time.time()
    with (
        growth(app, "job_runs_total", name="prune", result="ok") as ran,
        growth(app, "job_seconds_count", name="prune") as timed,
    ):
        run_job(app, "prune")
        run_job(app, "prune")
    assert (ran, timed) == ([2], [2])
    last = figure(app, "job_last_success_timestamp_seconds", name="prune")
    assert before <= last <= time.time()
    with growth(app, "job_runs_total", name="prune", result="failed") as failed:
        metrics.job_ran("prune", ok=False, seconds=1)
    assert failed == [1]
    assert figure(app, "job_last_success_timestamp_seconds", name="prune") == last


def test_requests_are_counted_by_class_and_timed_by_endpoint(app: Flask, admin: Browser) -> None:
    with (
        growth(app, "http_requests_total", status="2xx") as good,
        growth(app, "http_requests_total", status="4xx") as bad,
        growth(app, "http_request_seconds_count", endpoint="clients.index") as timed,
        growth(app, "http_request_seconds_count", endpoint="none") as nowhere,
    ):
        admin.get(ic(HARBOUR))
        admin.get(ic(HARBOUR))
        admin.get("/no/such/page")
        for path in ("/healthz", "/readyz", "/metrics", "/static/app.css"):
            admin.get(path, buffered=True)
    assert (good, bad, timed, nowhere) == ([2], [1], [2], [1])


# The queue


@pytest.mark.both_databases
def test_the_queue_is_counted_by_state_with_the_age_of_what_waits(app: Flask, app_driver: AppDriver) -> None:
    assert figure(app, "outbox_oldest_waiting_seconds") == figure(app, "outbox_overdue_seconds") == 0
    for n in range(3):
        app_driver.invite(f"client{n}@nordwind.test")
    first, second, third = app_driver.mails()
    app_driver.change_mail(first.id, created_at=datetime.now(UTC) - timedelta(hours=2), due_at=db_now(-30))
    app_driver.change_mail(second.id, state=MailState.FAILED, created_at=datetime.now(UTC) - timedelta(days=9))
    figures = shown(app)
    by_state = {labels[0][1]: value for (name, labels), value in figures.items() if name == "outbox_mails"}
    assert by_state == {"queued": 2, "sending": 0, "failed": 1}
    assert figures["outbox_oldest_waiting_seconds", ()] == pytest.approx(7200, abs=20)
    assert figures["outbox_overdue_seconds", ()] == pytest.approx(30, abs=20)

    app_driver.claim()
    assert figure(app, "outbox_mails", state="sending") == 2
    assert figure(app, "outbox_overdue_seconds") == 0
    # A worker died with the mails in its hands, and none is there to take them over.
    app_driver.change_mail(third.id, lease_until=db_now(-40))
    assert figure(app, "outbox_overdue_seconds") == pytest.approx(40, abs=20)


def test_a_mail_that_waits_for_its_next_try_is_not_overdue(app: Flask, app_driver: AppDriver) -> None:
    app_driver.invite(INVITEE)
    app_driver.change_mail(app_driver.mail(INVITEE).id, due_at=db_now(600))
    assert figure(app, "outbox_overdue_seconds") == 0
    assert figure(app, "outbox_mails", state="queued") == 1


@pytest.mark.parametrize("fault", ["paused", "no server"])
def test_a_mail_that_no_worker_could_send_is_not_overdue(
    app: Flask, reconfigured: Callable[..., Flask], app_driver: AppDriver, fault: str
) -> None:
    app_driver.invite(INVITEE)
    app_driver.change_mail(app_driver.mail(INVITEE).id, due_at=db_now(-600))
    if fault == "no server":
        assert figure(reconfigured(MAIL_SERVER=""), "outbox_overdue_seconds") == 0
        return
    app_driver.pause(DEPLOYMENT, ServerMisconfigured("530 sign in"))
    assert figure(app, "outbox_overdue_seconds") == 0
    assert figure(app, "mail_servers_paused", server="deployment") == 1
    assert figure(app, "mail_servers_paused", server="own") == 0
    # The pause has been over for a while, and no worker tries the server.
    app_driver.end_server_pauses()
    assert figure(app, "outbox_overdue_seconds") == pytest.approx(1, abs=10)


# Who may see them, and what they do not say


def test_a_token_is_wanted_where_one_is_set(app: Flask, reconfigured: Callable[..., Flask]) -> None:
    assert app.test_client().get("/metrics").status_code == 200
    guarded = reconfigured(METRICS_TOKEN=TOKEN).test_client()
    for wrong in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}, {"Authorization": "Bearer ü"}):
        refused = guarded.get("/metrics", headers=wrong)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert "imported_clients" not in refused.text
    assert guarded.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_no_figure_names_a_portal_a_person_or_an_address(
    app: Flask, admin: Browser, app_driver: AppDriver, outbox: Outbox
) -> None:
    client_id = app_driver.invite(INVITEE)
    admin.get(f"{ic(HARBOUR)}/{client_id}/history")
    admin.get(app_driver.link(client_id))
    admin.get(f"/no/such/{client_id}")
    outbox.flush()
    text = app.test_client().get("/metrics").text
    labels = {label for _name, labels in figures_of(text) for label, _value in labels}
    ours = {"outcome", "name", "result", "status", "state", "endpoint", "le", "server"}
    assert labels <= ours | {"generation", "implementation", "major", "minor", "patchlevel", "version"}
    for private in (HARBOUR, "ada@", "nordwind", "Nordwind", str(client_id), client_id.hex, "@"):
        assert private not in text


# Alive and ready, without a database


@pytest.fixture
def nowhere() -> str:
    """A database server that does not exist."""
    return "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
def silent() -> Iterator[str]:
    """A database server that takes calls and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"postgresql://nobody@127.0.0.1:{listener.getsockname()[1]}/none"


@pytest.mark.parametrize("lost, seconds", [("nowhere", 2), ("silent", 8)])
def test_a_process_without_its_database_is_alive_and_says_quickly_that_it_is_not_ready(
    request: pytest.FixtureRequest, lost: str, seconds: float
) -> None:
    url = request.getfixturevalue(lost)
    browser = create_app(
        load_settings({"DATABASE_URL": url, "SECRET_KEY": "a key for tests and nothing else"})
    ).test_client()
    assert browser.get("/healthz").status_code == 200
    started = time.monotonic()
    answer = browser.get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"status": "database not reachable"})
    assert time.monotonic() - started < seconds
