"""The outbox: a mail goes out if and only if what caused it was committed, once, and whatever happens in between."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from uuid import UUID

import pytest
import time_machine
from bs4 import BeautifulSoup
from flask import Flask
from sqlalchemy import select, text, update

from app.branding.policy import PortalPolicy
from app.branding.resolved import ResolvedBranding
from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.models import EventKind, MailKind, MailState, OutboxMail, Portal
from app.models.types import db_now
from app.outbox import queue
from app.outbox.enqueue import enqueue
from app.outbox.errors import PermanentFailure, ServerUnavailable, TransientFailure
from app.outbox.kinds import still_wanted
from app.outbox.render import render
from app.outbox.routing import deployment_route
from app.outbox.smtp import SmtpConnection
from app.registration.service import accept, register
from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, path_of, words
from tests.support.factories import import_file, make_user
from tests.support.scripted_smtp import Reply, ScriptedSmtp
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

INVITEE = "info@nordwind.test"
DAY = 24 * 60 * 60
PASSPHRASE = "a long enough passphrase"
ONCE_MORE = "451 4.3.0 the wind is against us"
NEVER = "550 5.1.1 nobody of that name here"


def later(**delta: float) -> time_machine.travel:
    """Move the application's clock on; the database's stays."""
    return time_machine.travel(datetime.now(UTC) + timedelta(**delta), tick=True)


# In the transaction that causes it


class MissingTable:
    """Takes a table away, so that whoever writes there fails in the middle, and brings it back."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._taken: str | None = None

    def take(self, table: str) -> None:
        self._rename(table, f"{table}_away")
        self._taken = table

    def bring_back(self) -> None:
        if self._taken:
            self._rename(f"{self._taken}_away", self._taken)
            self._taken = None

    def _rename(self, old: str, new: str) -> None:
        with self._app.app_context(), transaction() as session:
            session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


@pytest.fixture
def missing(app: Flask) -> Iterator[MissingTable]:
    table = MissingTable(app)
    yield table
    table.bring_back()


@pytest.mark.parametrize("table", ["outbox_mail", "client_event"])
def test_an_add_that_fails_halfway_leaves_neither_client_nor_mail(
    admin: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    missing: MissingTable,
    table: str,
) -> None:
    before = app_driver.dump()
    fields = {"company_name": "Nordwind Reisen", "email": INVITEE}
    admin.csrf_token()
    missing.take(table)
    failed = admin.post(ic(HARBOUR), fields)
    missing.bring_back()
    assert failed.status_code in {500, 503}
    assert "Nothing was done" in failed.text
    assert app_driver.dump() == before
    outbox.flush()
    assert mail_server.mails == []
    assert admin.post(ic(HARBOUR), fields).status_code == 303
    outbox.flush()
    assert len(mail_server.mails) == 1


