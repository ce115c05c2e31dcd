"""An invitation that comes back after a server has taken it: exactly its row says so, and what cures it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event
from uuid import UUID

import pytest
import time_machine
from flask import Flask

from app.bounces.report import READ_BYTES
from app.invitations.reminders import send_reminders
from app.jobs.schedule import run_job
from app.models import EventKind, MailKind, MailState
from tests.conftest import HARBOUR, Outbox
from tests.integration.bounces.conftest import INVITEE, REPLY, Mailman, bounce, details
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, path_of, words
from tests.support.reports import VACATION, block, complaint, report, sample
from tests.support.smtp import MailServer, Taken

NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}
DAY = timedelta(days=1)


# The row


@pytest.mark.parametrize("name", ["postfix-failed", "exim-failed", "opensmtpd-failed"])
def test_real_reports_make_the_row_bounced(
    admin: Browser, app_driver: AppDriver, mailman: Mailman, taken: Taken, name: str
) -> None:
    other = app_driver.invite("other@store.test")
    before = app_driver.client("other@store.test")
    assert '"report on a mail: bounced"' in mailman.bring(
        sample(name, taken.sender, INVITEE, taken.message["Message-ID"])
    )
    row = admin.row(HARBOUR, INVITEE)
    assert (row.status, row.delivery, row.link) == ("invite_sent", "bounced", "valid")
    assert row.health.startswith("Bounced. ")
    assert "Mail server's reply: " in row.health
    told = {"postfix": "User doesn't exist", "exim": "The mailbox is disabled", "opensmtpd": "mailbox gone"}
    assert told[name.partition("-")[0]] in row.health
    assert admin.row(HARBOUR, "other@store.test").delivery == "queued"
    assert app_driver.client("other@store.test").generation == before.generation
    assert EventKind.MAIL_BOUNCED not in app_driver.kinds(other)


@pytest.mark.both_databases
def test_it_counts_as_failed_and_is_told_in_history_export_and_panel(
    admin: Browser, app_driver: AppDriver, mailman: Mailman, client_id: UUID, taken: Taken
) -> None:
    mailman.bring(bounce(taken))
    for health in ("failed", "attention"):
        assert [row.email for row in admin.rows(HARBOUR, f"?health={health}")] == [INVITEE]
    for health in ("waiting", "expired"):
        assert admin.rows(HARBOUR, f"?health={health}") == []
    assert app_driver.kinds(client_id)[-1] is EventKind.MAIL_BOUNCED
    assert details(app_driver, EventKind.MAIL_BOUNCED) == [REPLY]
    panel = words(parse(admin.get(f"{ic(HARBOUR)}/{client_id}/history", htmx=True)))
    assert "Email bounced" in panel
    assert REPLY in panel
    line = admin.get(f"{ic(HARBOUR)}/export.csv").text.splitlines()[1]
    assert "bounced" in line
    assert REPLY in line


def test_with_a_link_that_expires_it_still_says_bounced(admin: Browser, mailman: Mailman, taken: Taken) -> None:
    mailman.bring(bounce(taken))
    with time_machine.travel(datetime.now(UTC) + 7 * DAY - timedelta(hours=1)):
        assert admin.row(HARBOUR, INVITEE).health.startswith("Bounced")


def test_the_link_stays_valid(nobody: Browser, mailman: Mailman, taken: Taken) -> None:
    mailman.bring(bounce(taken))
    assert nobody.get(taken.link).status_code == 200
    assert nobody.post(taken.link, NORA).status_code == 303


@pytest.mark.parametrize("is_other_address", [False, True])
def test_resend_and_edit_and_resend_begin_anew(
    admin: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mailman: Mailman,
    client_id: UUID,
    taken: Taken,
    is_other_address: bool,
) -> None:
    mailman.bring(bounce(taken))
    if is_other_address:
        fields = {"company_name": "Nordwind Reisen", "email": "right@nordwind.test"}
        assert admin.post(f"{ic(HARBOUR)}/{client_id}/correct", fields).status_code == 303
    else:
        assert admin.post(f"{ic(HARBOUR)}/{client_id}/resend").status_code == 303
    outbox.flush()
    (row,) = admin.rows(HARBOUR)
    assert (row.email, row.delivery) == ("right@nordwind.test" if is_other_address else INVITEE, "sent")
    # The report on the older invitation comes again.
    before = app_driver.dump()
    assert "outdated" in mailman.bring(bounce(taken))
    assert app_driver.dump() == before


# How a report finds its mail


def test_by_the_token_whatever_its_case_and_whatever_else_it_quotes(
    admin: Browser, mailman: Mailman, taken: Taken
) -> None:
    local, _, domain = taken.sender.partition("@")
    mailman.bring(report(f"{local.upper()}@{domain.upper()}", block("target@store.test")))
    assert admin.row(HARBOUR, INVITEE).delivery == "bounced"


def test_without_a_token_by_the_message_id(admin: Browser, mailman: Mailman, taken: Taken) -> None:
    mailman.bring(bounce(taken, came_to="postmaster@mail.harbour.test"))
    assert admin.row(HARBOUR, INVITEE).delivery == "bounced"


def test_a_token_of_a_former_key_counts_as_long_as_that_is_a_fallback(
    environment: dict[str, str], reconfigured: object, admin: Browser, taken: Taken
) -> None:
    new = {"SECRET_KEY": "another key that has thirty-two letters", "SECRET_KEY_FALLBACKS": environment["SECRET_KEY"]}
    Mailman(reconfigured(**new)).bring(bounce(taken))  # type: ignore[operator]
    assert admin.row(HARBOUR, INVITEE).delivery == "bounced"


def test_without_the_key_a_token_is_forged(reconfigured: object, admin: Browser, taken: Taken) -> None:
    assert "forged" in Mailman(reconfigured(SECRET_KEY="another key that has thirty-two letters")).bring(bounce(taken))  # type: ignore[operator]
    assert admin.row(HARBOUR, INVITEE).delivery == "sent"


# What changes nothing


def forged(sender: str) -> str:
    token = sender.partition("+")[2].partition("@")[0]
    other = token[:-10] + ("a" if token[-10] != "a" else "b") + token[-9:]
    return sender.replace(token, other)


def test_nothing_changes_by_what_is_no_report_on_our_mail(
    app_driver: AppDriver, mailman: Mailman, taken: Taken
) -> None:
    message_id = taken.message["Message-ID"]
    messages = {
        "forged": bounce(taken, came_to=forged(taken.sender)),
        "no token": bounce(taken, came_to=taken.sender.replace("+", "+x")),
        "vacation": VACATION.format(came_to=taken.sender, message_id=message_id).encode(),
        "relayed": bounce(taken, action="relayed", status="2.0.0"),
        "letter": f"To: {taken.sender}\nIn-Reply-To: {message_id}\nSubject: Re\n\nThank you!\n".encode(),
        "huge": f"To: {taken.sender}\nSubject: big\n\n".encode() + b"x" * 3 * READ_BYTES,
        "no MIME": bytes(range(256)) * 100 + taken.sender.encode(),
        "other id": report(
            "bounces@mail.harbour.test", block(INVITEE), message_id=f"<{'0' * 32}@clients.harbour.test>"
        ),
    }
    before = app_driver.dump()
    for kind, message in messages.items():
        mailman.bring(message)
        assert app_driver.dump() == before, kind


@pytest.mark.both_databases
def test_a_second_report_changes_nothing(app_driver: AppDriver, mailman: Mailman, taken: Taken) -> None:
    mailman.bring(bounce(taken))
    before = app_driver.dump()
    assert "repeated" in mailman.bring(bounce(taken))
    assert app_driver.dump() == before


def test_a_report_on_a_removed_client_changes_nothing(
    app_driver: AppDriver, mailman: Mailman, client_id: UUID, taken: Taken
) -> None:
    app_driver.remove(client_id)
    before = app_driver.dump()
    assert "outdated" in mailman.bring(bounce(taken))
    assert app_driver.dump() == before


@pytest.mark.both_databases
def test_of_somebody_who_has_joined_only_the_history_tells_it(
    app: Flask, admin: Browser, nobody: Browser, app_driver: AppDriver, outbox: Outbox, mailman: Mailman, taken: Taken
) -> None:
    nobody.post(taken.link, NORA)
    outbox.flush()
    link = next(mail for mail in app_driver.mails() if mail.kind is MailKind.VERIFICATION)
    assert link.state is MailState.SENT
    nobody.post(_verification(app, app_driver), {})
    assert admin.row(HARBOUR, INVITEE).status == "joined"
    client, mails = app_driver.client(INVITEE), [(mail.id, mail.state) for mail in app_driver.mails()]
    assert "late" in mailman.bring(bounce(taken))
    assert "repeated" in mailman.bring(bounce(taken))
    assert details(app_driver, EventKind.MAIL_BOUNCED) == [REPLY]
    row = admin.row(HARBOUR, INVITEE)
    assert (row.status, row.delivery) == ("joined", "sent")
    assert [(mail.id, mail.state) for mail in app_driver.mails()] == mails
    assert app_driver.client(INVITEE).joined_at == client.joined_at
    assert admin.rows(HARBOUR, "?health=failed") == []


def _verification(app: Flask, app_driver: AppDriver) -> str:
    from app.outbox.kinds import rules_of

    (mail,) = [mail for mail in app_driver.mails() if mail.kind is MailKind.VERIFICATION]
    return path_of(app_driver.do(rules_of(mail.kind).link, mail))


def test_one_of_an_account_mail_is_logged_only(
    nobody: Browser, app_driver: AppDriver, outbox: Outbox, mailman: Mailman, mail_server: MailServer, taken: Taken
) -> None:
    nobody.post(taken.link, NORA)
    outbox.flush()
    verification = mail_server.wait_for(INVITEE, count=2)
    before = app_driver.dump()
    assert "account" in mailman.bring(report(verification.sender, block(INVITEE)))
    assert app_driver.dump() == before


# Delays and complaints


@pytest.mark.both_databases
def test_a_delay_is_one_line_in_the_history(
    admin: Browser, app_driver: AppDriver, mailman: Mailman, client_id: UUID, taken: Taken
) -> None:
    delayed = sample("postfix-delayed", taken.sender, INVITEE, taken.message["Message-ID"])
    assert "delayed" in mailman.bring(delayed)
    assert "repeated" in mailman.bring(delayed)
    assert details(app_driver, EventKind.MAIL_DELAYED) == ["host mx.away.example is away"]
    assert admin.row(HARBOUR, INVITEE).delivery == "sent"
    assert "Email delayed" in words(parse(admin.get(f"{ic(HARBOUR)}/{client_id}/history", htmx=True)))
    mailman.bring(bounce(taken))
    assert admin.row(HARBOUR, INVITEE).delivery == "bounced"


@pytest.mark.both_databases
def test_a_complaint_counts_as_declined(
    admin: Browser, nobody: Browser, app_driver: AppDriver, mailman: Mailman, client_id: UUID, taken: Taken
) -> None:
    told = complaint("fbl@mail.harbour.test", taken.message["Message-ID"], sent_from=taken.sender)
    assert "complained" in mailman.bring(told)
    before = app_driver.dump()
    assert "repeated" in mailman.bring(told)
    assert app_driver.dump() == before
    row = admin.row(HARBOUR, INVITEE)
    assert (row.status, row.delivery, row.link) == ("invite_sent", "sent", "valid")
    assert row.health == "Declined by recipient"
    assert app_driver.mail(INVITEE).state is MailState.COMPLAINED
    panel = words(parse(admin.get(f"{ic(HARBOUR)}/{client_id}/history", htmx=True)))
    assert "Reported as spam by the recipient" in panel
    assert nobody.get(taken.link).status_code == 200


# Reminders


@pytest.mark.both_databases
@pytest.mark.parametrize("told", ["bounced", "complained"])
def test_no_reminder_goes_to_who_was_not_reached_or_complained(
    app_driver: AppDriver, mailman: Mailman, taken: Taken, client_id: UUID, told: str
) -> None:
    app_driver.change_portal(sends_reminders=True)
    app_driver.let_link_lapse(client_id, datetime.now(UTC) + DAY)
    mailman.bring(bounce(taken) if told == "bounced" else complaint(taken.sender, taken.message["Message-ID"]))
    assert app_driver.do(send_reminders, Event()) == 0


def test_a_reminder_that_waits_is_not_sent_after_a_bounce(
    app_driver: AppDriver, outbox: Outbox, mailman: Mailman, mail_server: MailServer, taken: Taken, client_id: UUID
) -> None:
    app_driver.change_portal(sends_reminders=True)
    app_driver.let_link_lapse(client_id, datetime.now(UTC) + DAY)
    assert app_driver.do(send_reminders, Event()) == 1
    mailman.bring(bounce(taken))
    outbox.flush()
    assert len(mail_server.to(INVITEE)) == 1


@pytest.mark.both_databases
def test_a_report_on_a_reminder_counts_as_one_on_its_invitation(
    app: Flask,
    admin: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mailman: Mailman,
    mail_server: MailServer,
    taken: Taken,
    client_id: UUID,
) -> None:
    app_driver.change_portal(sends_reminders=True)
    app_driver.let_link_lapse(client_id, datetime.now(UTC) + DAY)
    run_job(app, "send-reminders")
    outbox.flush()
    reminder = mail_server.wait_for(INVITEE, count=2)
    assert reminder.sender != taken.sender
    mailman.bring(bounce(reminder))
    assert admin.row(HARBOUR, INVITEE).delivery == "bounced"
    assert [mail.state for mail in app_driver.mails()] == [MailState.BOUNCED] * 2
    assert "repeated" in mailman.bring(bounce(taken))
