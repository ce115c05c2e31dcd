"""An import is taken back: who has joined stays, all others are removed, whoever else does something meanwhile."""

from __future__ import annotations

from functools import partial

import pytest
from flask import Flask
from sqlalchemy import select

from app.core.clock import now
from app.extensions import db
from app.models import ClientImport, EventKind, MailState
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.clients.bulk import join
from tests.integration.imports.uploading import a_file, addresses, clients, upload
from tests.integration.registration.invitee import NORA, assert_dead
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import everything, on_sqlite
from tests.support.factories import PASSWORD, find_client, import_file, make_user
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

LIST = f"{ic(HARBOUR)}/imports"


@pytest.fixture
def address(admin: Browser) -> str:
    """Where an import of three clients is taken back."""
    location = upload(admin, a_file(*clients(3)), name="autumn.csv").location
    return f"{location}/take-back"


def test_those_who_are_pending_are_removed_and_those_who_have_joined_stay(
    app: Flask, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, address: str
) -> None:
    join(app, "client0@many.test")
    registered = app_driver.client("client1@many.test")
    link = app_driver.link(registered.id)
    assert Browser(app).post(link, NORA).status_code == 303
    app_driver.invite("by-hand@client.test")

    question = parse(admin.get(address))
    assert words(question.select_one("h2#dialog-title")) == "Take back autumn.csv ?"
    asked = words(question.select_one("#take-back-form"))
    assert "2 clients have not joined and will be removed." in asked
    assert "1 client has joined and stays." in asked
    assert words(question.select_one("#take-back-form button")) == "Remove 2 clients"

    done = admin.post(address)
    assert (done.status_code, done.location) == (303, LIST)
    page = parse(admin.get(LIST))
    assert words(page.select_one("#page-status")).endswith("2 clients removed; 1 has joined and stays.")
    line = page.select_one("tr[data-import-id]")
    assert [words(part) for part in line.select("[data-count]")] == ["1 joined", "2 removed"]
    assert words(line.select_one("[data-taken-back]")).startswith("Taken back by Ada Berg")
    assert not line.select("a[id^=take-back]")
    assert not parse(admin.get(ic(HARBOUR))).select("#recent-imports [data-import-id]"), "there is nothing to watch"

    assert addresses(app_driver) == ["by-hand@client.test", "client0@many.test"]
    assert_dead(Browser(app), link, "withdrawn")
    assert not app_driver.has_account("client1@many.test"), "nobody had verified it"
    assert (EventKind.REMOVED, "ada@harbour.test") in app_driver.events(registered.id)
    outbox.flush()
    assert {mail.recipient for mail in mail_server.mails} <= {"by-hand@client.test", "client0@many.test"}
    with app.app_context():
        noted = db.session.scalars(select(ClientImport)).one()
        assert noted.taken_back_at is not None
        assert (now() - noted.taken_back_at).total_seconds() < 60
        assert (noted.taken_back_by_id, noted.taken_back_count) == (app_driver.user("ada@harbour.test").id, 2)
    assert admin.get(address.removesuffix("/take-back")).location == LIST


@on_sqlite
def test_by_htmx_it_says_what_it_did_and_lets_everything_refresh(admin: Browser, address: str) -> None:
    fragment = admin.get(address, htmx=True)
    assert "<html" not in fragment.text
    done = admin.post(address, htmx=True)
    assert (done.status_code, words(parse(done))) == (200, "3 clients removed.")
    assert done.headers["HX-Retarget"] == "#page-status"
    assert {"clients-changed", "dialog-close"} <= set(done.json_module.loads(done.headers["HX-Trigger"]))


def test_a_second_press_is_the_first_one(app: Flask, admin: Browser, app_driver: AppDriver, address: str) -> None:
    join(app, "client2@many.test")
    pressed = [partial(browser.post, address, htmx=True) for browser in (admin.twin(), admin.twin())]
    answers = at_once(pressed)
    said = "2 clients removed; 1 has joined and stays."
    assert [(answer.status_code, words(parse(answer))) for answer in answers] == [(200, said)] * 2
    before = everything(app)
    later = admin.post(address, htmx=True)
    assert (later.status_code, words(parse(later))) == (200, said)
    assert everything(app) == before
    assert admin.get(address).status_code == 409


@on_sqlite
def test_where_nobody_is_pending_there_is_nothing_to_take_back(app: Flask, admin: Browser, address: str) -> None:
    for number in range(3):
        join(app, f"client{number}@many.test")
    before = everything(app)
    for answer in (admin.get(address), admin.post(address)):
        assert answer.status_code == 409
        assert "nothing to take back" in answer.text
    assert everything(app) == before
    assert not parse(admin.get(LIST)).select("a[id^=take-back]")


@on_sqlite
def test_who_may_not_is_told_so_and_another_portal_s_import_is_not_there(
    app: Flask, admin: Browser, staff: Browser, stranger: Browser, address: str
) -> None:
    with app.app_context():
        foreign = import_file(ALPINE, "alpine@many.test", actor="olaf@alpine.test")
    before = everything(app)
    for method in ("GET", "POST"):
        assert staff.send(method, address).status_code == 403
        assert stranger.send(method, address).status_code == 404
        assert admin.send(method, f"{LIST}/{foreign}/take-back").status_code == 404
    assert admin.post(address, csrf=False).status_code == 400
    assert everything(app) == before


def test_whoever_joins_at_the_same_moment_stays_or_comes_too_late(
    app: Flask, admin: Browser, app_driver: AppDriver
) -> None:
    for number in range(3):
        email = f"racer{number}@many.test"
        location = upload(admin, a_file(f"Racer,{email}", f"Other,other{number}@many.test")).location
        with app.app_context():
            make_user(email, "Nora Wind")
            link = app_driver.link(find_client(HARBOUR, email).id)
        invitee = Browser(app)
        invitee.sign_in(email, PASSWORD)
        invitee.csrf_token()
        taken, joined = at_once(
            [partial(admin.twin().post, f"{location}/take-back", htmx=True), partial(invitee.post, link, {})]
        )
        left = [row.status for row in admin.rows(HARBOUR, f"?email=many.test&company_name=racer&q={email}")]
        said = words(parse(taken))
        if joined.status_code == 303:
            assert (said, left) == ("1 client removed; 1 has joined and stays.", ["joined"])
        else:
            assert (joined.status_code, said, left) == (410, "2 clients removed.", [])


def test_it_races_with_sending_and_leaves_no_mail_behind(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, address: str
) -> None:
    rival = admin.twin()
    _flushed, taken = at_once([outbox.flush, partial(rival.post, address)])
    assert taken.status_code == 303
    outbox.flush()
    assert addresses(app_driver) == []
    assert [mail for mail in app_driver.mails() if mail.state is MailState.QUEUED] == []
