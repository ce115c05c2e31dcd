"""One statement looks for work in all queues: how little an idle worker asks, and what it still finds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client import REGISTRY
from sqlalchemy import text, update

from app.db.transactions import transaction
from app.extensions import db
from app.jobs.scheduler import start_embedded
from app.models import OutboxMail, WebhookDelivery
from app.models.types import db_now
from tests.conftest import own_app
from tests.support.app_driver import AppDriver
from tests.support.processes import wait_until
from tests.support.smtp import MailServer
from tests.support.statements import heard
from tests.support.webhooks import Receiver, Webhooks

pytestmark = pytest.mark.both_databases

NORDWIND = "info@nordwind.test"
SECONDS = 2.0


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture
def webhooks(app: Flask) -> Webhooks:
    return Webhooks(app)


@pytest.fixture
def receiver(webhooks: Webhooks) -> Iterator[Receiver]:
    """One that the portal tells everything."""
    with Receiver() as receiver:
        webhooks.add(receiver)
        yield receiver


def runs(name: str) -> float:
    labels = {"name": name, "result": "ok"}
    return REGISTRY.get_sample_value("imported_clients_job_runs_total", labels) or 0.0


@contextmanager
def running(app: Flask) -> Iterator[None]:
    """A scheduler whose flush jobs have had their first run."""
    before = {name: runs(name) for name in ("flush-outbox", "flush-webhooks")}
    scheduler = start_embedded(app)
    try:
        wait_until(lambda: all(runs(name) > times for name, times in before.items()), "each has had a run")
        yield
    finally:
        scheduler.stop()


def move_all(app: Flask, seconds: float) -> None:
    """Let everything be due so many seconds from now. Nobody is told of it, as of another process's commit."""
    with app.app_context(), transaction() as session:
        for model in (OutboxMail, WebhookDelivery):
            session.execute(update(model).values(due_at=db_now(seconds)))


def assert_soon_done(mail_server: MailServer, receiver: Receiver) -> None:
    # Jobs run once a minute without being asked, so neither would be here by then if nobody had looked.
    mail_server.wait_for(NORDWIND)
    wait_until(lambda: receiver.events, "the event is told")


def test_an_idle_worker_asks_the_database_at_most_twice_a_second(
    app: Flask, environment: dict[str, str], tmp_path: Path
) -> None:
    with own_app(environment) as idle, idle.app_context(), heard(db.engine, tmp_path) as statements, running(idle):
        wait_until(statements, "it has begun")
        # All jobs run once at the beginning. It is idle when a second brings no more than a look.
        before = -100
        while len(statements()) - before > 2:
            before = len(statements())
            time.sleep(1)
        began, before = time.monotonic(), len(statements())
        time.sleep(SECONDS)
        asked = statements()[before:]
        # A busy machine makes it ask less often, never more.
        assert len(asked) <= 2 * (time.monotonic() - began), asked
        wait_until(lambda: len(statements()) > before, "it does look")


def test_what_becomes_due_is_found_without_anybody_telling(
    app: Flask, app_driver: AppDriver, receiver: Receiver, mail_server: MailServer
) -> None:
    app_driver.invite(NORDWIND)
    move_all(app, 3600)
    with running(app):
        assert (mail_server.mails, receiver.events) == ([], [])
        move_all(app, -1)
        assert_soon_done(mail_server, receiver)


def test_what_a_dead_worker_held_is_found_when_its_lease_ends(
    app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, mail_server: MailServer
) -> None:
    app_driver.invite(NORDWIND)
    app_driver.claim_one()
    webhooks.claim()
    with running(app):
        assert (mail_server.mails, receiver.events) == ([], [])
        app_driver.end_leases()
        webhooks.end_leases()
        assert_soon_done(mail_server, receiver)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_lost_connection_holds_up_nothing(
    app: Flask,
    app_driver: AppDriver,
    receiver: Receiver,
    mail_server: MailServer,
) -> None:
    app_driver.invite(NORDWIND)
    move_all(app, 3600)
    with running(app):
        move_all(app, -1)
        with app.app_context():
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() {}"
            db.session.execute(text(others.format("AND pid <> pg_backend_pid()")))
            db.session.remove()
        assert_soon_done(mail_server, receiver)
