"""Invitations that nobody accepted, and old histories, go by themselves where the operator says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import ClientEvent, EventKind, ImportedClient, MailState, OutboxMail, WebhookDelivery, WebhookEvent
from app.outbox.errors import PermanentFailure
from app.registration.service import accept
from app.webhooks.endpoints import EVENTS, add_endpoint
from tests.conftest import HARBOUR
from tests.integration.registration.invitee import register
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import on_sqlite
from tests.support.factories import make_user

pytestmark = pytest.mark.both_databases

Reconfigured = Callable[..., Flask]


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "KEEP_INVITATIONS_DAYS": "30"}


def after(days: float) -> time_machine.travel:
    return time_machine.travel(datetime.now(UTC) + timedelta(days=days))


def run_after(app: Flask, days: float) -> None:
    with after(days):
        assert run_job(app, "retention")


def emails(app_driver: AppDriver) -> list[str]:
    return [email for _portal, email, _status in app_driver.clients()]


def joined(app_driver: AppDriver, email: str) -> UUID:
    client_id = app_driver.invite(email)
    user_id = app_driver.do(make_user, email, "Nora Wind")
    app_driver.do(accept, app_driver.link(client_id).rpartition("/")[2], user_id)
    return client_id


def sent(app_driver: AppDriver, email: str) -> UUID:
    client_id = app_driver.invite(email)
    app_driver.settle(app_driver.claim_one())
    return client_id


def tab(browser: Browser) -> str | None:
    said = parse(browser.get(ic(HARBOUR))).select_one("#retention")
    return None if said is None else words(said)


def test_only_what_nobody_accepted_is_removed_and_told_as_any_removal(app: Flask, app_driver: AppDriver) -> None:
    app_driver.do(add_endpoint, HARBOUR, "https://127.0.0.1:1/hook", "", EVENTS)
    gone = sent(app_driver, "gone@nordwind.test")
    refused = app_driver.invite("refused@nordwind.test")
    app_driver.settle(app_driver.claim_one(), PermanentFailure("550 nobody"))
    joined(app_driver, "joined@nordwind.test")
    register(app_driver, "registered@nordwind.test")
    app_driver.settle_sent(app_driver.claim())
    lasting = sent(app_driver, "lasting@nordwind.test")
    app_driver.let_link_lapse(lasting, datetime.now(UTC) + timedelta(days=90))
    fresh = sent(app_driver, "fresh@nordwind.test")
    with after(5):
        app_driver.resend(fresh)
        app_driver.settle(next(mail for mail in app_driver.claim() if mail.client_id == fresh))
    app_driver.invite("waiting@nordwind.test")

    run_after(app, 29.9)
    assert len(emails(app_driver)) == 7
    run_after(app, 30.1)
    assert emails(app_driver) == [
        "fresh@nordwind.test",
        "joined@nordwind.test",
        "lasting@nordwind.test",
        "waiting@nordwind.test",
    ]
    assert not app_driver.has_account("registered@nordwind.test")
    for client_id in (gone, refused):
        assert app_driver.events(client_id)[-1] == (EventKind.REMOVED, None)
    told = select(func.count()).where(WebhookDelivery.event == WebhookEvent.CLIENT_REMOVED)
    assert app_driver.do(lambda: db.session.scalar(told)) == 3
    run_after(app, 35.1)
    assert "fresh@nordwind.test" not in emails(app_driver)


def test_many_go_in_batches_and_whoever_is_held_stays(app: Flask, app_driver: AppDriver) -> None:
    for n in range(3):
        sent(app_driver, f"client{n}@nordwind.test")
    held = select(ImportedClient.id).where(ImportedClient.email == "client1@nordwind.test").with_for_update()
    with app.app_context(), db.engine.connect() as somebody_else:
        if db.engine.dialect.name == "postgresql":  # SQLite locks no single rows
            somebody_else.execute(held)
        run_after(app, 31)
        assert emails(app_driver) == (["client1@nordwind.test"] if db.engine.dialect.name == "postgresql" else [])
    run_after(app, 31)
    assert emails(app_driver) == []


@on_sqlite
def test_nothing_goes_unless_the_operator_says_so(
    app: Flask, admin: Browser, app_driver: AppDriver, reconfigured: Reconfigured
) -> None:
    sent(app_driver, "info@nordwind.test")
    joined(app_driver, "joined@nordwind.test")
    off = reconfigured(KEEP_INVITATIONS_DAYS=None)
    before = app_driver.dump()
    run_after(off, 3000)
    assert app_driver.dump() == before
    assert tab(admin.twin(off)) is None


@on_sqlite
def test_the_tab_says_what_goes_next_and_when(
    app: Flask, admin: Browser, staff: Browser, app_driver: AppDriver
) -> None:
    rule = "Invitations that nobody accepts are removed 30 days after their last email."
    assert tab(admin) == f"{rule} None is due soon."
    for n in range(2):
        sent(app_driver, f"client{n}@nordwind.test")
    later = sent(app_driver, "later@nordwind.test")
    in_three_days = datetime.now(UTC) + timedelta(days=3)
    change = update(ImportedClient).where(ImportedClient.id == later).values(email_last_sent_at=in_three_days)
    app_driver.do(_write, change)
    by = datetime.now(UTC) + timedelta(days=31)
    for browser in (admin, staff):
        said = tab(browser)
        assert said is not None
        assert said.startswith(f"{rule} Next: 2 clients, by {by:%d %b %Y}, ")


def _write(statement: object) -> None:
    with transaction() as session:
        session.execute(statement)  # type: ignore[call-overload]


def test_old_histories_go_but_those_of_pending_clients(
    app: Flask, app_driver: AppDriver, reconfigured: Reconfigured
) -> None:
    keeping = reconfigured(KEEP_HISTORY_MONTHS="12", KEEP_INVITATIONS_DAYS=None)
    pending, member = sent(app_driver, "pending@nordwind.test"), joined(app_driver, "joined@nordwind.test")
    removed = sent(app_driver, "removed@nordwind.test")
    app_driver.remove(removed)
    failed = select(OutboxMail.id).where(OutboxMail.client_id.in_([pending, member]))
    for mail_id in app_driver.do(lambda: db.session.scalars(failed).all()):
        app_driver.change_mail(mail_id, state=MailState.FAILED)
    run_after(keeping, 360)
    assert len(app_driver.kinds(member)) > 1
    with after(370):
        sent(app_driver, "newer@nordwind.test")
    run_after(keeping, 370)
    assert app_driver.kinds(member) == app_driver.kinds(removed) == []
    assert app_driver.kinds(pending)[0] is EventKind.INVITED
    assert [mail.client_id for mail in app_driver.mails() if mail.state is MailState.FAILED] == [pending]
    assert "joined@nordwind.test" in emails(app_driver)


@on_sqlite
def test_the_newest_event_stays_so_that_its_id_is_not_given_again(
    app: Flask, app_driver: AppDriver, reconfigured: Reconfigured
) -> None:
    keeping = reconfigured(KEEP_HISTORY_MONTHS="1")
    joined(app_driver, "joined@nordwind.test")
    newest = app_driver.do(lambda: db.session.scalar(select(func.max(ClientEvent.id))))
    run_after(keeping, 100)
    assert app_driver.do(lambda: db.session.scalars(select(ClientEvent.id)).all()) == [newest]
