"""A fresh link by oneself: whoever has an expired invitation may have it sent anew, to the invited address alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
import time_machine
from flask import Flask
from sqlalchemy import update
from werkzeug.test import TestResponse

from app.clients.service import remove_client, resend_invite
from app.core.errors import NotFound
from app.db.transactions import transaction
from app.models import EventKind, ImportedClient
from app.registration.service import DeadLink, ask_for_fresh_link
from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, ic, parse, path_of, words
from tests.support.smtp import MailServer
from tests.support.together import at_once

INVITEE = "info@nordwind.test"
NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}
SECOND = timedelta(seconds=1)


def fresh(link: str) -> str:
    return f"{path_of(link)}/fresh"


def heading(response: TestResponse) -> str:
    return words(parse(response).h1)


def lapse(app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.let_link_lapse(client_id, datetime.now(UTC) - SECOND)


def is_offered(browser: Browser, link: str) -> bool:
    page = browser.get(link)
    assert page.status_code == 410
    return parse(page).select_one(f'form[action="{fresh(link)}"]') is not None


@pytest.fixture
def client_id(app_driver: AppDriver, outbox: Outbox) -> UUID:
    """A client whose link has expired."""
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    lapse(app_driver, client_id)
    return client_id


@pytest.fixture
def link(app_driver: AppDriver, client_id: UUID) -> str:
    return app_driver.link(client_id)


@pytest.mark.both_databases
def test_it_goes_to_the_invited_address_in_the_same_inviters_name(
    nobody: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, client_id: UUID, link: str
) -> None:
    page = parse(nobody.get(link))
    assert words(page.h1) == "This invitation has expired"
    form = page.select_one("main form")
    assert words(form.select_one("button")) == "Send me a new invitation"
    answer = nobody.post(form["action"], {"email": "thief@elsewhere.test"})
    assert (answer.status_code, heading(answer)) == (200, "A new invitation is on its way")
    assert INVITEE not in answer.text
    assert "Nordwind" not in answer.text

    outbox.flush()
    mail = mail_server.wait_for(INVITEE, count=2)
    assert {one.recipient for one in mail_server.mails} == {INVITEE}
    assert "Ada Berg" in mail.text
    assert nobody.get(mail.link).status_code == 200
    assert heading(nobody.get(link)) == "This invitation was replaced by a newer one"
    assert nobody.post(mail.link, NORA).status_code == 303


def test_the_admin_sees_who_asked(
    admin: Browser, nobody: Browser, app_driver: AppDriver, client_id: UUID, link: str
) -> None:
    nobody.post(fresh(link))
    assert app_driver.events(client_id)[-2:] == [(EventKind.REQUESTED, None), (EventKind.MAIL_QUEUED, None)]
    assert (admin.row(HARBOUR, INVITEE).delivery, admin.row(HARBOUR, INVITEE).link) == ("queued", "valid")
    panel = parse(admin.get(f"{ic(HARBOUR)}/{client_id}/history", htmx=True))
    event = panel.select_one(".events li:nth-of-type(2)")
    assert words(event).startswith("The recipient asked for a new invitation")
    assert "the client" in words(event)


def test_who_had_declined_has_thought_again(nobody: Browser, app_driver: AppDriver) -> None:
    client_id = app_driver.invite(INVITEE)
    link = app_driver.link(client_id)
    nobody.post(f"{path_of(link)}/decline")
    lapse(app_driver, client_id)
    assert nobody.post(fresh(link)).status_code == 200
    assert not app_driver.client(INVITEE).is_declined


def test_opening_it_changes_nothing(app: Flask, app_driver: AppDriver, link: str) -> None:
    before = app_driver.dump()
    scanner = app.test_client()
    for n in range(6):
        headers = HTMX if n % 3 == 0 else {}
        assert (
            scanner.head(path_of(link)) if n % 2 else scanner.get(path_of(link), headers=headers)
        ).status_code == 410
        assert scanner.get(fresh(link)).status_code == 405
    assert app_driver.dump() == before


def test_without_its_token_of_the_session_nothing_is_done(nobody: Browser, app_driver: AppDriver, link: str) -> None:
    before = app_driver.dump()
    assert nobody.post(fresh(link), csrf=False).status_code == 400
    assert app_driver.dump() == before


def test_a_link_that_still_works_leads_to_its_page(nobody: Browser, app_driver: AppDriver) -> None:
    link = app_driver.link(app_driver.invite(INVITEE))
    before = app_driver.dump()
    answer = nobody.post(fresh(link))
    assert (answer.status_code, answer.location) == (303, path_of(link))
    assert app_driver.dump() == before


def test_other_dead_links_offer_and_do_nothing(nobody: Browser, app_driver: AppDriver) -> None:
    removed, resent, used = (app_driver.invite(f"{name}@nordwind.test") for name in ("removed", "resent", "used"))
    links = [app_driver.link(one) for one in (removed, resent, used)]
    nobody.post(links[2], NORA)
    for client_id in (removed, resent, used):
        lapse(app_driver, client_id)
    app_driver.remove(removed)
    app_driver.resend(resent)
    before = app_driver.dump()
    for link in links:
        assert not is_offered(nobody, link)
        answer = nobody.post(fresh(link))
        assert (answer.status_code, heading(answer)) == (410, heading(nobody.get(link)))
    assert nobody.post("/invitations/never.made/fresh").status_code == 404
    assert app_driver.dump() == before


def test_who_has_registered_needs_none(nobody: Browser, app_driver: AppDriver) -> None:
    client_id = app_driver.invite(INVITEE)
    nobody.post(app_driver.link(client_id), NORA)
    app_driver.resend(client_id)
    lapse(app_driver, client_id)
    newer = app_driver.link(client_id, 2)
    assert not is_offered(nobody, newer)
    assert nobody.post(fresh(newer)).status_code == 410


def test_a_portal_may_forbid_it(nobody: Browser, app_driver: AppDriver, link: str) -> None:
    app_driver.change_portal(gives_fresh_links=False)
    before = app_driver.dump()
    assert not is_offered(nobody, link)
    refused = nobody.post(fresh(link))
    assert (refused.status_code, heading(refused)) == (410, "This invitation has expired")
    assert "Ask Harbour Tours to send you a new invitation" in words(parse(refused))
    assert app_driver.dump() == before


def test_without_an_inviter_there_is_nobody_to_write_for(nobody: Browser, app_driver: AppDriver, link: str) -> None:
    def forget_inviter() -> None:
        with transaction() as session:
            session.execute(update(ImportedClient).values(invited_by_id=None))

    app_driver.do(forget_inviter)
    assert not is_offered(nobody, link)
    assert nobody.post(fresh(link)).status_code == 410


@pytest.mark.both_databases
def test_once_a_day_and_then_it_is_said_when_again(
    nobody: Browser, app_driver: AppDriver, client_id: UUID, link: str
) -> None:
    other = app_driver.invite("other@nordwind.test")
    lapse(app_driver, other)
    assert nobody.post(fresh(link)).status_code == 200
    lapse(app_driver, client_id)
    before = app_driver.dump()
    refused = nobody.post(fresh(app_driver.link(client_id, 2)))
    assert refused.status_code == 429
    assert 86_000 < int(refused.headers["Retry-After"]) <= 86_401
    assert "You can request another one in 24 hours." in words(parse(refused))
    assert app_driver.dump() == before
    assert nobody.post(fresh(app_driver.link(other))).status_code == 200
    with time_machine.travel(datetime.now(UTC) + timedelta(days=1, minutes=1)):
        assert nobody.post(fresh(app_driver.link(client_id, 2))).status_code == 200


@pytest.mark.both_databases
def test_asking_twenty_times_at_once_makes_one_mail(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, client_id: UUID, link: str
) -> None:
    first = Browser(app)
    first.csrf_token()
    answers = at_once([partial(first.twin().post, fresh(link)) for _ in range(20)])
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 19
    assert {heading(answer) for answer in answers if answer.status_code == 410} == {
        "This invitation was replaced by a newer one"
    }
    outbox.flush()
    assert len(mail_server.to(INVITEE)) == 2
    assert app_driver.kinds(client_id).count(EventKind.REQUESTED) == 1


@pytest.mark.both_databases
@pytest.mark.parametrize("rival", ["resends", "removes"])
def test_asking_races_with_what_an_admin_does(app_driver: AppDriver, rival: str) -> None:
    ada = app_driver.user("ada@harbour.test").id

    def outcome(call: object, *args: object) -> str:
        try:
            app_driver.do(call, *args)
        except DeadLink as dead:
            return dead.state.value
        except NotFound:
            return "not there"
        return "done"

    for n in range(3):
        client_id = app_driver.invite(f"racer{n}@nordwind.test")
        lapse(app_driver, client_id)
        token = app_driver.link(client_id).rpartition("/")[2]
        act = remove_client if rival == "removes" else resend_invite
        asked, done = at_once(
            [partial(outcome, ask_for_fresh_link, token), partial(outcome, act, HARBOUR, client_id, ada)]
        )
        assert done == "done"
        assert asked in {"done", "withdrawn" if rival == "removes" else "replaced"}
        if rival == "resends":
            generation = app_driver.client(f"racer{n}@nordwind.test").generation
            assert generation == (3 if asked == "done" else 2)
