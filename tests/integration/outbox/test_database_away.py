"""The database goes away while mails are in their server's hands, for longer than a process tries at its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
from flask import Flask
from sqlalchemy import event

from app.extensions import db
from app.models import MailState
from app.outbox import worker
from tests.conftest import own_app
from tests.crash.proxy import CuttableWay
from tests.crash.test_outages import locked
from tests.integration.outbox.test_routing import Flushing, invite_many
from tests.support.app_driver import AppDriver
from tests.support.processes import wait_until
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases

Away = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def way(database_url: str) -> Iterator[tuple[str, Away]]:
    """The address of the database, and what cuts it off for a while."""
    if database_url.startswith("sqlite"):
        yield database_url, lambda: locked(database_url)
        return
    with CuttableWay(database_url) as cuttable:
        yield cuttable.url, cuttable.cut


@pytest.fixture
def environment(environment: dict[str, str], way: tuple[str, Away]) -> dict[str, str]:
    return environment | {"DATABASE_URL": f"{way[0]}?timeout=0.2" if "sqlite" in way[0] else way[0]}


@pytest.fixture
def app(environment: dict[str, str]) -> Iterator[Flask]:
    # Connections that are made now wait as long as that says.
    with own_app(environment) as app:
        yield app


@pytest.mark.parametrize("waiting", [1, 12], ids=["the only one", "with others that wait"])
def test_mails_that_were_taken_meanwhile_are_marked_when_it_is_back_and_the_others_go_out(
    app: Flask,
    app_driver: AppDriver,
    mail_server: MailServer,
    way: tuple[str, Away],
    waiting: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures: list[object] = []
    with app.app_context():
        event.listen(db.engine, "handle_error", failures.append)
    # It is not told to end. Those who are, and have no database, have so little time that one attempt is all they make.
    monkeypatch.setattr(worker, "FINISH_SECONDS", 0.0)
    monkeypatch.setattr(worker, "_ABORT_SECONDS", 0.0)
    caplog.set_level(logging.INFO, "app.observability.quiet")
    emails = invite_many(app_driver, waiting)
    with ExitStack() as until_back, Flushing(app):
        with mail_server.answering_nobody():
            assert mail_server.holding.wait(10)
            until_back.enter_context(way[1]())
        wait_until(lambda: len(failures) >= 4, "it was tried again and again")
        until_back.close()
        wait_until(lambda: {mail.state for mail in app_driver.mails()} == {MailState.SENT}, "all are marked as sent")
    assert [len(mail_server.to(email)) for email in emails] == [1] * waiting
    assert {mail.attempts for mail in app_driver.mails()} == {1}
    said = [line.removeprefix("the outbox can").partition(" (")[0] for line in caplog.messages if "the outbox" in line]
    assert said == ["not be written", " be written again"]