def test_a_mail_of_a_transaction_that_is_rolled_back_is_never_sent(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    outbox.flush()

    def fail_after_resending() -> None:
        with transaction() as session:
            enqueue(
                MailKind.INVITATION,
                recipient=INVITEE,
                generation=2,
                portal_id=HARBOUR,
                client_id=client_id,
                params={},
            )
            session.flush()
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        app_driver.do(fail_after_resending)
    outbox.flush()
    assert len(app_driver.mails()) == len(mail_server.mails) == 1


# Queued, sending, sent


def test_a_mail_is_queued_then_being_sent_then_sent(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    row = admin.row(HARBOUR, INVITEE)
    assert row.delivery == "queued"
    assert "Waiting to be sent" in row.health

    mail = app_driver.claim_one()
    row = admin.row(HARBOUR, INVITEE)
    assert row.delivery == "sending"
    assert "Being sent" in row.health

    app_driver.release(mail)
    assert admin.row(HARBOUR, INVITEE).delivery == "queued"
    asked_for = app_driver.client(INVITEE).email_last_sent_at
    outbox.flush()
    row = admin.row(HARBOUR, INVITEE)
    assert row.delivery == "sent"
    assert "mail server" in row.health
    assert "delivered" not in row.health.lower()
    client, mail = app_driver.client(INVITEE), app_driver.mail(INVITEE)
    assert client.email_last_sent_at == mail.sent_at > asked_for
    assert (mail.state, mail.attempts, mail.lease_id, mail.last_error) == (MailState.SENT, 1, None, None)
    assert app_driver.kinds(client_id) == [EventKind.INVITED, EventKind.MAIL_QUEUED, EventKind.MAIL_SENT]

    outbox.flush()
    assert len(mail_server.mails) == 1


# Not this time: 4xx


def test_a_temporary_refusal_is_tried_again_after_growing_pauses(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    mail_server.refuse[INVITEE] = ONCE_MORE
    client_id = app_driver.invite(INVITEE)
    pauses = []
    for attempt in range(1, 11):
        outbox.flush()
        mail = app_driver.mail(INVITEE)
        assert (mail.state, mail.attempts, mail.lease_id) == (MailState.QUEUED, attempt, None)
        pauses.append(app_driver.seconds_until_due(INVITEE))
        outbox.flush()
        assert app_driver.mail(INVITEE).attempts == attempt, "it was tried again before its time"
        app_driver.make_due()
    assert 5 < pauses[0] <= 30
    assert 30 < pauses[1] <= 90
    assert all(one < next_one for one, next_one in pairwise(pauses[:6]))
    assert min(pauses[7:]) > 60 * 60
    assert max(pauses) < 5 * 60 * 60

    row = admin.row(HARBOUR, INVITEE)
    assert row.delivery == "queued"
    assert "Waiting to be sent" in row.health
    assert ONCE_MORE in row.health
    assert row.link == "valid"

    mail_server.refuse.clear()
    outbox.flush()
    assert admin.row(HARBOUR, INVITEE).delivery == "sent"
    assert ONCE_MORE not in admin.row(HARBOUR, INVITEE).health
    assert app_driver.kinds(client_id) == [EventKind.INVITED, EventKind.MAIL_QUEUED, EventKind.MAIL_SENT]


def test_pauses_differ_so_that_a_thousand_mails_do_not_return_together(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    people = [f"client{n}@nordwind.test" for n in range(8)]
    for person in people:
        mail_server.refuse[person] = ONCE_MORE
        app_driver.invite(person)
    outbox.flush()
    pauses = [app_driver.seconds_until_due(person) for person in people]
    assert max(pauses) - min(pauses) > 1


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
def test_after_three_days_of_attempts_it_is_given_up(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, step: str
) -> None:
    (mail_server.refuse if step == "RCPT" else mail_server.refuse_data)[INVITEE] = ONCE_MORE
    client_id = app_driver.invite(INVITEE)
    pauses = 0.0
    while app_driver.mail(INVITEE).state is MailState.QUEUED:
        assert pauses < 3.5 * DAY
        outbox.flush()
        pauses += max(app_driver.seconds_until_due(INVITEE), 0)
        app_driver.make_due()
    assert pauses > 2.5 * DAY
    assert app_driver.mail(INVITEE).state is MailState.FAILED
    assert app_driver.kinds(client_id)[-1] is EventKind.MAIL_FAILED
    row = admin.row(HARBOUR, INVITEE)
    assert (row.status, row.delivery) == ("invite_sent", "failed")
    assert ONCE_MORE in row.health


# Never: 5xx


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
def test_a_refusal_for_good_fails_at_once_and_resend_cures_it(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, step: str
) -> None:
    refusing = mail_server.refuse if step == "RCPT" else mail_server.refuse_data
    refusing[INVITEE] = NEVER
    client_id = app_driver.invite(INVITEE)
    app_driver.invite("other@nordwind.test")
    outbox.flush()
    row = admin.row(HARBOUR, INVITEE)
    assert (row.status, row.delivery, row.buttons) == ("invite_sent", "failed", ["Resend Invite", "Remove"])
    assert NEVER in row.health
    assert "resend or remove" in row.health
    assert app_driver.mail(INVITEE).attempts == 1
    assert admin.row(HARBOUR, "other@nordwind.test").delivery == "sent"

    app_driver.make_due()
    outbox.flush()
    assert app_driver.mail(INVITEE).attempts == 1

    refusing.clear()
    assert admin.post(f"{ic(HARBOUR)}/{client_id}/resend").status_code == 303
    assert admin.row(HARBOUR, INVITEE).delivery == "queued"
    outbox.flush()
    row = admin.row(HARBOUR, INVITEE)
    assert row.delivery == "sent"
    assert NEVER not in row.health
    assert mail_server.wait_for(INVITEE).link == app_driver.link(client_id, 2)


def test_what_a_server_says_is_text_and_no_markup(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    mail_server.refuse[INVITEE] = "550 <script>alert(1)</script> " + "x" * 700
    app_driver.invite(INVITEE)
    outbox.flush()
    page = admin.get(ic(HARBOUR))
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<script>alert(1)</script>" in admin.row(HARBOUR, INVITEE).health
    assert len(app_driver.mail(INVITEE).last_error or "") <= 500


# The server itself is at fault


def test_while_the_server_is_down_mails_wait_and_no_attempt_is_burnt(
    admin: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    reconfigured: Callable[..., Flask],
) -> None:
    people = [f"client{n}@nordwind.test" for n in range(7)]
    for person in people:
        app_driver.invite(person)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody_listens = listener.getsockname()[1]
    cut_off = reconfigured(MAIL_PORT=str(nobody_listens))
    for _ in range(5):
        Outbox(cut_off).flush()
        for row in admin.rows(HARBOUR):
            assert (row.status, row.delivery) == ("invite_sent", "queued")
            assert "Waiting to be sent" in row.health
            assert "The mail server cannot be reached" in row.health
        for mail in app_driver.mails():
            assert (mail.attempts, mail.lease_id) == (0, None)
        assert 0 < app_driver.seconds_until_tried("") <= 10
        app_driver.end_server_pauses()
    outbox.flush()
    assert sorted(mail.recipient for mail in mail_server.mails) == people
    assert {row.delivery for row in admin.rows(HARBOUR)} == {"sent"}
    assert {mail.attempts for mail in app_driver.mails()} == {1}


@pytest.mark.parametrize(
    "script",
    [
        {"banner": Reply("421 too busy", then_close=True)},
        {"ehlo": Reply("554 not you")},
        {"mail": Reply("550 this sender is not welcome")},
        {"mail": Reply("530 sign in first")},
    ],
    ids=["busy", "unwelcome", "sender refused", "sign-in wanted"],
)
def test_a_server_that_refuses_everybody_is_held_against_nobody(
    admin: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    reconfigured: Callable[..., Flask],
    script: dict[str, Reply],
) -> None:
    app_driver.invite(INVITEE)
    with ScriptedSmtp(script) as server:  # type: ignore[arg-type]
        elsewhere = reconfigured(MAIL_PORT=str(server.port))
        with later(days=4):
            Outbox(elsewhere).flush()
        assert server.mails == []
    row = admin.row(HARBOUR, INVITEE)
    assert row.delivery == "queued"
    (said,) = script.values()
    assert said.text in row.health
    mail = app_driver.mail(INVITEE)
    assert (mail.state, mail.attempts) == (MailState.QUEUED, 0)
    app_driver.make_due()
    outbox.flush()
    assert mail_server.wait_for(INVITEE)


def test_without_a_mail_server_mails_wait_and_the_tab_says_so_until_there_is_one(
    admin: Browser,
    staff: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    reconfigured: Callable[..., Flask],
) -> None:
    bare = reconfigured(MAIL_SERVER=None, MAIL_PORT=None)
    at_bare = admin.twin(bare)
    saved = at_bare.post(ic(HARBOUR), {"company_name": "Nordwind Reisen", "email": INVITEE})
    assert saved.status_code == 303
    Outbox(bare).flush()
    assert (app_driver.mail(INVITEE).state, app_driver.mail(INVITEE).attempts) == (MailState.QUEUED, 0)
    for viewer in (at_bare, staff.twin(bare)):
        notice = words(parse(viewer.get(ic(HARBOUR))).select_one(".notice.warning"))
        assert "not being sent" in notice
        assert "1 invitation is waiting" in notice
    assert at_bare.row(HARBOUR, INVITEE).delivery == "queued"

    assert not parse(admin.get(ic(HARBOUR))).select(".notice.warning")
    outbox.flush()
    assert mail_server.wait_for(INVITEE)
    assert "0 invitations are waiting" in words(parse(at_bare.get(ic(HARBOUR))).select_one(".notice.warning"))


# One bad mail


def test_a_mail_that_cannot_be_built_fails_alone(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    people = [f"client{n:02}@nordwind.test" for n in range(31)]
    for person in people:
        app_driver.invite(person)
    bad = "client07@nordwind.test"
    app_driver.change_mail(app_driver.mail(bad).id, params={})
    outbox.flush()
    assert sorted(mail.recipient for mail in mail_server.mails) == [person for person in people if person != bad]
    delivery = {row.email: row.delivery for row in admin.rows(HARBOUR)}
    assert delivery.pop(bad) == "failed"
    assert set(delivery.values()) == {"sent"}
    assert "could not be built" in admin.row(HARBOUR, bad).health
    outbox.flush()
    assert app_driver.mail(bad).attempts == 1


# The last look


def _remove(app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.remove(client_id)


def _resend(app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.resend(client_id)


def _register(app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.do(register, app_driver.link(client_id).rpartition("/")[2], "Nora Wind", PASSPHRASE)


def _join(app_driver: AppDriver, client_id: UUID) -> None:
    user_id = app_driver.do(make_user, INVITEE, "Nora Wind")
    app_driver.do(accept, app_driver.link(client_id).rpartition("/")[2], user_id)


@pytest.mark.parametrize("meanwhile", [_remove, _resend, _register, _join])
def test_a_mail_that_has_become_pointless_while_it_waited_is_not_sent(
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    meanwhile: Callable[[AppDriver, UUID], None],
) -> None:
    client_id = app_driver.invite(INVITEE)
    meanwhile(app_driver, client_id)
    outbox.flush()
    expected = [app_driver.link(client_id, 2)] if meanwhile is _resend else []
    invitations = [mail.link for mail in mail_server.mails if "/invitations/" in mail.link]
    assert invitations == expected


# Leases and fencing


def test_a_lease_that_is_over_is_taken_by_another_and_not_before(app_driver: AppDriver) -> None:
    app_driver.invite(INVITEE)
    first = app_driver.claim_one()
    assert app_driver.do(queue.has_due_mail) is False
    assert app_driver.claim() == []
    held_for = app_driver.do(lambda: db.session.execute(db.select(OutboxMail.lease_until, db_now())).one())
    assert 30 < (held_for[0] - held_for[1]).total_seconds() <= 60

    app_driver.end_leases()
    assert app_driver.do(queue.has_due_mail) is True
    again = app_driver.claim_one()
    assert (again.id, again.lease_id != first.lease_id) == (first.id, True)


def test_what_a_process_has_in_hand_it_does_not_take_for_lapsed(app_driver: AppDriver) -> None:
    """Its database was away for longer than a lease, and the server has taken the mail meanwhile."""
    app_driver.invite(INVITEE)
    app_driver.invite("other@nordwind.test")
    in_hand, other = app_driver.claim()
    app_driver.end_leases()
    app_driver.free_lapsed(in_hand)
    assert {mail.id: mail.state for mail in app_driver.mails()} == {
        in_hand.id: MailState.SENDING,
        other.id: MailState.QUEUED,
    }
    app_driver.settle(in_hand)
    assert app_driver.mail(in_hand.recipient).state == MailState.SENT


def test_a_machine_whose_clock_is_wrong_takes_nothing_from_others(app_driver: AppDriver) -> None:
    app_driver.invite(INVITEE)
    app_driver.claim_one()
    with later(minutes=10):
        assert app_driver.claim() == []
    app_driver.invite("other@nordwind.test")
    with later(minutes=-10):
        assert len(app_driver.claim()) == 1


LATE = "late words"
SETTLINGS: dict[str, Callable[[AppDriver, OutboxMail], None]] = {
    "sent": lambda app_driver, mail: app_driver.settle(mail),
    "failed": lambda app_driver, mail: app_driver.settle(mail, PermanentFailure(LATE)),
    "later": lambda app_driver, mail: app_driver.settle(mail, TransientFailure(LATE)),
    "server at fault": lambda app_driver, mail: app_driver.settle(mail, ServerUnavailable(LATE)),
    "released": lambda app_driver, mail: app_driver.release(mail),
}


@pytest.mark.parametrize("settling", SETTLINGS.values(), ids=SETTLINGS)
@pytest.mark.parametrize("new_holder", ["holds it", "has sent it", "has failed"])
def test_an_old_holder_that_wakes_too_late_changes_nothing(
    app_driver: AppDriver, settling: Callable[[AppDriver, OutboxMail], None], new_holder: str
) -> None:
    app_driver.invite(INVITEE)
    old = app_driver.claim_one()
    app_driver.end_leases()
    newer = app_driver.claim_one()
    assert newer.attempts == 2
    if new_holder == "has sent it":
        app_driver.settle(newer)
    elif new_holder == "has failed":
        app_driver.settle(newer, PermanentFailure("no such person"))

    before = app_driver.dump()
    settling(app_driver, old)
    assert app_driver.dump() == before

    if new_holder == "holds it":
        app_driver.settle(newer)
        assert app_driver.mail(INVITEE).state is MailState.SENT


def test_a_hand_off_that_was_overtaken_by_a_resend_does_not_date_the_new_link(app_driver: AppDriver) -> None:
    """The older mail was under way when the admin pressed Resend: its hand-off says nothing about the newer one."""
    client_id = app_driver.invite(INVITEE)
    mail = app_driver.claim_one()
    app_driver.resend(client_id)
    asked_again = app_driver.client(INVITEE).email_last_sent_at
    app_driver.settle(mail)
    client = app_driver.client(INVITEE)
    assert (client.email_last_sent_at, client.link_expires_at) == (asked_again, None)
    assert EventKind.MAIL_SENT not in app_driver.kinds(client_id)


def test_concurrent_claims_share_no_mail(app_driver: AppDriver) -> None:
    app_driver.do(import_file, HARBOUR, *(f"client{n}@nordwind.test" for n in range(48)))
    for _ in range(3):
        claims = at_once([partial(app_driver.claim, 8) for _ in range(6)])
        leases = [{mail.lease_id for mail in mails} for mails in claims]
        assert all(len(ids) == 1 for ids in leases)
        assert len(set.union(*leases)) == 6
        assert max(map(len, claims)) <= 8
        taken = [mail.id for mails in claims for mail in mails]
        assert len(taken) == len(set(taken))
        assert all(mail.lease_id in set.union(*leases) for mail in app_driver.mails() if mail.id in taken)
        while left := app_driver.claim(8):
            taken += [mail.id for mail in left]
        assert sorted(taken) == sorted(mail.id for mail in app_driver.mails())
        app_driver.make_all_wait()


def test_a_claim_takes_the_oldest_first(app_driver: AppDriver) -> None:
    people = [f"client{n}@nordwind.test" for n in range(5)]
    for person in people:
        app_driver.invite(person)
    claimed = app_driver.claim(3) + app_driver.claim(3)
    assert [mail.recipient for mail in claimed] == people


def test_two_flushes_at_once_over_a_hundred_mails_send_each_once(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, reconfigured: Callable[..., Flask]
) -> None:
    people = sorted(f"client{n}@nordwind.test" for n in range(100))
    app_driver.do(import_file, HARBOUR, *people)
    at_once([outbox.flush, Outbox(reconfigured()).flush])
    outbox.flush()
    assert sorted(mail.recipient for mail in mail_server.mails) == people
    assert {(mail.state, mail.attempts) for mail in app_driver.mails()} == {(MailState.SENT, 1)}


def test_a_repeat_after_a_crash_is_the_same_mail_with_the_same_link(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, app: Flask
) -> None:
    client_id = app_driver.invite(INVITEE)
    claimed = app_driver.claim_one()

    def send_and_die() -> None:
        route = deployment_route(app.config["SETTINGS"])
        assert route is not None
        with SmtpConnection(route.server) as connection:
            connection.send(
                render(claimed, now(), route, PortalPolicy(ResolvedBranding("Harbour Tours"), timedelta(days=7)))
            )

    app_driver.do(send_and_die)
    outbox.flush()
    assert len(mail_server.mails) == 1, "the lease still runs"
    app_driver.end_leases()
    outbox.flush()
    first, second = mail_server.to(INVITEE)
    assert first.message["Message-ID"] == second.message["Message-ID"] == app_driver.mail(INVITEE).message_id
    assert first.link == second.link == app_driver.link(client_id)

    app_driver.resend(client_id)
    outbox.flush()
    third = mail_server.wait_for(INVITEE, count=3)
    assert third.message["Message-ID"] != first.message["Message-ID"]
    assert third.link != first.link


# What a mail is


def test_an_invitation_is_a_mail_that_any_program_reads(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    name = "Überseereisen & Söhne „Nordwind“ GmbH – 旅行社"
    client_id = app_driver.invite(INVITEE, name)
    outbox.flush()
    mail = mail_server.wait_for(INVITEE)
    message = mail.message
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Reply-To"] == "ada@harbour.test"
    assert message["Message-ID"] == app_driver.mail(INVITEE).message_id
    assert re.fullmatch(r"<[0-9a-f]{32}@clients\.harbour\.test>", message["Message-ID"])
    assert message["From"] == "Imported Clients <no-reply@harbour.test>"
    assert message["To"] == INVITEE
    assert mail.sender == "no-reply@harbour.test"
    assert "Harbour Tours" in message["Subject"]
    assert name in message["Subject"]
    sent_at = message["Date"].datetime
    assert abs(sent_at - app_driver.mail(INVITEE).sent_at) < timedelta(seconds=5)
    for header in ("Subject", "Message-ID", "Date", "From", "To", "Auto-Submitted", "MIME-Version"):
        assert len(message.get_all(header)) == 1

    assert mail.link == app_driver.link(client_id)
    assert mail.text.count("http") == 1
    for said in ("Harbour Tours", name, INVITEE, "Ada Berg", "ada@harbour.test", "7 days"):
        assert said in mail.text
        assert said in words(BeautifulSoup(mail.html, "html.parser"))
    expires_at = app_driver.client(INVITEE).link_expires_at
    assert expires_at is not None
    assert f"{expires_at.day} {expires_at:%B %Y}" in mail.text


@pytest.mark.parametrize("letter", ["W", "旅", "i. "])
def test_the_longest_names_make_no_line_too_long(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, letter: str
) -> None:
    name = (letter * 100)[:99] + "."

    def rename() -> None:
        with transaction() as session:
            session.execute(update(Portal).where(Portal.id == HARBOUR).values(name=name))

    app_driver.do(rename)
    app_driver.invite(INVITEE, name)
    outbox.flush()
    mail = mail_server.wait_for(INVITEE)
    assert max(len(line) for line in mail.raw.split(b"\r\n")) <= 998
    assert mail.raw.isascii()
    assert b"\n" not in mail.raw.replace(b"\r\n", b"")
    assert name in mail.message["Subject"]
    assert name in mail.text


def test_no_link_token_or_password_is_kept_or_logged(
    admin: Browser,
    nobody: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    admin.post(ic(HARBOUR), {"company_name": "Nordwind Reisen", "email": INVITEE})
    admin.post(ic(HARBOUR), {"company_name": "Refused", "email": "refused@nordwind.test"})
    mail_server.refuse["refused@nordwind.test"] = NEVER
    outbox.flush()
    invitation = mail_server.wait_for(INVITEE).link
    nobody.post(invitation, {"name": "Nora Wind", "password": "short"})
    nobody.post(invitation, {"name": "Nora Wind", "password": PASSPHRASE})
    outbox.flush()
    verification = mail_server.wait_for(INVITEE, count=2).link
    nobody.post(verification)
    nobody.get(invitation)
    nobody.get(invitation[:-1])
    nobody.sign_in(INVITEE, PASSPHRASE + "?")
    nobody.post("/password-reset", {"email": INVITEE})
    outbox.flush()
    reset = mail_server.wait_for(INVITEE, count=3).link
    nobody.get(reset)

    secrets = [PASSPHRASE]
    for link in (invitation, verification, reset):
        token = link.rpartition("/")[2]
        secrets += [link, path_of(link), token, token.rpartition(".")[2]]
    kept = app_driver.dump()
    # The test's own mail server, in this process, logs what it is sent.
    logged = "\n".join(
        caplog.handler.format(record) for record in caplog.records if not record.name.startswith("mail.")
    )
    assert INVITEE in kept
    assert "not sent" in logged
    for secret in secrets:
        assert secret not in kept
        assert secret not in logged


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_whether_mails_are_still_wanted_reads_no_more_than_they_need(app: Flask) -> None:
    with app.app_context():
        look = select(OutboxMail.id).where(still_wanted()).compile(db.engine, compile_kwargs={"literal_binds": True})
        plan = "\n".join(db.session.scalars(text(f"EXPLAIN {look}")))
    # Hashed is what is read as a whole, all clients for example, before the first mail is looked at.
    assert "SubPlan" in plan
    assert "hashed" not in plan
