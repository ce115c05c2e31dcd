"""What an operator sees of the outbox and does to it: `flask --app wsgi outbox ...`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import text as sql

from app.db.transactions import transaction
from app.models import EventKind, MailState
from app.models.types import db_now
from app.outbox.errors import ServerMisconfigured
from app.outbox.maintenance import find_mail, retry_failed
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.factories import invite
from tests.support.smtp import MailServer
from tests.support.together import at_once

INVITEE = "info@nordwind.test"
NEVER = "550 5.1.1 <info@nordwind.test> is nobody here"


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["outbox", *words])


def printed(app: Flask, *words: str) -> list[list[str]]:
    """The lines of a command's table, as cells."""
    done = run(app, *words)
    assert (done.exit_code, done.stderr) == (0, "")
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in done.stdout.splitlines()]


def refusal(app: Flask, *words: str) -> str:
    refused = run(app, *words)
    assert (refused.exit_code, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    return str(line)


@pytest.fixture
def failed(app_driver: AppDriver, outbox: Outbox, mail_server: MailServer) -> str:
    """The id of an invitation that the mail server has refused for good."""
    mail_server.refuse[INVITEE] = NEVER
    app_driver.invite(INVITEE)
    outbox.flush()
    mail = app_driver.mail(INVITEE)
    assert mail.state is MailState.FAILED
    mail_server.refuse.clear()
    return str(mail.id)


# status


def test_the_status_names_paused_servers_with_the_reason(app: Flask, app_driver: AppDriver) -> None:
    app_driver.invite(INVITEE)
    app_driver.pause("", ServerMisconfigured("The mail server answered RCPT TO with: 554 5.7.1 <ada@x.test> denied"))
    *_, heading, line = printed(app, "status")
    assert heading == ["PAUSED SERVER", "SINCE", "NEXT ATTEMPT", "REASON"]
    assert line[0] == "(deployment)"
    assert "554 5.7.1" in line[3]
    assert "ada@x.test" not in line[3]
    assert line[1].startswith(f"{datetime.now(UTC):%Y-%m-}")


def test_a_waiting_mail_can_be_hurried(app: Flask, app_driver: AppDriver) -> None:
    app_driver.invite(INVITEE)
    mail = app_driver.mail(INVITEE)
    app_driver.change_mail(mail.id, due_at=db_now(3600))
    assert run(app, "retry", str(mail.id)).stdout == "1 queued again\n"
    assert app_driver.seconds_until_due(INVITEE) <= 0


@pytest.mark.both_databases
def test_the_status_counts_mails_by_state_and_portal(
    app: Flask, nobody: Browser, app_driver: AppDriver, failed: str
) -> None:
    assert run(app, "status").exit_code == 0
    app_driver.invite("second@nordwind.test")
    app_driver.do(invite, ALPINE, "third@nordwind.test", "Nordwind", "olaf@alpine.test")
    app_driver.change_mail(
        app_driver.mail("third@nordwind.test").id, created_at=datetime.now(UTC) - timedelta(hours=3, minutes=1)
    )
    nobody.post("/password-reset", {"email": "ada@harbour.test"})
    heading, *lines = printed(app, "status")
    assert heading == ["STATE", "PORTAL", "MAILS", "OLDEST"]
    assert [line[:3] for line in lines] == [
        ["queued", "(all)", "3"],
        ["(none)", "1", lines[1][2]],
        [ALPINE, "1", "3 h"],
        [HARBOUR, "1", lines[3][2]],
        ["failed", "(all)", "1"],
        [HARBOUR, "1", lines[5][2]],
    ]
    assert lines[0][3] == "3 h"


def test_the_columns_stand_below_each_other(app: Flask, failed: str) -> None:
    heading, *lines = run(app, "status").stdout.splitlines()
    for word, first in (("PORTAL", "(all)"), ("MAILS", "1")):
        assert lines[0].index(first) == heading.index(word)


def test_an_empty_outbox_has_a_status(app: Flask) -> None:
    assert printed(app, "status") == [["STATE", "PORTAL", "MAILS", "OLDEST"]]


# show


def test_one_mail_is_shown_without_its_link_and_whole_address(app: Flask, app_driver: AppDriver, failed: str) -> None:
    facts = {line[0]: " ".join(line[1:]) for line in printed(app, "show", failed)}
    mail = app_driver.mail(INVITEE)
    assert facts["id"] == failed
    assert facts["kind"] == "invitation"
    assert facts["portal"] == HARBOUR
    assert facts["client"] == str(mail.client_id)
    assert facts["account"] == "-"
    assert facts["state"] == "failed"
    assert facts["attempts"] == "1"
    assert facts["lease"] == facts["lease until"] == facts["sent"] == "-"
    assert facts["due"] == str(mail.due_at)
    assert facts["recipient"] == "i…@nordwind.test"
    assert "550 5.1.1 <i…@nordwind.test> is nobody here" in facts["last error"]
    text = run(app, "show", failed).stdout
    assert INVITEE not in text
    assert mail.client_id is not None
    assert app_driver.link(mail.client_id).rpartition("/")[2] not in text


# retry


@pytest.mark.both_databases
def test_a_failed_mail_is_queued_again_as_if_it_were_new_and_goes_out(
    app: Flask, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, failed: str
) -> None:
    app_driver.change_mail(app_driver.mail(INVITEE).id, attempts=24, due_at=db_now(1000))
    done = run(app, "retry", failed)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "1 queued again\n", "")
    mail = app_driver.mail(INVITEE)
    assert (mail.state, mail.attempts, mail.last_error) == (MailState.QUEUED, 0, None)
    assert app_driver.seconds_until_due(INVITEE) <= 0
    assert admin.row(HARBOUR, INVITEE).delivery == "queued"
    outbox.flush()
    assert len(mail_server.to(INVITEE)) == 1
    assert app_driver.mail(INVITEE).state is MailState.SENT
    assert mail.client_id is not None
    assert app_driver.kinds(mail.client_id)[-2:] == [EventKind.MAIL_FAILED, EventKind.MAIL_SENT]


