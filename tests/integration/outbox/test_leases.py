"""A mail is sent once, however many processes work at it and whenever one of them dies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from flask import Flask

from app.branding.policy import PortalPolicy
from app.branding.resolved import ResolvedBranding
from app.core.clock import now
from app.extensions import db
from app.models import EventKind, MailState, OutboxMail
from app.models.types import db_now
from app.outbox import queue
from app.outbox.errors import PermanentFailure, ServerUnavailable, TransientFailure
from app.outbox.render import render
from app.outbox.routing import deployment_route
from app.outbox.smtp import SmtpConnection
from tests.conftest import HARBOUR, Outbox
from tests.integration.outbox.one_mail import INVITEE, later
from tests.support.app_driver import AppDriver
from tests.support.factories import import_file
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases


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


@pytest.mark.parametrize("new_holder", ["holds it", "has sent it", "has failed"])
def test_an_old_holder_that_wakes_too_late_changes_nothing(app_driver: AppDriver, new_holder: str) -> None:
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
    for name, settling in SETTLINGS.items():
        settling(app_driver, old)
        assert app_driver.dump() == before, name

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


def test_two_flushes_at_once_over_forty_mails_send_each_once(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, reconfigured: Callable[..., Flask]
) -> None:
    people = sorted(f"client{n}@nordwind.test" for n in range(40))
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
