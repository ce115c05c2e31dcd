"""`flask portal ...`: another name, who is in it, and the end of one."""

from __future__ import annotations

import re
from threading import Thread

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.extensions import db
from app.jobs.schedule import run_job
from app.models import Role, TlsMode, WebhookEvent
from app.outbox.errors import ServerUnavailable
from app.outbox.routing import paused_servers
from app.outbox.server_settings import OwnServer, save_own_server
from app.portals import deletion
from app.portals.service import grant_role
from app.webhooks.endpoints import add_endpoint
from tests.conftest import ALPINE, HARBOUR
from tests.integration.cli.running import logged, records, refusal, rows
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.factories import OTHER_PASSWORD, PASSWORD, import_file, invite, make_user
from tests.support.shell import hand_over, register, says, signed
from tests.support.smtp import MailServer

STAYS = {"audit_event", "audit_identity"}
"""The audit trail stays until it is old. It names nobody."""
DELETE = ["portal", "delete", "--portal", HARBOUR]


def test_a_portal_gets_another_name(app: Flask, admin: Browser) -> None:
    assert logged(app, "portal", "rename", "--portal", HARBOUR, "--name", " Harbour  Trips ") == {
        "event": "portal renamed",
        "portal": HARBOUR,
    }
    assert [HARBOUR, "Harbour Trips"] in rows(app, "portal", "list")
    assert {"id": HARBOUR, "name": "Harbour Trips"} in records(app, "portal", "list")
    assert "Harbour Trips" in admin.get(ic(HARBOUR)).text
    assert "<" in refusal(app, "portal", "rename", "--portal", HARBOUR, "--name", "<b>")


def test_members_are_listed_by_role(app: Flask, app_driver: AppDriver) -> None:
    app_driver.do(grant_role, HARBOUR, "olaf@alpine.test", Role.CLIENT_ADMIN)
    command = ["portal", "members", "--portal", HARBOUR]
    found = rows(app, *command)
    assert [line[:3] for line in found] == [
        ["client_admin", "ada@harbour.test", "Ada Berg"],
        ["client_admin", "olaf@alpine.test", "Olaf Nyman"],
        ["staff", "sam@harbour.test", "Sam Lund"],
        ["client", "carla@client.test", "Carla Vega"],
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found[0][3])
    assert [list(one.values()) for one in records(app, *command)] == found


@pytest.fixture
def full(app: Flask, app_driver: AppDriver, nobody: Browser) -> None:
    """Harbour Tours has something of everything, and shares people with Alpine Stays."""

    def fill() -> None:
        server = OwnServer("127.0.0.1", 25, TlsMode.NONE, "Harbour <h@harbour.test>")
        save_own_server(HARBOUR, server)
        add_endpoint(HARBOUR, "https://192.0.2.7/in", "", list(WebhookEvent))
        import_file(HARBOUR, *(f"{n}@client.test" for n in range(7)))
        # Carla is in both portals. Sam has invited somebody in the other one, and is in this one alone.
        grant_role(ALPINE, "carla@client.test", Role.STAFF)
        invite(ALPINE, "guest@client.test", actor="sam@harbour.test")
        make_user("in.no.portal@harbour.test", "Nora Wind")

    app_driver.do(fill)
    app_driver.pause(HARBOUR, ServerUnavailable("Nobody listens."))
    link = app_driver.link(app_driver.client("0@client.test").id)
    nobody.post(link, {"name": "Zeno Mo", "password": OTHER_PASSWORD})
    olaf = Browser(app)
    olaf.sign_in("olaf@alpine.test", PASSWORD)
    assert olaf.post(app_driver.link(app_driver.invite("olaf@alpine.test"))).status_code == 303
    register(app, HARBOUR, ALPINE)
    assert hand_over(Browser(app)).status_code == 303