def test_what_cannot_be_tried_again_is_said_in_one_line(app: Flask, app_driver: AppDriver, failed: str) -> None:
    unknown = str(uuid4())
    for verb in ("retry", "show"):
        assert unknown in refusal(app, verb, unknown)
    app_driver.invite("second@nordwind.test")
    being_sent = app_driver.claim_one()
    assert "sending" in refusal(app, "retry", str(being_sent.id))
    assert "nowhere" in refusal(app, "retry", "--failed", "--portal", "nowhere")
    assert app_driver.mail("second@nordwind.test").lease_id == being_sent.lease_id


def test_a_mail_that_nobody_wants_any_more_is_left_alone(
    app: Flask, nobody: Browser, app_driver: AppDriver, failed: str
) -> None:
    # Its link has been used: the server had taken the mail at an earlier try, and never said so.
    app_driver.change_mail(UUID(failed), unknown_outcomes=1)
    link = app_driver.link(app_driver.client(INVITEE).id)
    nobody.post(link, {"name": "Nora Wind", "password": "a long enough passphrase"})
    assert "no longer wanted" in refusal(app, "retry", failed)
    assert run(app, "retry", "--failed").stdout == "0 queued again\n"
    assert app_driver.do(find_mail, UUID(failed)).state is MailState.FAILED


def test_a_database_that_was_never_set_up_is_told_in_one_line(app: Flask) -> None:
    rename = "ALTER TABLE {} RENAME TO {}"
    with app.app_context(), transaction() as session:
        session.execute(sql(rename.format("outbox_mail", "elsewhere")))
    try:
        told = run(app, "status")
    finally:
        with app.app_context(), transaction() as session:
            session.execute(sql(rename.format("elsewhere", "outbox_mail")))
    assert told.exit_code == 1
    assert re.fullmatch(r"Error: The database can't be used right now: .*outbox_mail.*db upgrade\)\.\n", told.stderr)


def test_a_command_that_says_not_what_is_meant_does_nothing(app: Flask, app_driver: AppDriver, failed: str) -> None:
    for words in ((), ("--portal", HARBOUR), (str(UUID(int=1)), "--failed"), ("not-an-id",)):
        assert run(app, "retry", *words).exit_code == 2, words
        assert app_driver.mail(INVITEE).state is MailState.FAILED, words


@pytest.mark.both_databases
def test_all_failed_mails_are_queued_again_or_those_of_one_portal(app: Flask, app_driver: AppDriver) -> None:
    emails = [f"client{n}@nordwind.test" for n in range(250)]
    for portal_id, actor, chosen in (
        (HARBOUR, "ada@harbour.test", emails[:3]),
        (ALPINE, "olaf@alpine.test", emails[3:6]),
    ):
        for email in chosen:
            app_driver.do(invite, portal_id, email, "Nordwind", actor)
            app_driver.change_mail(app_driver.mail(email).id, state=MailState.FAILED, attempts=24)
    assert run(app, "retry", "--failed", "--portal", ALPINE).stdout == "3 queued again\n"
    states = {mail.recipient: mail.state for mail in app_driver.mails()}
    assert [states[email] for email in emails[:6]] == [MailState.FAILED] * 3 + [MailState.QUEUED] * 3
    assert run(app, "retry", "--failed").stdout == "3 queued again\n"
    assert run(app, "retry", "--failed").stdout == "0 queued again\n"


@pytest.mark.both_databases
def test_of_two_operators_who_retry_at_once_each_mail_is_counted_by_one(app_driver: AppDriver) -> None:
    emails = [f"client{n}@nordwind.test" for n in range(8)]
    for email in emails:
        app_driver.invite(email)
        app_driver.change_mail(app_driver.mail(email).id, state=MailState.FAILED)
    assert sum(at_once([partial(app_driver.do, retry_failed)] * 4)) == len(emails)
