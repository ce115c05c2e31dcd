"""A mail that was refused is tried again, given up or held against nobody, as what was said asks for."""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import pairwise

import pytest
from flask import Flask

from app.models import EventKind, MailState
from tests.conftest import HARBOUR, Outbox
from tests.integration.outbox.one_mail import INVITEE, NEVER, later
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import import_file
from tests.support.scripted_smtp import Reply, ScriptedSmtp, Step
from tests.support.smtp import MailServer

DAY = 24 * 60 * 60
ONCE_MORE = "451 4.7.1 the wind is against us"


# Not this time: 4xx


@pytest.mark.both_databases
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
    app_driver.do(import_file, HARBOUR, *people)
    outbox.flush()
    pauses = [app_driver.seconds_until_due(person) for person in people]
    assert max(pauses) - min(pauses) > 1


def test_after_three_days_of_attempts_it_is_given_up(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    at_rcpt, at_data = "rcpt@nordwind.test", "data@nordwind.test"
    mail_server.refuse[at_rcpt] = mail_server.refuse_data[at_data] = ONCE_MORE
    clients = {email: app_driver.invite(email) for email in (at_rcpt, at_data)}
    pauses = dict.fromkeys(clients, 0.0)
    while waiting := [mail.recipient for mail in app_driver.mails() if mail.state is MailState.QUEUED]:
        assert max(pauses.values()) < 3.5 * DAY
        outbox.flush()
        for email in waiting:
            pauses[email] += max(app_driver.seconds_until_due(email), 0)
        app_driver.make_due()
    assert min(pauses.values()) > 2.5 * DAY
    for email, client_id in clients.items():
        assert app_driver.mail(email).state is MailState.FAILED
        assert app_driver.kinds(client_id)[-1] is EventKind.MAIL_FAILED
        row = admin.row(HARBOUR, email)
        assert (row.status, row.delivery) == ("invite_sent", "failed")
        assert ONCE_MORE in row.health


# Never: 5xx


# At which step makes no difference to the database.
@pytest.mark.parametrize(
    ("step", "database_url"),
    [("RCPT", "sqlite"), ("DATA", "sqlite"), ("DATA", "postgresql")],
    indirect=["database_url"],
)
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
    assert "Edit the address and resend." in row.health
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
    app_driver.do(import_file, HARBOUR, *people)
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


AGAINST_EVERYBODY: list[tuple[Step, Reply]] = [
    ("banner", Reply("421 too busy", then_close=True)),
    ("ehlo", Reply("554 not you")),
    ("mail", Reply("550 this sender is not welcome")),
    ("mail", Reply("530 sign in first")),
]


def test_a_server_that_refuses_everybody_is_held_against_nobody(
    admin: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    reconfigured: Callable[..., Flask],
) -> None:
    app_driver.invite(INVITEE)
    with ScriptedSmtp({}) as server:
        elsewhere = Outbox(reconfigured(MAIL_PORT=str(server.port)))
        for step, said in AGAINST_EVERYBODY:
            server.script = {step: said}
            with later(days=4):
                elsewhere.flush()
            row = admin.row(HARBOUR, INVITEE)
            assert (row.delivery, said.text in row.health) == ("queued", True), said
            mail = app_driver.mail(INVITEE)
            assert (mail.state, mail.attempts) == (MailState.QUEUED, 0), said
            app_driver.make_due()
        assert server.mails == []
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
        assert "aren't being sent" in notice
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
    app_driver.do(import_file, HARBOUR, *people)
    bad = "client07@nordwind.test"
    app_driver.change_mail(app_driver.mail(bad).id, params={})
    outbox.flush()
    assert sorted(mail.recipient for mail in mail_server.mails) == [person for person in people if person != bad]
    delivery = {row.email: row.delivery for row in admin.rows(HARBOUR)}
    assert delivery.pop(bad) == "failed"
    assert set(delivery.values()) == {"sent"}
    assert "could not be built" in admin.row(HARBOUR, bad).health
    assert "Error" not in admin.row(HARBOUR, bad).health, "nobody reads the name of an exception"
    outbox.flush()
    assert app_driver.mail(bad).attempts == 1
