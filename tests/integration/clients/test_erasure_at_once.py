"""An erasure while a worker sends, an invitee registers, or somebody reads the file."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest
from flask import Flask
from sqlalchemy import select

from app.clients import erasure
from app.db.cleanup import purge_deleted
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import (
    ClientImport,
    EventKind,
)
from tests.conftest import HARBOUR, Outbox
from tests.integration.clients.erasing import (
    ALL,
    COMPANY,
    FILES,
    NAME,
    WANDA,
    endpoint,
    erased,
)
from tests.integration.registration.invitee import PASSPHRASE
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.databases import on_sqlite
from tests.support.remains import places_of
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@on_sqlite
def test_a_file_that_somebody_reads_all_the_time_cannot_be_cleaned_up(
    app_driver: AppDriver, reconfigured: Callable[..., Flask], database_url: str
) -> None:
    impatient = reconfigured(DATABASE_URL=f"{database_url}?timeout=0.1")
    app_driver.invite(WANDA, COMPANY)
    with app_driver.app.app_context(), db.engine.connect() as reader:
        reader.execute(select(ClientImport.id)).all()
        with impatient.app_context():
            assert not purge_deleted(patience=0)
        reader.rollback()
        with impatient.app_context():
            assert purge_deleted()


def sending(app: Flask) -> Thread:
    thread = Thread(target=run_job, args=(app, "flush-outbox"))
    thread.start()
    return thread


@pytest.mark.parametrize("answer", [None, f"554 5.7.1 <{WANDA}> refused"])
def test_a_mail_that_is_just_being_sent_does_not_come_back(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, answer: str | None
) -> None:
    endpoint(app_driver)
    client_id = app_driver.invite(WANDA, COMPANY)
    if answer:
        mail_server.refuse_data[WANDA] = answer
    with mail_server.answering_nobody():
        worker = sending(app)
        assert mail_server.holding.wait(20)
        erased(app)
    worker.join(30)
    assert not worker.is_alive()
    mail_server.refuse_data.clear()
    for _ in range(2):
        app_driver.make_due()
        outbox.flush()
    assert len(mail_server.to(WANDA)) == (0 if answer else 1)
    assert places_of(app, *ALL) - FILES == set()
    assert app_driver.kinds(client_id) == [EventKind.INVITED, EventKind.MAIL_QUEUED, EventKind.REMOVED]


def test_who_registers_at_that_moment_is_erased_too_or_finds_nothing(app: Flask, app_driver: AppDriver) -> None:
    form = {"name": NAME, "password": PASSPHRASE}
    for n in range(3):
        email = f"wanda{n}@zephyr.test"
        link = app_driver.link(app_driver.invite(email, COMPANY))
        answers: list[int] = []
        browser = Browser(app)
        browser.csrf_token()
        thread = Thread(target=lambda: answers.append(browser.post(link, form).status_code))  # noqa: B023
        thread.start()
        app_driver.do(erasure.erase_client, HARBOUR, email)
        thread.join(30)
        assert answers[0] in {303, 410}
        if not app_driver.has_account(email):
            assert email not in app_driver.dump(with_audit=True)
