"""Each client admin chooses whether mails tell who has joined: not at all, at once, or once a day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from uuid import UUID

import pytest
import time_machine
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.clients.notices import send_digests
from app.core.errors import Forbidden
from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import JoinNotice, MailKind, Membership, OutboxMail, Role
from app.portals.invitation_settings import save_invitation_settings
from app.portals.service import grant_role, revoke_role
from app.registration.service import accept
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.factories import invite, make_member, make_user
from tests.support.smtp import MailServer
from tests.support.together import at_once

ADA, BEN, SAM, OLAF = "ada@harbour.test", "ben@harbour.test", "sam@harbour.test", "olaf@alpine.test"
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def choose(app_driver: AppDriver, email: str, notice: JoinNotice | None, portal_id: str = HARBOUR) -> None:
    settings = {"sends_reminders": False, "gives_fresh_links": True}
    app_driver.do(save_invitation_settings, portal_id, app_driver.user(email).id, settings, notice)


def join(app_driver: AppDriver, email: str, company: str = "Nordwind Reisen", portal_id: str = HARBOUR) -> None:
    """A client who has an account is invited and accepts."""
    client_id = invited(app_driver, email, company, portal_id)
    user_id = app_driver.do(make_user, email, "Nora Wind")
    app_driver.do(accept, app_driver.link(client_id, portal_id=portal_id).rpartition("/")[2], user_id)


def invited(app_driver: AppDriver, email: str, company: str, portal_id: str = HARBOUR) -> UUID:
    actor = ADA if portal_id == HARBOUR else OLAF
    return UUID(app_driver.do(invite, portal_id, email, company, actor=actor))


def notices(app_driver: AppDriver, kind: MailKind = MailKind.JOIN_NOTICE) -> list[OutboxMail]:
    return [mail for mail in app_driver.mails() if mail.kind is kind]


def digests(app_driver: AppDriver) -> list[OutboxMail]:
    return notices(app_driver, MailKind.JOIN_DIGEST)


def write_digests(app_driver: AppDriver) -> int:
    return int(app_driver.do(send_digests, Event()))


@contextmanager
def after(delta: timedelta) -> Iterator[None]:
    with time_machine.travel(datetime.now(UTC) + delta):
        yield


# At once


def test_who_wants_it_at_once_gets_one_mail_for_each_client(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    choose(app_driver, ADA, JoinNotice.AT_ONCE)
    join(app_driver, "info@nordwind.test")
    join(app_driver, "post@berghof.test", "Berghof & Söhne")
    outbox.flush()
    # They go out over several connections, in no certain order.
    second, first = sorted(mail_server.to(ADA), key=lambda mail: str(mail.message["Subject"]))
    assert first.message["Subject"] == "Nordwind Reisen has joined Harbour Tours"
    assert second.message["Subject"] == "Berghof & Söhne has joined Harbour Tours"
    assert "info@nordwind.test" in first.text
    assert first.link == f"http://clients.harbour.test{ic(HARBOUR)}"
    assert first.message["Auto-Submitted"] == "auto-generated"


def test_nobody_gets_one_who_did_not_choose_it(app_driver: AppDriver) -> None:
    app_driver.do(make_member, HARBOUR, BEN, "Ben Holm", Role.CLIENT_ADMIN)
    choose(app_driver, BEN, JoinNotice.AT_ONCE)
    choose(app_driver, OLAF, JoinNotice.AT_ONCE, ALPINE)
    join(app_driver, "info@nordwind.test")
    assert [mail.recipient for mail in notices(app_driver)] == [BEN]


@pytest.mark.both_databases
def test_it_is_written_if_and_only_if_the_client_has_joined(app: Flask, app_driver: AppDriver) -> None:
    choose(app_driver, ADA, JoinNotice.AT_ONCE)
    client_id = app_driver.invite("info@nordwind.test")
    user_id = app_driver.do(make_user, "info@nordwind.test", "Nora Wind")
    token = app_driver.link(client_id).rpartition("/")[2]

    def fail(*_args: object) -> None:
        raise OSError("the power went")

    db.event.listen(db.session, "before_commit", fail)
    try:
        with pytest.raises(OSError, match="power"):
            app_driver.do(accept, token, user_id)
    finally:
        db.event.remove(db.session, "before_commit", fail)
    assert notices(app_driver) == []
    assert not app_driver.client("info@nordwind.test").is_joined
    app_driver.do(accept, token, user_id)
    assert len(notices(app_driver)) == 1


@pytest.mark.parametrize("change", ["demoted", "dismissed", "chose otherwise"])
def test_who_may_or_will_not_be_told_any_more_is_not(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, change: str
) -> None:
    choose(app_driver, ADA, JoinNotice.AT_ONCE)
    join(app_driver, "info@nordwind.test")
    match change:
        case "demoted":
            app_driver.do(grant_role, HARBOUR, ADA, Role.STAFF)
        case "dismissed":
            app_driver.do(revoke_role, HARBOUR, ADA, Role.CLIENT_ADMIN)
        case _:
            choose(app_driver, ADA, None)
    outbox.flush()
    assert mail_server.besides_roles(ADA) == []
    assert notices(app_driver) == []


def test_who_is_made_admin_again_has_to_choose_again(app_driver: AppDriver) -> None:
    choose(app_driver, ADA, JoinNotice.DAILY)
    app_driver.do(grant_role, HARBOUR, ADA, Role.STAFF)
    app_driver.do(grant_role, HARBOUR, ADA, Role.CLIENT_ADMIN)
    with after(2 * DAY):
        assert write_digests(app_driver) == 0


@pytest.mark.both_databases
def test_only_client_admins_may_choose_it_says_the_database_too(app_driver: AppDriver) -> None:
    with pytest.raises(Forbidden):
        choose(app_driver, SAM, JoinNotice.AT_ONCE)

    def write(statement: str) -> None:
        with transaction() as session:
            session.execute(text(statement))

    for statement in (
        "UPDATE membership SET join_notice = 'at_once' WHERE role = 'staff'",
        "UPDATE membership SET join_notice = 'weekly' WHERE role = 'client_admin'",
        "UPDATE membership SET join_notice = 'daily' WHERE role = 'client_admin'",
    ):
        with pytest.raises(IntegrityError):
            app_driver.do(write, statement)


# Once a day


@pytest.mark.both_databases
def test_a_digest_names_who_joined_and_whose_link_ran_out(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    join(app_driver, "before@nordwind.test", "Joined Before")
    choose(app_driver, ADA, JoinNotice.DAILY)
    join(app_driver, "info@nordwind.test")
    join(app_driver, "post@berghof.test", "Berghof www.evil.test")
    lapsed = app_driver.invite("late@cordoba.test", "Córdoba Viajes")
    app_driver.invite("open@cordoba.test", "Still Open")
    app_driver.let_link_lapse(lapsed, datetime.now(UTC) + timedelta(hours=5))
    assert run_job(app, "send-digests")
    assert digests(app_driver) == []
    with after(DAY + 2 * MINUTE):
        assert run_job(app, "send-digests")
    outbox.flush()
    (mail,) = mail_server.to(ADA)
    assert mail.message["Subject"] == "Harbour Tours: 2 clients have joined"
    assert mail.link == f"http://clients.harbour.test{ic(HARBOUR)}"
    for name in ("Nordwind Reisen", "Córdoba Viajes", "2 clients have joined", "1 link has expired"):
        assert name in mail.text
        assert name in mail.html
    for body in (mail.text, mail.html):
        assert "Before" not in body
        assert "Still Open" not in body
        assert "www.evil.test" not in body
    assert mail.text.index("Nordwind") < mail.text.index("Berghof") < mail.text.index("Córdoba")


def test_of_many_it_names_the_first(app_driver: AppDriver, outbox: Outbox, mail_server: MailServer) -> None:
    choose(app_driver, ADA, JoinNotice.DAILY)
    for n in range(23):
        client_id = app_driver.invite(f"c{n}@nordwind.test", f"Company {n}")
        app_driver.let_link_lapse(client_id, datetime.now(UTC) + timedelta(minutes=n))
    with after(DAY + 2 * MINUTE):
        write_digests(app_driver)
    outbox.flush()
    (mail,) = mail_server.to(ADA)
    assert mail.message["Subject"] == "Harbour Tours: 23 links have expired"
    assert "Company 19" in mail.text
    assert "Company 20" not in mail.text
    for body in (mail.text, mail.html):
        assert "and 3 more" in body


@pytest.mark.both_databases
def test_each_day_has_its_own_and_a_day_without_news_none(app_driver: AppDriver) -> None:
    choose(app_driver, ADA, JoinNotice.DAILY)
    join(app_driver, "info@nordwind.test")
    with after(DAY + 2 * MINUTE):
        assert [write_digests(app_driver), write_digests(app_driver)] == [1, 0]
    with after(2 * DAY + 2 * MINUTE):
        assert write_digests(app_driver) == 0
        join(app_driver, "post@berghof.test", "Berghof")
    with after(5 * DAY):  # nobody ran it for some days
        assert write_digests(app_driver) == 1
        assert write_digests(app_driver) == 0
    assert [mail.params["joined"] for mail in digests(app_driver)] == ["Nordwind Reisen", "Berghof"]


def test_a_digest_comes_at_the_same_hour_whenever_the_job_runs(app_driver: AppDriver) -> None:
    choose(app_driver, ADA, JoinNotice.DAILY)

    def digest_from() -> datetime:
        user_id = app_driver.user(ADA).id
        found: Membership = app_driver.do(lambda: db.session.get_one(Membership, (HARBOUR, user_id)))
        assert found.digest_from is not None
        return found.digest_from

    chosen = digest_from()
    for days in (1, 2, 5):
        with after(days * DAY + timedelta(hours=days)):
            write_digests(app_driver)
        assert digest_from() == chosen + days * DAY


@pytest.mark.both_databases
def test_many_processes_write_one(app_driver: AppDriver) -> None:
    choose(app_driver, ADA, JoinNotice.DAILY)
    join(app_driver, "info@nordwind.test")
    with after(DAY + 2 * MINUTE):
        written = at_once([partial(write_digests, app_driver)] * 8)
    assert sum(written) == 1
    assert len(digests(app_driver)) == 1


def test_an_admin_of_two_portals_gets_one_of_each(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    app_driver.do(grant_role, ALPINE, ADA, Role.CLIENT_ADMIN)
    for portal_id in (HARBOUR, ALPINE):
        choose(app_driver, ADA, JoinNotice.DAILY, portal_id)
        join(app_driver, f"info@{portal_id}-client.test", portal_id=portal_id)
    with after(DAY + 2 * MINUTE):
        assert write_digests(app_driver) == 2
    outbox.flush()
    assert {mail.link for mail in mail_server.besides_roles(ADA)} == {
        f"http://clients.harbour.test{ic(portal_id)}" for portal_id in (HARBOUR, ALPINE)
    }


def test_who_was_demoted_gets_no_digest(app_driver: AppDriver, outbox: Outbox, mail_server: MailServer) -> None:
    choose(app_driver, ADA, JoinNotice.DAILY)
    join(app_driver, "info@nordwind.test")
    with after(DAY + 2 * MINUTE):
        assert write_digests(app_driver) == 1
    app_driver.do(grant_role, HARBOUR, ADA, Role.STAFF)
    outbox.flush()
    assert mail_server.besides_roles(ADA) == []


def test_a_removed_client_is_named_in_none(app_driver: AppDriver) -> None:
    choose(app_driver, ADA, JoinNotice.DAILY)
    client_id = app_driver.invite("late@cordoba.test", "Córdoba Viajes")
    app_driver.let_link_lapse(client_id, datetime.now(UTC) + MINUTE)
    app_driver.remove(client_id)
    with after(DAY + 2 * MINUTE):
        assert write_digests(app_driver) == 0


def test_what_is_known_of_a_notice_holds_no_whole_address_in_the_log(
    app: Flask, admin: Browser, app_driver: AppDriver
) -> None:
    choose(app_driver, ADA, JoinNotice.AT_ONCE)
    join(app_driver, "info@nordwind.test")
    (mail,) = notices(app_driver)
    shown = app.test_cli_runner().invoke(args=["outbox", "show", str(mail.id)]).stdout
    assert "join_notice" in shown
    assert "info@nordwind.test" not in shown
    assert ADA not in shown
