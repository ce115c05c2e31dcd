"""Which mail server a mail goes through, what happens while one is at fault, and that nobody waits for the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import monotonic

import pytest
from flask import Flask
from sqlalchemy import select

from app.extensions import db
from app.models import MailServerState, MailState
from app.outbox import pool, queue
from app.outbox.server_settings import drop_own_server
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.outbox.own_servers import Flushing, invite_many, use
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import on_sqlite
from tests.support.processes import wait_until
from tests.support.scripted_smtp import Act, Close, Drip, Hang, Reply, ScriptedSmtp, Step
from tests.support.smtp import MailServer

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("app")]

INVITEE = "info@nordwind.test"
OLAF = "olaf@alpine.test"
QUICK = 10.0


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    # Where the test's own servers are.
    return environment | {"MAIL_ALLOWED_NETWORKS": "127.0.0.0/8", "OUTBOX_INTERVAL_SECONDS": "0.1"}


@pytest.fixture
def scripted() -> Iterator[Callable[[dict[Step, Act]], ScriptedSmtp]]:
    """Starts mail servers that behave as a script says."""
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(ScriptedSmtp(script))


# Which way


def test_each_portals_mails_go_through_its_own_server_under_its_own_name(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, alpines_server: MailServer
) -> None:
    use(app_driver, ALPINE, alpines_server.port)
    app_driver.invite("guest@client.test", portal_id=ALPINE)
    app_driver.invite(INVITEE)
    outbox.flush()
    (at_alpine,) = alpines_server.mails
    (at_ours,) = mail_server.mails
    assert (at_alpine.recipient, at_alpine.sender) == ("guest@client.test", "clients@alpine.test")
    assert at_alpine.message["From"] == "Alpine <clients@alpine.test>"
    assert (at_ours.recipient, at_ours.sender) == (INVITEE, "no-reply@harbour.test")

    app_driver.do(drop_own_server, ALPINE)
    app_driver.invite("second@client.test", portal_id=ALPINE)
    outbox.flush()
    assert mail_server.wait_for("second@client.test")


@on_sqlite
def test_a_portals_own_server_is_connected_to_once_and_not_at_each_claim(
    app: Flask, app_driver: AppDriver, scripted: Callable[[dict[Step, Act]], ScriptedSmtp]
) -> None:
    own = scripted({"body": Reply("250 taken", after=0.05)})
    use(app_driver, HARBOUR, own.port)
    invite_many(app_driver, 40)
    with Flushing(app):  # 40 mails over 4 connections take half a second, and a claim is due each tenth
        wait_until(lambda: {mail.state for mail in app_driver.mails()} == {MailState.SENT}, "all are sent")
    assert own.connections == 4


@on_sqlite
def test_a_portals_server_inside_our_own_network_is_not_connected_to(
    app_driver: AppDriver, alpines_server: MailServer, reconfigured: Callable[..., Flask], admin: Browser
) -> None:
    use(app_driver, HARBOUR, alpines_server.port)
    app_driver.invite(INVITEE)
    Outbox(reconfigured(MAIL_ALLOWED_NETWORKS=None)).flush()
    assert alpines_server.mails == []
    assert "not allowed" in admin.row(HARBOUR, INVITEE).health
    app_driver.end_server_pauses()
    Outbox(reconfigured()).flush()
    assert alpines_server.wait_for(INVITEE)


@on_sqlite
def test_a_password_of_a_server_is_not_in_the_database_and_survives_a_new_key(
    app_driver: AppDriver, mail_server: MailServer, reconfigured: Callable[..., Flask], admin: Browser
) -> None:
    use(app_driver, HARBOUR, mail_server.port, username="harbour", password="a secret of the relay")
    assert "a secret of the relay" not in app_driver.dump(with_audit=True)
    app_driver.invite(INVITEE)
    lost = reconfigured(SECRET_KEY="quite another key than the old one")
    Outbox(lost).flush()
    assert "can't be read" in admin.row(HARBOUR, INVITEE).health
    assert mail_server.mails == []


# Paused


@on_sqlite
def test_a_paused_server_is_told_on_the_tab_and_the_pause_ends_by_itself(
    admin: Browser,
    staff: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    scripted: Callable[[dict[Step, Act]], ScriptedSmtp],
) -> None:
    down = scripted({"ehlo": Reply("554 go away")})
    use(app_driver, HARBOUR, down.port)
    emails = invite_many(app_driver, 5)
    outbox.flush()
    for viewer in (admin, staff):
        banner = words(parse(viewer.get(ic(HARBOUR))).select_one("#mail-pause"))
        assert "go away" in banner
        assert "Nothing is lost" in banner
    assert {row.delivery for row in admin.rows(HARBOUR)} == {"queued"}
    assert {mail.attempts for mail in app_driver.mails()} == {0}
    assert 'imported_clients_mail_servers_paused{server="own"} 1.0' in admin.get("/metrics").text
    tried = down.connections
    outbox.flush()
    assert down.connections == tried, "it was tried again before its time"

    down.script.clear()
    app_driver.end_server_pauses()
    outbox.flush()
    assert sorted(mail.recipient for mail in app_driver.mails() if mail.state is MailState.SENT) == emails
    assert parse(admin.get(ic(HARBOUR))).select("#mail-pause") == []
    assert 'imported_clients_mail_servers_paused{server="own"} 0.0' in admin.get("/metrics").text


def test_what_happens_to_several_connections_at_once_is_one_fault(
    app_driver: AppDriver, outbox: Outbox, scripted: Callable[[dict[Step, Act]], ScriptedSmtp]
) -> None:
    use(app_driver, HARBOUR, scripted({"banner": Reply("554 go away", after=0.2)}).port)
    invite_many(app_driver, 5)
    outbox.flush()
    assert app_driver.do(lambda: db.session.scalars(select(MailServerState.faults)).all()) == [1]


@on_sqlite
def test_a_wrong_password_is_sent_once_and_not_by_each_connection(app_driver: AppDriver, outbox: Outbox) -> None:
    """Providers lock a mailbox after a few wrong passwords."""
    with ScriptedSmtp({"auth": Reply("535 5.7.8 wrong")}, offer_auth=True) as server:
        use(app_driver, HARBOUR, server.port, username="ada", password="a wrong one")
        invite_many(app_driver, 20)
        outbox.flush()
    assert len([command for command in server.commands if command.upper().startswith("AUTH")]) == 1


def test_a_server_that_was_at_fault_is_tried_with_one_mail_by_one_worker(
    app_driver: AppDriver,
    outbox: Outbox,
    scripted: Callable[[dict[Step, Act]], ScriptedSmtp],
) -> None:
    down = scripted({"banner": Close()})
    use(app_driver, HARBOUR, down.port)
    invite_many(app_driver, 20)
    outbox.flush()
    app_driver.end_server_pauses()
    tried = down.connections
    outbox.flush()
    assert down.connections == tried + 1
    assert {(mail.state, mail.attempts) for mail in app_driver.mails()} == {(MailState.QUEUED, 0)}


def test_a_fault_that_two_workers_meet_at_once_is_one_fault(
    app: Flask, app_driver: AppDriver, scripted: Callable[[dict[Step, Act]], ScriptedSmtp]
) -> None:
    down = scripted({"mail": Reply("553 5.1.8 not this sender", after=1)})
    use(app_driver, HARBOUR, down.port)
    invite_many(app_driver, 20)
    with Flushing(app):
        wait_until(lambda: "MAIL" in down.verbs, "the first worker has come")
        with Flushing(app):
            wait_until(lambda: down.verbs.count("MAIL") == 4, "both offer two mails")
            wait_until(lambda: {mail.state for mail in app_driver.mails()} == {MailState.QUEUED}, "all are refused")
    assert app_driver.do(lambda: db.session.scalars(select(MailServerState.faults)).all()) == [1]


def test_new_settings_end_a_pause(
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    scripted: Callable[[dict[Step, Act]], ScriptedSmtp],
) -> None:
    use(app_driver, HARBOUR, scripted({"ehlo": Reply("554 go away")}).port)
    app_driver.invite(INVITEE)
    outbox.flush()
    use(app_driver, HARBOUR, mail_server.port)
    outbox.flush()
    assert mail_server.wait_for(INVITEE)


@on_sqlite
def test_one_portals_server_at_fault_does_not_pause_the_others(
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    scripted: Callable[[dict[Step, Act]], ScriptedSmtp],
) -> None:
    use(app_driver, ALPINE, scripted({"banner": Close()}).port)
    app_driver.invite("guest@client.test", portal_id=ALPINE)
    app_driver.invite(INVITEE)
    outbox.flush()
    assert mail_server.wait_for(INVITEE)
    assert app_driver.mail("guest@client.test").state is MailState.QUEUED


@on_sqlite
def test_a_server_that_wants_fewer_connections_gets_fewer_and_all_mails(
    app_driver: AppDriver,
    mail_server: MailServer,
    reconfigured: Callable[..., Flask],
) -> None:
    mail_server.most_connections = 2
    emails = invite_many(app_driver, 60)
    outbox = Outbox(reconfigured(OUTBOX_CONNECTIONS="8"))
    outbox.flush()
    assert sorted(mail.recipient for mail in mail_server.mails) == sorted(emails)
    assert {(mail.state, mail.attempts) for mail in app_driver.mails()} == {(MailState.SENT, 1)}


# Nobody waits for the others


@on_sqlite
def test_a_server_that_a_portal_gets_while_its_mails_go_out_gets_the_rest_of_them(
    reconfigured: Callable[..., Flask], app_driver: AppDriver, mail_server: MailServer, alpines_server: MailServer
) -> None:
    def sent() -> Counter[str]:
        # The flush may be quicker than we are with the mail that tells Olaf of the server.
        mails = [*mail_server.mails, *alpines_server.mails]
        return Counter(mail.recipient for mail in mails if mail.recipient != "olaf@alpine.test")

    emails = invite_many(app_driver, 160, ALPINE)
    with Flushing(reconfigured(OUTBOX_INTERVAL_SECONDS="0.05")):
        wait_until(lambda: len(mail_server.mails) >= 5, "they go out through the deployment's server")
        use(app_driver, ALPINE, alpines_server.port)
        wait_until(lambda: alpines_server.mails, "they go out through its own")
        by_then = len(mail_server.mails)
        wait_until(lambda: sent().total() == len(emails), "all have gone out")
    assert sent() == Counter(emails)
    assert len(mail_server.mails) - by_then <= 104, (
        "what went out until the next look, and was in the connections' hands"
    )


# Each once: to the worker a server is as slow with either database.
@pytest.mark.parametrize(
    ("act", "database_url"),
    [(Drip(0.1), "sqlite"), (Hang(), "postgresql")],
    ids=["drips", "hangs"],
    indirect=["database_url"],
)
def test_a_portals_server_that_never_answers_holds_up_no_other_portal(
    app: Flask,
    app_driver: AppDriver,
    mail_server: MailServer,
    scripted: Callable[[dict[Step, Act]], ScriptedSmtp],
    act: Act,
) -> None:
    slow = scripted({"mail": act})
    use(app_driver, ALPINE, slow.port)
    invite_many(app_driver, 10, ALPINE)
    with Flushing(app):
        wait_until(lambda: slow.connections >= 2, "the slow server has its connections")
        began = monotonic()
        app_driver.invite(INVITEE)
        mail_server.wait_for(INVITEE)
        assert monotonic() - began < QUICK


def test_mails_that_a_common_server_is_slow_to_take_leave_connections_for_other_portals(
    app: Flask, app_driver: AppDriver, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "QUICK_SECONDS", 0.0)  # so whatever is taken was taken slowly
    slow = invite_many(app_driver, 10, ALPINE)
    mail_server.slow_to_take.update(slow)

    def others_are_not_held_up(email: str) -> None:
        began = monotonic()
        app_driver.invite(email)
        mail_server.wait_for(email)
        assert monotonic() - began < QUICK

    with Flushing(app):
        wait_until(lambda: mail_server.dawdling == 2, "half of the four connections have a slow mail")
        others_are_not_held_up(INVITEE)
        assert mail_server.dawdling == 2
        mail_server.slow_to_take.clear()


def test_a_portals_many_mails_do_not_go_before_another_portals_single_one(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    invite_many(app_driver, 60, ALPINE)
    app_driver.invite(INVITEE)
    outbox.flush()
    order = [mail.recipient for mail in mail_server.mails]
    assert len(order) == 61
    assert order.index(INVITEE) < 20


def test_fresh_mails_do_not_wait_for_those_that_are_tried_again(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    stubborn = invite_many(app_driver, 40)
    mail_server.refuse.update(dict.fromkeys(stubborn, "451 not now"))
    outbox.flush()
    app_driver.make_due()
    mail_server.refuse.clear()
    app_driver.invite(INVITEE)
    outbox.flush()
    order = [mail.recipient for mail in mail_server.mails]
    assert len(order) == 41
    assert order.index(INVITEE) < 20


def test_the_queues_of_many_portals_are_found_without_looking_at_each_mail(app_driver: AppDriver) -> None:
    invite_many(app_driver, 3)
    invite_many(app_driver, 2, ALPINE)
    app_driver.make_due()
    assert list(app_driver.do(queue.due_queues)) == ["alpine/normal", "harbour/normal"]
