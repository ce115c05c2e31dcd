"""A client's history: what happened, by whom, written once; and what remains of it when the client is removed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from app.clients.expiry import track_expiry
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import ClientEvent, EventKind
from app.outbox.errors import PermanentFailure
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, path_of
from tests.support.databases import on_sqlite
from tests.support.factories import PASSWORD, make_user
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

ADA = "ada@harbour.test"
INVITEE = "info@nordwind.test"
NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}
SECOND = timedelta(seconds=1)


def added_since(events: list[tuple[EventKind, str | None]], before: Iterable[object]) -> list[tuple[str, str | None]]:
    """The newer events, as plain words."""
    return [(kind.value, actor) for kind, actor in events[len(list(before)) :]]


def event_times(app_driver: AppDriver, kind: EventKind) -> list[tuple[int, datetime]]:
    """Generation and moment of every event of a kind."""
    query = select(ClientEvent.generation, ClientEvent.at).where(ClientEvent.kind == kind).order_by(ClientEvent.id)
    return [tuple(row) for row in app_driver.do(lambda: db.session.execute(query).all())]


def test_each_step_of_a_client_s_life_is_written_with_who_took_it(
    admin: Browser, nobody: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, app: Flask
) -> None:
    admin.post(ic(HARBOUR), {"company_name": "Nordwind Reisen", "email": INVITEE})
    client_id = app_driver.client(INVITEE).id
    seen = app_driver.events(client_id)
    assert added_since(seen, []) == [("invited", ADA), ("mail_queued", None)]

    mail_server.refuse[INVITEE] = "550 nobody here"
    outbox.flush()
    now = app_driver.events(client_id)
    assert added_since(now, seen) == [("mail_failed", None)]

    mail_server.refuse.clear()
    admin.post(f"{ic(HARBOUR)}/{client_id}/resend")
    outbox.flush()
    seen, now = now, app_driver.events(client_id)
    assert added_since(now, seen) == [("resent", ADA), ("mail_queued", None), ("mail_sent", None)]

    nobody.post(mail_server.wait_for(INVITEE).link, NORA)
    seen, now = now, app_driver.events(client_id)
    assert added_since(now, seen) == [("registered", INVITEE)]

    outbox.flush()
    nobody.post(mail_server.wait_for(INVITEE, count=2).link)
    seen, now = now, app_driver.events(client_id)
    assert added_since(now, seen) == [("verified", INVITEE), ("joined", INVITEE)]

    run_job(app, "track-expiry")
    outbox.flush()
    assert app_driver.events(client_id) == now


@on_sqlite
def test_accepting_with_an_account_is_joining_without_registering(app_driver: AppDriver, nobody: Browser) -> None:
    app_driver.do(make_user, INVITEE, "Nora Wind")
    client_id = app_driver.invite(INVITEE)
    nobody.sign_in(INVITEE, PASSWORD)
    nobody.post(app_driver.link(client_id))
    assert app_driver.events(client_id)[2:] == [(EventKind.JOINED, INVITEE)]


@on_sqlite
def test_nothing_that_was_refused_or_only_looked_at_is_an_event(
    admin: Browser, nobody: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    link = path_of(mail_server.wait_for(INVITEE).link)
    before = app_driver.events(client_id)
    nobody.get(link)
    nobody.client.head(link)
    nobody.post(link, {"name": "Nora", "password": "short"})
    nobody.get(link[:-1])
    admin.get(f"{ic(HARBOUR)}/{client_id}/remove")
    admin.post(ic(HARBOUR), {"company_name": "Again", "email": INVITEE})
    admin.get(ic(HARBOUR))
    outbox.flush()
    assert app_driver.events(client_id) == before


@on_sqlite
def test_a_temporary_refusal_is_no_event_until_it_is_given_up(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    mail_server.refuse[INVITEE] = "451 later"
    client_id = app_driver.invite(INVITEE)
    for _ in range(3):
        outbox.flush()
        app_driver.make_due()
    assert app_driver.kinds(client_id) == [EventKind.INVITED, EventKind.MAIL_QUEUED]


# Expiry


def test_a_lapsed_link_is_written_once_and_shown_beside_the_status(
    app: Flask, admin: Browser, app_driver: AppDriver, outbox: Outbox
) -> None:
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    for _ in range(2):
        run_job(app, "track-expiry")
    row = admin.row(HARBOUR, INVITEE)
    assert (row.status, row.link) == ("invite_sent", "valid")
    assert "Link expired" not in row.health
    assert EventKind.EXPIRED not in app_driver.kinds(client_id)

    lapsed_at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
    app_driver.let_link_lapse(client_id, lapsed_at)
    row = admin.row(HARBOUR, INVITEE)  # shown at once, whether the job has run or not
    assert (row.status, row.link) == ("invite_sent", "expired")
    for _ in range(3):
        run_job(app, "track-expiry")
    assert event_times(app_driver, EventKind.EXPIRED) == [(1, lapsed_at)]
    assert app_driver.events(client_id)[-1] == (EventKind.EXPIRED, None)
    row = admin.row(HARBOUR, INVITEE)
    assert (row.status, row.link, row.delivery) == ("invite_sent", "expired", "sent")
    assert "Link expired" in row.health
    assert row.buttons == ["Resend Invite", "Remove"]


def test_many_processes_that_look_at_once_write_each_lapse_once(app: Flask, app_driver: AppDriver) -> None:
    clients = [app_driver.invite(f"client{n}@nordwind.test") for n in range(12)]
    for client_id in clients:
        app_driver.let_link_lapse(client_id, datetime.now(UTC) - SECOND)
    # Without the job's lease, which would keep all but one of them from looking.
    at_once([partial(app_driver.do, track_expiry) for _ in range(8)])
    for client_id in clients:
        assert app_driver.kinds(client_id).count(EventKind.EXPIRED) == 1


def test_the_job_finds_the_very_second(app: Flask, app_driver: AppDriver, outbox: Outbox) -> None:
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    ends_at = app_driver.client(INVITEE).link_expires_at
    assert ends_at is not None
    for moment, lapsed in ((ends_at - SECOND, False), (ends_at, True)):
        with time_machine.travel(moment, tick=False):
            run_job(app, "track-expiry")
        assert (EventKind.EXPIRED in app_driver.kinds(client_id)) is lapsed


@on_sqlite
def test_each_generation_may_lapse(app: Flask, admin: Browser, app_driver: AppDriver, outbox: Outbox) -> None:
    client_id = app_driver.invite(INVITEE)
    for generation in (1, 2):
        outbox.flush()
        assert admin.row(HARBOUR, INVITEE).link == "valid"
        app_driver.let_link_lapse(client_id, datetime.now(UTC) - SECOND)
        run_job(app, "track-expiry")
        assert admin.row(HARBOUR, INVITEE).link == "expired"
        assert [found for found, _at in event_times(app_driver, EventKind.EXPIRED)] == list(range(1, generation + 1))
        app_driver.resend(client_id)
    assert admin.row(HARBOUR, INVITEE).link == "valid"
    run_job(app, "track-expiry")
    assert app_driver.kinds(client_id).count(EventKind.EXPIRED) == 2


def test_who_has_registered_or_joined_or_still_waits_for_the_mail_does_not_expire(
    app: Flask, admin: Browser, nobody: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    registered, waiting = app_driver.invite(INVITEE), app_driver.invite("waiting@nordwind.test")
    nobody.post(app_driver.link(registered), NORA)
    app_driver.let_link_lapse(registered, datetime.now(UTC) - timedelta(days=30))
    run_job(app, "track-expiry")
    row = admin.row(HARBOUR, INVITEE)
    assert (row.status, row.link) == ("invite_sent", "valid")
    assert row.health == "Email not verified yet"
    with time_machine.travel(datetime.now(UTC) + timedelta(days=30), tick=True):
        run_job(app, "track-expiry")

    outbox.flush()
    nobody.post(mail_server.wait_for(INVITEE).link)
    run_job(app, "track-expiry")
    assert admin.row(HARBOUR, INVITEE).status == "joined"
    for client_id in (registered, waiting):
        assert EventKind.EXPIRED not in app_driver.kinds(client_id)


# After removal


def test_after_a_removal_the_events_remain_without_personal_data(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    mail_server.refuse[INVITEE] = "550 5.1.1 <info@nordwind.test>: Recipient rejected by mx.nordwind.test"
    admin.post(ic(HARBOUR), {"company_name": "Nördwind Reisen", "email": INVITEE})
    client_id = app_driver.client(INVITEE).id
    outbox.flush()
    admin.post(f"{ic(HARBOUR)}/{client_id}/resend")
    for personal in (INVITEE, "Nördwind", "nördwind", "Recipient rejected"):
        assert personal in app_driver.dump(), personal

    assert admin.send("DELETE", f"{ic(HARBOUR)}/{client_id}").status_code == 303
    assert app_driver.events(client_id) == [
        (EventKind.INVITED, ADA),
        (EventKind.MAIL_QUEUED, None),
        (EventKind.MAIL_FAILED, None),
        (EventKind.RESENT, ADA),
        (EventKind.MAIL_QUEUED, None),
        (EventKind.REMOVED, ADA),
    ]
    kept = app_driver.dump(with_audit=True).lower()
    assert client_id.hex in kept.replace("-", "")
    for personal in (INVITEE, "nordwind.test", "nördwind", "recipient rejected"):
        assert personal not in kept, personal


def test_a_mail_that_fails_while_its_client_is_removed_writes_nothing_back(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    mail = app_driver.claim_one()
    app_driver.remove(client_id)
    app_driver.settle(mail, PermanentFailure(f"550 <{INVITEE}> rejected"))
    assert app_driver.kinds(client_id)[-1] is EventKind.REMOVED
    assert INVITEE not in app_driver.dump(with_audit=True)


@on_sqlite
def test_removing_a_client_leaves_the_others_details_alone(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    for email in (INVITEE, "other@nordwind.test"):
        mail_server.refuse[email] = f"550 <{email}> rejected"
    client_id = app_driver.invite(INVITEE)
    app_driver.invite("other@nordwind.test")
    app_driver.invite(INVITEE, portal_id=ALPINE)
    outbox.flush()
    app_driver.remove(client_id)
    query = select(ClientEvent.portal_id, ClientEvent.detail).where(ClientEvent.kind == EventKind.MAIL_FAILED)
    details = {
        (portal_id, detail is not None) for portal_id, detail in app_driver.do(lambda: db.session.execute(query).all())
    }
    assert details == {(HARBOUR, False), (HARBOUR, True), (ALPINE, True)}
