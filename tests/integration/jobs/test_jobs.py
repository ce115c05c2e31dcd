"""The jobs: which run alone, what is thrown away in time, and what never is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event, Lock, Semaphore, Timer
from uuid import UUID, uuid4

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, insert, select, text, update

from app.accounts.users import open_session
from app.core.ids import first_id_at
from app.db.bulk_insert import insert_all
from app.db.transactions import transaction
from app.extensions import db
from app.jobs.lease import lease, release, take
from app.jobs.schedule import Job, jobs, run_job
from app.jobs.scheduler import JobScheduler
from app.models import EventKind, JobLease, LoginSession, MailKind, MailState, OutboxMail, RateLimitHit, User
from app.models.types import db_now
from app.outbox.maintenance import prune_sent
from app.outbox.priorities import queue_for
from app.registration.password_reset import request_reset
from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.databases import on_sqlite
from tests.support.factories import PASSWORD
from tests.support.processes import wait_until
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

INVITEE = "info@nordwind.test"
ALONE = ["read-bounces", "track-expiry", "send-reminders", "send-digests", "prune", "retention"]
SECOND = timedelta(seconds=1)


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    # Nobody listens there, which read-bounces writes down.
    return environment | {"BOUNCE_MAILBOX_URL": "imap://reports:secret@127.0.0.1:1/INBOX", "KEEP_INVITATIONS_DAYS": "7"}


def end(name: str) -> None:
    """Let a lease's time be over, by the database's clock, as if its holder had died."""
    with transaction() as session:
        session.execute(update(JobLease).where(JobLease.name == name).values(until=db_now(-1)))


def sign_in(email: str) -> None:
    with transaction() as session:
        open_session(session, session.scalars(select(User.id).where(User.email == email)).one())


def holders(app_driver: AppDriver) -> dict[str, UUID]:
    rows = app_driver.do(lambda: db.session.execute(select(JobLease.name, JobLease.holder)).all())
    return dict(rows)


def count(app_driver: AppDriver, model: type[object]) -> int:
    return int(app_driver.do(lambda: db.session.scalar(select(func.count()).select_from(model))))


# Leases


@pytest.mark.parametrize("is_there_already", [False, True], ids=["new", "ended"])
def test_of_many_who_come_at_once_one_gets_the_lease(app_driver: AppDriver, is_there_already: bool) -> None:
    for _ in range(5):
        if is_there_already:
            app_driver.do(take, "prune", uuid4(), 60)
            app_driver.do(end, "prune")
        comers = [uuid4() for _ in range(8)]
        got = at_once([partial(app_driver.do, take, "prune", comer, 60) for comer in comers])
        assert sorted(got) == [False] * 7 + [True]
        winner = comers[got.index(True)]
        assert holders(app_driver) == {"prune": winner}
        app_driver.do(release, "prune", winner)
        assert holders(app_driver) == {}


@on_sqlite
def test_leases_of_different_names_do_not_meet(app_driver: AppDriver) -> None:
    assert all(app_driver.do(take, name, uuid4(), 60) for name in ALONE)


def test_a_lease_whose_holder_died_ends_by_itself_and_is_not_given_back_by_the_dead(app_driver: AppDriver) -> None:
    dead, heir = uuid4(), uuid4()
    assert app_driver.do(take, "prune", dead, 0.5)
    assert not app_driver.do(take, "prune", heir, 60)
    wait_until(lambda: app_driver.do(take, "prune", heir, 60), "the lease has ended")
    app_driver.do(release, "prune", dead)
    assert holders(app_driver) == {"prune": heir}


@on_sqlite
@pytest.mark.parametrize("name", ALONE)
def test_a_job_that_runs_elsewhere_is_left_alone(app: Flask, app_driver: AppDriver, name: str) -> None:
    client_id = app_driver.invite(INVITEE)
    app_driver.let_link_lapse(client_id, datetime.now(UTC) - SECOND)
    app_driver.change_mail(app_driver.mail(INVITEE).id, state=MailState.FAILED)
    app_driver.change_portal(sends_reminders=True)
    app_driver.let_link_lapse(app_driver.invite("second@nordwind.test"), datetime.now(UTC) + timedelta(days=9))
    app_driver.do(sign_in, "ada@harbour.test")
    with lease(app, name, 60) as is_ours, time_machine.travel(datetime.now(UTC) + timedelta(days=8)):
        assert is_ours
        before = app_driver.dump()
        assert not run_job(app, name)
        told = app.test_cli_runner().invoke(args=["jobs", "run", name])
        assert (told.exit_code, told.stdout) == (0, "")
        assert told.stderr == f"Another process is running {name} right now, so nothing was done.\n"
        assert app_driver.dump() == before
        app_driver.do(end, name)
        assert run_job(app, name)
        assert app_driver.dump() != before


def test_a_job_gives_its_lease_back_at_its_end_whatever_that_is(app: Flask, app_driver: AppDriver) -> None:
    assert run_job(app, "prune")
    assert holders(app_driver) == {}
    rename = "ALTER TABLE {} RENAME TO {}"
    with app.app_context(), transaction() as session:
        session.execute(text(rename.format("rate_limit_hit", "elsewhere")))
    try:
        failed = app.test_cli_runner().invoke(args=["jobs", "run", "prune"])
    finally:
        with app.app_context(), transaction() as session:
            session.execute(text(rename.format("elsewhere", "rate_limit_hit")))
    assert failed.exit_code == 1
    assert "The job prune failed" in failed.stderr
    assert holders(app_driver) == {}


@on_sqlite
def test_any_number_of_processes_send_mails(app: Flask) -> None:
    assert {job.name for job in jobs(app) if job.lease_seconds} == set(ALONE)


@contextmanager
def running(app: Flask, job: Job) -> Iterator[None]:
    scheduler = JobScheduler(app, [job])
    try:
        yield
    finally:
        scheduler.stop()


def test_schedulers_of_several_processes_keep_to_the_lease(app: Flask) -> None:
    inside, runs, guard, enough = [0], list[int](), Lock(), Event()

    def work(_app: Flask, _stop: Event) -> None:
        with guard:
            inside[0] += 1
            runs.append(inside[0])
        time.sleep(0.05)
        with guard:
            inside[0] -= 1
        if len(runs) >= 6:
            enough.set()

    job = Job("alone", "count who is there", 0.03, work, lease_seconds=60)
    with running(app, job), running(app, job), running(app, job):
        assert enough.wait(20)
    assert set(runs) == {1}


@on_sqlite
def test_a_clock_that_is_set_back_holds_up_no_job(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.scheduler._LOOK_AT_CLOCK_SECONDS", 0.1)
    rounds = Semaphore(0)
    job = Job("often", "count the rounds", 0.05, lambda _app, _stop: rounds.release())
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=1), tick=True) as clock, running(app, job):
        assert rounds.acquire(timeout=20)
        clock.shift(timedelta(hours=-1))
        for _ in range(10):
            assert rounds.acquire(timeout=20)


# Pruning


def old_mails(client_id: UUID, how_many: int, state: MailState, days: float) -> None:
    """Mails of this state to one client, asked for and handed over so many days ago."""
    at = datetime.now(UTC) - timedelta(days=days)
    rows: list[dict[str, object]] = [
        {
            "id": UUID(int=first_id_at(at).int + number + 1000 * list(MailState).index(state)),
            "kind": MailKind.INVITATION,
            "portal_id": HARBOUR,
            "client_id": client_id,
            "generation": 1000 * (1 + list(MailState).index(state)) * (1 + int(days)) + number,
            "recipient": INVITEE,
            "params": {},
            "message_id": f"<{number}@harbour.test>",
            "created_at": at,
            "state": state,
            "attempts": 1,
            "due_at": at,
            "queue": queue_for(MailKind.INVITATION, HARBOUR),
            "sent_at": at if state in (MailState.SENT, MailState.BOUNCED, MailState.COMPLAINED) else None,
        }
        for number in range(how_many)
    ]
    with transaction() as session:
        insert_all(session, OutboxMail, rows)


def test_mails_that_were_sent_long_ago_are_deleted_and_no_others(
    app: Flask, nobody: Browser, app_driver: AppDriver, outbox: Outbox
) -> None:
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    for state in MailState:
        app_driver.do(old_mails, client_id, 2, state, 91)
        app_driver.do(old_mails, client_id, 2, state, 89)
    run_job(app, "prune")
    left = [mail.state for mail in app_driver.mails()]
    assert {state: left.count(state) for state in MailState} == {
        MailState.QUEUED: 4,
        MailState.SENDING: 4,
        MailState.FAILED: 4,
        MailState.SENT: 1 + 2,
        MailState.BOUNCED: 4,
        MailState.COMPLAINED: 2,
    }
    with time_machine.travel(datetime.now(UTC) + timedelta(days=91)):
        run_job(app, "prune")
    assert MailState.SENT not in {mail.state for mail in app_driver.mails()}
    nobody.sign_in("ada@harbour.test", PASSWORD)
    assert nobody.row(HARBOUR, INVITEE).delivery == "sent"


@on_sqlite
def test_the_operator_says_how_long_mails_are_kept(
    app: Flask, app_driver: AppDriver, reconfigured: Callable[..., Flask]
) -> None:
    client_id = app_driver.invite(INVITEE)
    app_driver.do(old_mails, client_id, 3, MailState.SENT, 8)
    run_job(app, "prune")
    assert len(app_driver.mails()) == 1 + 3
    run_job(reconfigured(KEEP_SENT_MAILS_DAYS="7"), "prune")
    assert [mail.state for mail in app_driver.mails()] == [MailState.QUEUED]


def test_many_mails_are_deleted_in_several_short_transactions(app_driver: AppDriver) -> None:
    client_id = app_driver.invite(INVITEE)
    app_driver.do(old_mails, client_id, 1100, MailState.SENT, 100)
    commits = []

    def note(*_args: object) -> None:
        commits.append(1)

    def prune() -> int:
        db.event.listen(db.session, "after_commit", note)
        try:
            return prune_sent(90, Event())
        finally:
            db.event.remove(db.session, "after_commit", note)

    assert app_driver.do(prune) == 1100
    assert len(commits) == 3
    assert len(app_driver.mails()) == 1


def test_several_who_prune_at_once_and_one_who_removes_do_not_hinder_each_other(app_driver: AppDriver) -> None:
    client_ids = [app_driver.invite(f"client{n}@nordwind.test") for n in range(6)]
    for client_id in client_ids:
        app_driver.do(old_mails, client_id, 300, MailState.SENT, 100)
    prune = partial(app_driver.do, prune_sent, 90, Event())
    at_once([prune, prune, *(partial(app_driver.remove, client_id) for client_id in client_ids)])
    assert app_driver.mails() == []


def test_a_mail_that_somebody_else_holds_is_not_waited_for(app: Flask, app_driver: AppDriver) -> None:
    app_driver.do(old_mails, app_driver.invite(INVITEE), 3, MailState.SENT, 100)
    one_of_them = select(OutboxMail.id).where(OutboxMail.state == MailState.SENT).limit(1).with_for_update()
    with app.app_context(), db.engine.connect() as somebody_else:
        somebody_else.execute(one_of_them)
        # Who does wait is not to wait for ever.
        letting_go = Timer(10, somebody_else.rollback)
        letting_go.start()
        deleted = app_driver.do(prune_sent, 90, Event())
        letting_go.cancel()
        # SQLite locks no single rows.
        assert deleted == (2 if db.engine.dialect.name == "postgresql" else 3)
    app_driver.do(prune_sent, 90, Event())
    assert len(app_driver.mails()) == 1


def test_ended_sign_ins_old_counts_and_dead_leases_are_deleted(
    app: Flask, admin: Browser, nobody: Browser, app_driver: AppDriver
) -> None:
    nobody.sign_in("ada@harbour.test", "not her password")
    app_driver.do(take, "a-job-of-former-days", uuid4(), -2 * 24 * 60 * 60)
    hits = count(app_driver, RateLimitHit)
    assert hits > 0
    run_job(app, "prune")
    assert (count(app_driver, LoginSession), count(app_driver, RateLimitHit)) == (1, hits)
    assert holders(app_driver) == {}
    with time_machine.travel(datetime.now(UTC) + timedelta(days=8)):
        run_job(app, "prune")
    assert (count(app_driver, LoginSession), count(app_driver, RateLimitHit)) == (0, 0)
    assert nobody.sign_in("ada@harbour.test", PASSWORD).status_code == 303


def test_a_lapse_is_noted_by_the_job(app: Flask, app_driver: AppDriver) -> None:
    client_id = app_driver.invite(INVITEE)
    app_driver.let_link_lapse(client_id, datetime.now(UTC) - SECOND)
    assert run_job(app, "track-expiry")
    assert app_driver.kinds(client_id)[-1] is EventKind.EXPIRED


@on_sqlite
def test_mails_for_nobody_do_not_wait_for_a_mail_server_that_never_comes(app: Flask, app_driver: AppDriver) -> None:
    """They are written for addresses without an account, so that asking for a reset costs the same."""
    for email in ("ada@harbour.test", "nobody@harbour.test"):
        app_driver.do(request_reset, email, "203.0.113.7")
    assert run_job(app, "prune")
    assert len(app_driver.mails()) == 2
    with time_machine.travel(datetime.now(UTC) + timedelta(days=1, minutes=1)):
        assert run_job(app, "prune")
    assert [mail.recipient for mail in app_driver.mails()] == ["ada@harbour.test"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_nobody_waits_long_for_a_lease_that_is_being_taken_by_who_fell_asleep(
    app: Flask, app_driver: AppDriver
) -> None:
    with app.app_context(), db.engine.connect() as asleep:
        taken = {"name": "prune", "holder": uuid4(), "until": datetime.now(UTC) + timedelta(minutes=1)}
        asleep.execute(insert(JobLease).values(taken))
        assert not app_driver.do(take, "prune", uuid4(), 60)
        app_driver.do(release, "prune", uuid4())
        asleep.rollback()
    assert app_driver.do(take, "prune", uuid4(), 60)
