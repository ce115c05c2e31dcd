"""What was sent is recorded, and what comes next is looked at, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import event

from app.accounts.users import find_user
from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.invitations.reminders import send_reminders
from app.models import EventKind, MailKind, MailState
from app.outbox.leased_email import LeasedEmail
from app.registration.emails import queue_verification
from tests.conftest import Outbox
from tests.support.app_driver import AppDriver

pytestmark = pytest.mark.both_databases

ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
PEOPLE = [f"client{n}@nordwind.test" for n in range(3)]


@pytest.fixture
def mails(app_driver: AppDriver) -> list[LeasedEmail]:
    """Three invitations that are being sent."""
    for person in PEOPLE:
        app_driver.invite(person)
    claimed = app_driver.claim()
    return claimed


def state_of(app_driver: AppDriver, mail: LeasedEmail) -> MailState:
    return app_driver.mail(mail.recipient).state


@contextmanager
def somebody_holds(database_url: str, statement: str, mail: LeasedEmail) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url) as somebody:
        found = somebody.execute(statement, {"mail": mail.id, "client": mail.client_id}).fetchall()  # type: ignore[call-overload]
        assert len(found) == 1
        yield somebody
        somebody.rollback()


HOLD_CLIENT = "SELECT 1 FROM imported_client WHERE id = %(client)s FOR UPDATE"
HOLD_MAIL = "SELECT 1 FROM outbox_mail WHERE id = %(mail)s FOR UPDATE"


def test_what_was_sent_dates_links_and_is_told_in_histories(app_driver: AppDriver, mails: list[LeasedEmail]) -> None:
    app_driver.settle_sent(mails)
    for mail in mails:
        row, client = app_driver.mail(mail.recipient), app_driver.client(mail.recipient)
        assert (row.state, row.lease_id, row.lease_until, row.attempts) == (MailState.SENT, None, None, 1)
        assert client.email_last_sent_at == row.sent_at
        assert client.link_expires_at is not None
        assert row.sent_at is not None
        assert (client.link_expires_at - row.sent_at).days == 7
        assert app_driver.kinds(client.id)[-1] is EventKind.MAIL_SENT


def test_mails_of_every_kind_can_share_a_batch(app_driver: AppDriver) -> None:
    app_driver.change_portal(sends_reminders=True)
    client_id = app_driver.invite(PEOPLE[0])
    app_driver.settle(app_driver.claim_one())
    app_driver.let_link_lapse(client_id, now() + timedelta(days=1))
    dated = app_driver.client(PEOPLE[0]).link_expires_at
    assert app_driver.do(send_reminders, Event()) == 1
    app_driver.invite(PEOPLE[1])
    app_driver.do(_ask_for_verification, "ada@harbour.test")
    claimed = app_driver.claim()
    assert {mail.kind for mail in claimed} == {MailKind.REMINDER, MailKind.INVITATION, MailKind.VERIFICATION}

    app_driver.settle_sent(claimed)
    assert {mail.state for mail in app_driver.mails()} == {MailState.SENT}
    assert app_driver.kinds(client_id).count(EventKind.REMINDED) == 1
    assert app_driver.kinds(client_id).count(EventKind.MAIL_SENT) == 1
    assert app_driver.client(PEOPLE[0]).link_expires_at == dated, "a reminder leaves the link as it is"
    assert app_driver.client(PEOPLE[1]).link_expires_at is not None
    assert app_driver.user("ada@harbour.test").verification_expires_at is not None


def _ask_for_verification(email: str) -> None:
    with transaction():
        user = find_user(email)
        assert user is not None
        user.email_verified_at = None
        queue_verification(user, None)


@ON_POSTGRESQL
def test_a_batch_waits_for_whoever_holds_a_client(
    app_driver: AppDriver, mails: list[LeasedEmail], database_url: str
) -> None:
    with ThreadPoolExecutor() as threads:
        with somebody_holds(database_url, HOLD_CLIENT, mails[0]):
            batch = threads.submit(app_driver.settle_sent, mails)
            _wait_until_it_waits(database_url)
            assert not batch.done()
        batch.result(timeout=10)
    assert [state_of(app_driver, mail) for mail in mails] == [MailState.SENT] * 3


def _wait_until_it_waits(database_url: str) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(database_url, autocommit=True) as looking:
        for _ in range(200):
            if looking.execute(waiting).fetchone() == (1,):
                return
            looking.execute("SELECT pg_sleep(0.05)")
    raise AssertionError("nobody waits for a lock")


@ON_POSTGRESQL
def test_a_mail_that_somebody_is_just_removing_is_not_fetched(
    app_driver: AppDriver, mails: list[LeasedEmail], database_url: str
) -> None:
    for mail in mails:
        app_driver.release(mail)
    with ThreadPoolExecutor() as threads, somebody_holds(database_url, HOLD_MAIL, mails[0]):
        fetched = threads.submit(app_driver.claim).result(timeout=10)
    assert [mail.id for mail in fetched] == [mail.id for mail in mails[1:]]


@ON_POSTGRESQL
def test_one_connection_serves_one_run_after_the_other(app: Flask, app_driver: AppDriver, outbox: Outbox) -> None:
    made: list[object] = []
    with app.app_context():
        event.listen(db.engine, "connect", lambda connection, _record: made.append(connection))
        db.engine.dispose()
    for number in range(3):
        app_driver.invite(f"{number}@nordwind.test")
        outbox.flush()
    # One for the tests' own looks beside it.
    assert len(made) <= 2
    assert {mail.state for mail in app_driver.mails()} == {MailState.SENT}