@pytest.mark.both_databases
def test_a_portal_goes_with_everything_in_it_and_nothing_else(
    app: Flask, app_driver: AppDriver, full: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "_BATCH", 3)
    before, others = app_driver.dump(with_audit=True), of_portal(app_driver, ALPINE)
    told = refusal(app, *DELETE)
    assert "harbour (Harbour Tours) for good: 8 clients" in told
    assert "4 accounts in no other portal" in told
    assert "--yes" in told
    assert app_driver.dump(with_audit=True) == before

    assert logged(app, *DELETE, "--yes") == {
        "event": "portal deleted",
        "portal": HARBOUR,
        "clients": 8,
        "accounts": 4,  # Ada, Sam, Hanna, and who had registered
    }
    assert of_portal(app_driver, HARBOUR).keys() == STAYS
    assert of_portal(app_driver, ALPINE) == others
    assert [one["email"] for one in records(app, "user", "list")] == [
        "carla@client.test",
        "olaf@alpine.test",
        "in.no.portal@harbour.test",
    ]
    after = app_driver.dump(with_audit=True)
    for trace in ("ada@harbour.test", "0@client.test", "6@client.test", "hanna", "h@harbour.test", "Nobody listens"):
        assert trace in before
        assert trace not in after
    assert "no portal with the id harbour" in refusal(app, *DELETE, "--yes")
    assert app_driver.dump(with_audit=True) == after


def of_portal(app_driver: AppDriver, portal_id: str) -> dict[str, int]:
    """How many rows of each table name the portal, of those that do."""
    columns = [
        (table, column)
        for table in db.metadata.sorted_tables
        for column in table.columns
        if column.name in {"portal_id", "server"} or (table.name, column.name) == ("portal", "id")
    ]

    def read() -> dict[str, int]:
        found = {
            table.name: db.session.scalar(select(func.count()).select_from(table).where(column == portal_id)) or 0
            for table, column in columns
        }
        return {name: number for name, number in found.items() if number}

    return dict(app_driver.do(read))


def test_a_deletion_that_broke_off_leaves_a_closed_portal_and_is_continued(
    app: Flask, app_driver: AppDriver, admin: Browser, joined_client: Browser, full: None
) -> None:
    app_driver.do(deletion._close, HARBOUR)  # and the process was killed
    assert admin.get(ic(HARBOUR)).status_code == 403
    assert admin.post(ic(HARBOUR), {"company_name": "New", "email": "new@client.test"}).status_code == 403
    assert hand_over(Browser(app), signed(says(portal=HARBOUR))).status_code == 401
    assert joined_client.get("/portals").status_code == 200
    assert "8 clients" in refusal(app, *DELETE)
    assert logged(app, *DELETE, "--yes")["accounts"] == 4
    assert of_portal(app_driver, HARBOUR).keys() <= STAYS


@pytest.mark.both_databases
def test_a_worker_finishes_what_it_is_sending_and_sends_nothing_else_of_the_portal(
    app: Flask, app_driver: AppDriver, mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    emails = [f"{n}@client.test" for n in range(6)]
    app_driver.do(import_file, HARBOUR, *emails)
    app_driver.do(invite, ALPINE, "guest@client.test", actor="olaf@alpine.test")
    worker = Thread(target=run_job, args=[app, "flush-outbox"])
    with mail_server.answering_nobody():
        worker.start()
        assert mail_server.holding.wait(10)
        assert logged(app, *DELETE, "--yes")["clients"] == 6
    worker.join(30)
    assert not worker.is_alive()
    run_job(app, "flush-outbox")
    assert len(mail_server.to("guest@client.test")) == 1
    assert 1 <= sum(len(mail_server.to(email)) for email in emails) <= 4  # those that were in the server's hands
    assert [mail.recipient for mail in app_driver.mails()] == ["guest@client.test"]
    assert "could not be recorded" not in caplog.text
    assert of_portal(app_driver, HARBOUR).keys() <= STAYS


def test_the_state_of_a_mail_server_goes_although_a_worker_wrote_it_last(app: Flask, app_driver: AppDriver) -> None:
    assert logged(app, *DELETE, "--yes")
    for server in (HARBOUR, ALPINE, ""):
        app_driver.pause(server, ServerUnavailable("Nobody listens."))
    run_job(app, "prune")
    assert set(app_driver.do(paused_servers)) == {ALPINE, ""}
