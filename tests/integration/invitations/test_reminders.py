"""One reminder of an invitation, two days before its link ends, where a portal wants that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any
from uuid import UUID

import pytest
import time_machine
from flask import Flask
from sqlalchemy import text

from app.db.transactions import transaction
from app.extensions import db
from app.invitations.reminders import send_reminders
from app.jobs.schedule import run_job
from app.models import EventKind, MailKind, MailState
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, path_of, words
from tests.support.databases import on_sqlite
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

INVITEE = "info@nordwind.test"
NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}
HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _reminders_are_on(app_driver: AppDriver) -> None:
    app_driver.change_portal(sends_reminders=True)


@pytest.fixture
def client_id(app_driver: AppDriver, outbox: Outbox) -> UUID:
    """A client whose link ends tomorrow."""
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    let_it_end_in(app_driver, client_id, DAY)
    return client_id


def let_it_end_in(app_driver: AppDriver, client_id: UUID, delta: timedelta) -> None:
    app_driver.let_link_lapse(client_id, datetime.now(UTC) + delta)


def remind(app_driver: AppDriver) -> int:
    return int(app_driver.do(send_reminders, Event()))


def reminders(app_driver: AppDriver) -> list[MailState]:
    return [mail.state for mail in app_driver.mails() if mail.kind is MailKind.REMINDER]


@on_sqlite
def test_it_carries_the_same_link_and_changes_nothing_about_the_invitation(
    app: Flask,
    admin: Browser,
    nobody: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    client_id: UUID,
) -> None:
    invitation, before = mail_server.wait_for(INVITEE), app_driver.client(INVITEE)
    run_job(app, "send-reminders")
    outbox.flush()
    reminder = mail_server.wait_for(INVITEE, count=2)
    assert reminder.link == invitation.link
    assert reminder.message["Subject"] == "Reminder: your invitation to Harbour Tours expires soon"
    assert reminder.message["Message-ID"] != invitation.message["Message-ID"]
    assert reminder.message["Reply-To"] == "ada@harbour.test"
    assert before.link_expires_at is not None
    for body in (reminder.text, reminder.html):
        assert before.link_expires_at.strftime("%H:%M UTC") in body
        assert "Nordwind Reisen" in body
        assert "Ada Berg" in body
    after = app_driver.client(INVITEE)
    assert (after.email_last_sent_at, after.link_expires_at, after.generation) == (
        before.email_last_sent_at,
        before.link_expires_at,
        1,
    )
    assert app_driver.events(client_id)[-1] == (EventKind.REMINDED, None)
    assert nobody.post(reminder.link, NORA).status_code == 303


@on_sqlite
def test_the_table_shows_the_invitations_fate_and_the_panel_both(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, client_id: UUID
) -> None:
    remind(app_driver)
    assert admin.row(HARBOUR, INVITEE).delivery == "sent"
    mail_server.refuse[INVITEE] = "550 5.1.1 gone"
    outbox.flush()
    assert reminders(app_driver) == [MailState.FAILED]
    row = admin.row(HARBOUR, INVITEE)
    assert (row.delivery, "Not delivered" in row.health) == ("sent", False)
    assert len(admin.rows(HARBOUR)) == 1
    panel = parse(admin.get(f"{ic(HARBOUR)}/{client_id}/history", htmx=True))
    assert [words(mail.strong) for mail in panel.select(".mails li")] == [
        "Reminder · Couldn't be delivered",
        "Accepted by mail server",
    ]
    shown = panel.select_one("#show-mail-reminder-1")["href"]
    mail = admin.get(shown, htmx=True)
    assert "expires soon" in mail.text
    assert "‹cut›" in mail.text


def test_it_is_written_once_for_each_invitation(app_driver: AppDriver, outbox: Outbox, client_id: UUID) -> None:
    assert [remind(app_driver), remind(app_driver)] == [1, 0]
    outbox.flush()
    assert remind(app_driver) == 0
    app_driver.resend(client_id)
    outbox.flush()
    assert remind(app_driver) == 0
    let_it_end_in(app_driver, client_id, DAY)
    assert remind(app_driver) == 1
    assert app_driver.kinds(client_id).count(EventKind.REMINDED) == 1


def test_it_is_not_written_again_when_the_older_one_was_deleted_long_after_sending(
    app_driver: AppDriver, outbox: Outbox, client_id: UUID
) -> None:
    remind(app_driver)
    outbox.flush()

    def delete_mails() -> None:
        with transaction() as session:
            session.execute(text("DELETE FROM outbox_mail"))

    app_driver.do(delete_mails)
    assert remind(app_driver) == 0


def test_many_processes_write_one(app_driver: AppDriver, client_id: UUID) -> None:
    for n in range(9):
        let_it_end_in(app_driver, app_driver.invite(f"c{n}@nordwind.test"), DAY)
    assert sum(at_once([partial(remind, app_driver)] * 8)) == 10
    assert len(reminders(app_driver)) == 10


def test_it_goes_out_from_two_days_to_an_hour_before_the_end(app_driver: AppDriver, outbox: Outbox) -> None:
    left = {
        "early@nordwind.test": 2 * DAY + 60 * SECOND,
        "first@nordwind.test": 2 * DAY - SECOND,
        "last@nordwind.test": HOUR + 60 * SECOND,
        "late@nordwind.test": HOUR - SECOND,
        "over@nordwind.test": -SECOND,
    }
    clients = {email: app_driver.invite(email) for email in left}
    outbox.flush()
    for email, delta in left.items():
        let_it_end_in(app_driver, clients[email], delta)
    assert remind(app_driver) == 2
    reminded = {mail.recipient for mail in app_driver.mails() if mail.kind is MailKind.REMINDER}
    assert reminded == {"first@nordwind.test", "last@nordwind.test"}


def test_not_before_the_invitation_itself_has_left(app_driver: AppDriver) -> None:
    app_driver.invite(INVITEE)
    with time_machine.travel(datetime.now(UTC) + 6 * DAY):
        assert remind(app_driver) == 0


@on_sqlite
@pytest.mark.usefixtures("client_id")
def test_not_in_portals_that_did_not_ask_for_it(app_driver: AppDriver) -> None:
    app_driver.change_portal(sends_reminders=False)
    app_driver.change_portal(ALPINE, sends_reminders=True)
    assert remind(app_driver) == 0


@on_sqlite
@pytest.mark.parametrize("seconds", [2 * 24 * 60 * 60, 60 * 60])
def test_not_where_links_live_two_days_or_less(
    app_driver: AppDriver, client_id: UUID, reconfigured: Callable[..., Flask], seconds: int
) -> None:
    short = AppDriver(reconfigured(INVITATION_TTL_SECONDS=str(seconds)))
    assert remind(short) == 0
    assert remind(app_driver) == 1


@pytest.mark.parametrize("is_written_already", [False, True], ids=["before the job", "before the mail goes out"])
@pytest.mark.parametrize(
    "act", ["declines", "registers", "joins", "is removed", "resent", "portal forbids", "too late"]
)
@on_sqlite
def test_nobody_is_reminded_for_whom_it_is_over(
    nobody: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    client_id: UUID,
    act: str,
    is_written_already: bool,
) -> None:
    link = app_driver.link(client_id)
    if is_written_already:
        assert remind(app_driver) == 1
    match act:
        case "declines":
            nobody.post(f"{path_of(link)}/decline")
        case "registers" | "joins":
            nobody.post(link, NORA)
        case "is removed":
            app_driver.remove(client_id)
        case "resent":
            app_driver.resend(client_id)
        case "portal forbids":
            app_driver.change_portal(sends_reminders=False)
        case "too late":
            let_it_end_in(app_driver, client_id, HOUR - SECOND)
    if act == "joins":
        outbox.flush()
        verification = next(mail.link for mail in mail_server.to(INVITEE) if "/verify-email/" in mail.link)
        assert nobody.post(verification).status_code == 303
    if not is_written_already:
        assert remind(app_driver) == 0
    outbox.flush()
    assert not [mail for mail in mail_server.mails if "Reminder" in str(mail.message["Subject"])]
    assert reminders(app_driver) == []


@on_sqlite
def test_reminders_wait_in_no_lane_of_mails_that_somebody_awaits(app_driver: AppDriver, client_id: UUID) -> None:
    remind(app_driver)
    (reminder,) = [mail for mail in app_driver.mails() if mail.kind is MailKind.REMINDER]
    assert reminder.queue == f"{HARBOUR}/normal"


@on_sqlite
@pytest.mark.usefixtures("client_id")
def test_who_is_to_be_reminded_is_found_by_an_index(app: Flask) -> None:
    """The clients of a large portal are not gone through every five minutes. (So few PostgreSQL reads all the same.)"""
    plans: list[str] = []

    def note(connection: Any, _cursor: object, statement: str, parameters: Any, *_more: object) -> None:
        if statement.startswith(("SELECT DISTINCT imported_client", "UPDATE imported_client SET reminded_at")):
            found = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(str(found.fetchall()))

    with app.app_context():
        db.event.listen(db.engine, "before_cursor_execute", note)
        send_reminders(Event())
        db.event.remove(db.engine, "before_cursor_execute", note)
    assert len(plans) == 2
    index = "ix_imported_client_portal_id_link_expires_at (portal_id=? AND link_expires_at>? AND link_expires_at<?)"
    assert all(index in plan for plan in plans)


@pytest.mark.usefixtures("client_id")
def test_whoever_had_as_many_mails_as_they_may_is_reminded_later(app_driver: AppDriver) -> None:
    app_driver.use_up_mails(INVITEE)
    assert remind(app_driver) == 0
    assert reminders(app_driver) == []
    app_driver.forget_limits()
    assert remind(app_driver) == 1
    assert reminders(app_driver) == [MailState.QUEUED]
