"""A report that comes before the worker has recorded that the mail was taken: real servers bounce within a second."""

from __future__ import annotations

from functools import partial
from uuid import UUID

import pytest

from app.bounces.service import ingest
from app.models import EventKind, MailState
from app.outbox.bounce_address import bounce_address
from app.outbox.errors import AmbiguousOutcome, PermanentFailure, ServerUnavailable, TransientFailure
from tests.conftest import HARBOUR, Outbox
from tests.integration.bounces.conftest import BOUNCES, INVITEE, Mailman
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.reports import block, report
from tests.support.smtp import MailServer
from tests.support.together import at_once

EVENTS = [EventKind.INVITED, EventKind.MAIL_QUEUED, EventKind.MAIL_SENT, EventKind.MAIL_BOUNCED]


@pytest.fixture
def client_id(app_driver: AppDriver) -> UUID:
    return app_driver.invite(INVITEE)


def bounce(app_driver: AppDriver, mail_id: UUID, email: str = INVITEE) -> bytes:
    return report(app_driver.do(bounce_address, BOUNCES, mail_id), block(email))


ERRORS = [
    None,
    AmbiguousOutcome("The connection was lost."),
    TransientFailure("451 4.3.0 later"),
    PermanentFailure("550 5.1.1 nobody"),
    ServerUnavailable("Nobody listens."),
]
"""Whatever comes of handing it over."""


@pytest.mark.both_databases
def test_it_is_recorded_and_what_the_worker_records_then_changes_nothing(
    admin: Browser, app_driver: AppDriver, mailman: Mailman
) -> None:
    for number, error in enumerate(ERRORS):
        email = f"client{number}@nordwind.test"
        client_id = app_driver.invite(email)
        mail = app_driver.claim_one()
        mailman.bring(bounce(app_driver, mail.id, email))
        row = app_driver.mail(email)
        assert (row.state, row.lease_id, row.lease_until) == (MailState.BOUNCED, None, None), error
        assert row.sent_at is not None, error
        client = app_driver.client(email)
        assert client.link_expires_at is not None, error
        assert client.email_last_sent_at == row.sent_at, error
        assert app_driver.kinds(client_id) == EVENTS, error
        before = app_driver.dump()
        app_driver.settle(mail, error)
        app_driver.end_leases()
        app_driver.free_lapsed()
        assert app_driver.dump() == before, error
        assert app_driver.claim() == [], error
    assert [row.delivery for row in admin.rows(HARBOUR)] == ["bounced"] * len(ERRORS)


@pytest.mark.both_databases
def test_a_mail_whose_outcome_is_unknown_is_not_sent_again(
    app_driver: AppDriver, mailman: Mailman, outbox: Outbox, mail_server: MailServer, client_id: UUID
) -> None:
    mail = app_driver.claim_one()
    app_driver.settle(mail, AmbiguousOutcome("The connection was lost."))
    assert app_driver.mail(INVITEE).state is MailState.QUEUED
    mailman.bring(bounce(app_driver, mail.id))
    app_driver.make_due()
    outbox.flush()
    assert mail_server.mails == []
    assert app_driver.kinds(client_id) == EVENTS


def test_a_mail_that_no_server_was_offered_cannot_bounce(app_driver: AppDriver, mailman: Mailman) -> None:
    app_driver.invite("new@nordwind.test")
    mail = app_driver.mail("new@nordwind.test")
    before = app_driver.dump()
    assert "outdated" in mailman.bring(bounce(app_driver, mail.id))
    assert app_driver.dump() == before


@pytest.mark.both_databases
def test_a_report_and_the_workers_record_at_once_have_one_outcome(app_driver: AppDriver) -> None:
    for number in range(6):
        email = f"client{number}@nordwind.test"
        client_id = app_driver.invite(email)
        mails = {mail.recipient: mail for mail in app_driver.claim()}
        told = report(app_driver.do(bounce_address, BOUNCES, mails[email].id), block(email))
        read = partial(app_driver.do, ingest, told)
        at_once([partial(app_driver.settle, mails[email]), read, read])
        assert app_driver.mail(email).state is MailState.BOUNCED
        assert app_driver.kinds(client_id) == EVENTS
