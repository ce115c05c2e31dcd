"""A client that joined changes its account's address: its row keeps the invited one, and says the present one too."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.accounts.email_change_mails import queue_confirmation_mails
from app.core.errors import Conflict
from app.core.links import LinkClaim, LinkKind, make_token
from app.db.transactions import transaction
from app.extensions import db
from app.models import ClientEvent, EmailChange, EventKind, User
from app.registration.email_confirmation import confirm_change
from app.registration.service import accept
from tests.conftest import HARBOUR, Outbox
from tests.integration.accounts.moving import ask, links, move
from tests.integration.accounts.owner import sign_in_with
from tests.integration.cli.running import run
from tests.integration.clients.open_page import OpenPage, settle
from tests.integration.imports.uploading import a_file, codes_in, refusal_in, upload
from tests.integration.portals.ending import end, give_back
from tests.integration.registration.invitee import INVITEE
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, ic, parse, words
from tests.support.databases import on_sqlite
from tests.support.factories import PASSWORD, make_user
from tests.support.remains import places_of
from tests.support.shell import hand_over, says, signed
from tests.support.shell import register as register_shell
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

NOW = "nora@elsewhere.test"


@pytest.fixture
def client_id(app_driver: AppDriver, outbox: Outbox) -> UUID:
    """A client that was invited as INVITEE, has joined, and has the address NOW today."""
    client_id = joined(app_driver, INVITEE, app_driver.do(make_user, INVITEE, "Nora Wind"))
    moved(app_driver, outbox, INVITEE, NOW)
    return client_id


def joined(app_driver: AppDriver, email: str, user_id: int) -> UUID:
    client_id = app_driver.invite(email)
    app_driver.do(accept, app_driver.link(client_id).rpartition("/")[2], user_id)
    return client_id


def moved(app_driver: AppDriver, outbox: Outbox, present: str, new: str) -> None:
    """Change an address with all the mails, as pages do: see `move`."""
    user_id = app_driver.user(present).id

    def ask() -> LinkClaim:
        with transaction() as session:
            user = session.get_one(User, user_id)
            user.email_change_generation += 1
            session.add(EmailChange(user_id=user_id, generation=user.email_change_generation, email=new))
            queue_confirmation_mails(user, new)
            return LinkClaim(str(user_id), user.email_change_generation)

    claim = app_driver.do(ask)
    outbox.flush()
    for kind in (LinkKind.EMAIL_CHANGE, LinkKind.NEW_EMAIL):
        app_driver.do(confirm_change, kind, app_driver.do(make_token, kind, claim), None)
    assert app_driver.user(new).id == user_id


def test_the_row_and_the_detail_say_both(admin: Browser, client_id: UUID, app_driver: AppDriver) -> None:
    (row,) = admin.rows(HARBOUR)
    assert row.email == f"{INVITEE} now {NOW}"
    panel = parse(admin.get(f"{ic(HARBOUR)}/{client_id}/history", htmx=True))
    assert words(panel.select_one(".panel-email")) == f"{INVITEE} The account's address is now {NOW}"
    newest = words(panel.select("ol.events li")[0])
    assert "Changed the email address of their account" in newest
    assert "the client" in newest
    (event,) = (one for one in app_driver.do(_events) if one.kind is EventKind.EMAIL_CHANGED)
    assert (event.client_id, event.detail) == (client_id, None)
    # The file is read back as it was, so the invited address alone stands in it.
    exported = admin.get(f"{ic(HARBOUR)}/export.csv").text
    assert INVITEE in exported
    assert NOW not in exported


def _events() -> list[ClientEvent]:
    return list(db.session.scalars(select(ClientEvent).order_by(ClientEvent.id)).all())


@on_sqlite
def test_an_open_page_learns_it(
    app: Flask, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, client_id: UUID
) -> None:
    settle(app_driver)
    page = OpenPage(admin)
    assert page.ask() == 204
    move(app, outbox, mail_server, NOW, "nora@third.test")
    assert page.ask() == 200
    assert "now nora@third.test" in words(page.table)
    moved(app_driver, outbox, "nora@third.test", INVITEE)
    page.ask()
    assert "nora@" not in words(page.table)


def test_neither_can_be_added_again(admin: Browser, app_driver: AppDriver, client_id: UUID) -> None:
    for email, other in ((INVITEE, "other@acme.test"), (NOW, "third@acme.test")):
        mails, before = len(app_driver.mails()), emails(app_driver)
        added = admin.post(ic(HARBOUR), {"company_name": "Again", "email": email.upper()}, htmx=True)
        fresh = admin.post(ic(HARBOUR), {"company_name": "Other", "email": other}, htmx=True)
        assert (added.status_code, added.text, added.headers.get("HX-Trigger")) == (
            fresh.status_code,
            fresh.text,
            fresh.headers.get("HX-Trigger"),
        ), email
        assert len(app_driver.mails()) == mails + 1, email
        assert emails(app_driver) == before | {other}
        file = a_file(f"Again,{email}", f"New,new-{other}")
        assert codes_in(refusal_in(upload(admin, file))) == [(2, "email_duplicate_joined")], email
        done = upload(admin, file, {"skip_existing": "1"})
        assert done.location.endswith("?left_out=1"), email
        assert emails(app_driver) == before | {other, f"new-{other}"}


def emails(app_driver: AppDriver) -> set[str]:
    return {email for _portal, email, _status in app_driver.clients()}


@on_sqlite
def test_another_client_cannot_be_corrected_to_it(admin: Browser, app_driver: AppDriver, client_id: UUID) -> None:
    other = app_driver.invite("other@acme.test")
    refused = admin.post(f"{ic(HARBOUR)}/{other}/correct", {"company_name": "Acme", "email": NOW}, htmx=True)
    assert refused.status_code == 422
    assert "already has this address" in field_errors(refused)["email"]


def test_search_finds_both(admin: Browser, app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.invite("other@acme.test")
    for query in ("?q=INFO@nord", "?q=elsewhere", "?email=nora@else", "?email=nordwind.test"):
        assert [row.id for row in admin.rows(HARBOUR, query)] == [str(client_id)], query
    assert admin.rows(HARBOUR, "?q=nora@elsewhere.tes_") == []


@on_sqlite
def test_another_row_may_have_been_invited_at_it(
    app: Flask, admin: Browser, app_driver: AppDriver, outbox: Outbox
) -> None:
    """Then that row decides what an import is told, and its owner accepts it as well."""
    second = app_driver.invite(NOW)
    joined(app_driver, INVITEE, app_driver.do(make_user, INVITEE, "Nora Wind"))
    moved(app_driver, outbox, INVITEE, NOW)
    assert codes_in(refusal_in(upload(admin, a_file(f"Again,{NOW}")))) == [(2, "email_duplicate_in_table")]
    browser = Browser(app)
    browser.sign_in(NOW, PASSWORD)
    assert browser.post(app_driver.link(second)).status_code == 303
    assert {row.email for row in admin.rows(HARBOUR)} == {f"{INVITEE} now {NOW}", NOW}


def test_whoever_joins_while_the_address_changes_shows_it_or_does_not_join(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    user_id = app_driver.do(make_user, INVITEE, "Nora Wind")
    token = app_driver.link(app_driver.invite(INVITEE)).rpartition("/")[2]
    assert ask(sign_in_with(app, email=INVITEE), email=NOW).status_code == 303
    present, new = links(outbox, mail_server, INVITEE, NOW)
    assert Browser(app).post(new).status_code == 303

    def join() -> bool:
        try:
            app_driver.do(accept, token, user_id)
        except Conflict:
            return False
        return True

    joined, confirmed = at_once([join, lambda: Browser(app).post(present).status_code])
    assert confirmed == 303
    client = app_driver.client(INVITEE)
    assert (client.is_joined, client.account_email) == ((True, NOW) if joined else (False, None))


def test_ended_access_holds_for_both(app: Flask, app_driver: AppDriver, outbox: Outbox, client_id: UUID) -> None:
    end(app_driver, NOW)
    register_shell(app, HARBOUR)
    # Where the former address is somebody's again, and through a shell that names it.
    app_driver.do(make_user, INVITEE, "Nora Wind")
    for email in (INVITEE, NOW):
        refused = hand_over_as(app, email)
        assert refused.status_code == 403, email
    browser = Browser(app)
    browser.sign_in(NOW, PASSWORD)
    assert browser.get("/portals").status_code == 200
    # Also after one change more.
    moved(app_driver, outbox, NOW, "nora@third.test")
    for email in (INVITEE, NOW, "nora@third.test"):
        assert hand_over_as(app, email).status_code == 403, email
    give_back(app_driver, "nora@third.test")
    assert hand_over_as(app, "nora@third.test").status_code == 303


def hand_over_as(app: Flask, email: str) -> TestResponse:
    token = signed(says(sub=f"sub-{email}", email=email, name="Nora Wind", role="client"))
    return hand_over(Browser(app), token)


@on_sqlite
def test_an_invitation_of_the_former_address_stays_shut_out(
    app: Flask, app_driver: AppDriver, outbox: Outbox, admin: Browser
) -> None:
    """A client that a shell had handed over, so that no row knows the address."""
    app_driver.do(make_user, "carla@new.test", "Other Carla")
    moved(app_driver, outbox, "carla@client.test", "carla@third.test")
    end(app_driver, "carla@third.test")
    again = app_driver.invite("carla@client.test")
    assert Browser(app).get(app_driver.link(again)).status_code == 410
    assert "Access ended" in words(parse(admin.get(ic(HARBOUR))).select_one(f"#client-{again}"))


def test_a_shell_follows_the_account(app: Flask, app_driver: AppDriver, outbox: Outbox) -> None:
    register_shell(app, HARBOUR)
    app_driver.do(make_user, INVITEE, "Nora Wind")
    token = {"sub": "nora-1", "name": "Nora Wind", "role": "staff"}
    assert hand_over(Browser(app), signed(says(email=INVITEE, **token))).status_code == 303
    nora = app_driver.user(INVITEE).id
    moved(app_driver, outbox, INVITEE, NOW)
    # The former address is another person's account by now. The shell still says it, or says the new one.
    app_driver.do(make_user, INVITEE, "Somebody Else")
    for email in (INVITEE, NOW, INVITEE):
        assert hand_over(Browser(app), signed(says(email=email, **token))).status_code == 303
    assert app_driver.role(NOW) is not None
    assert app_driver.role(INVITEE) is None
    assert app_driver.user(NOW).id == nora


@pytest.mark.parametrize(
    ("database_url", "verb", "email"),
    [
        *(("sqlite", verb, email) for verb in ("client", "user") for email in (INVITEE, NOW)),
        ("postgresql", "client", INVITEE),
        ("postgresql", "user", NOW),
    ],
    indirect=["database_url"],
)
def test_an_erasure_finds_both_and_leaves_neither(
    app: Flask, admin: Browser, app_driver: AppDriver, outbox: Outbox, client_id: UUID, verb: str, email: str
) -> None:
    # The one in between stands in no row. Another account has asked for it, and another change waits.
    moved(app_driver, outbox, NOW, "nora@third.test")
    moved(app_driver, outbox, "nora@third.test", NOW)
    browser = Browser(app)
    browser.sign_in(NOW, PASSWORD)
    assert ask(browser, email="nora@fourth.test").status_code == 303
    assert ask(admin, email=NOW).status_code == 303
    everywhere = (INVITEE, NOW, "nora@third.test", "nora@fourth.test", "Nora Wind")
    held = places_of(app, *everywhere)
    assert {
        "email_change.email",
        "former_address.email",
        "imported_client.account_email",
        "outbox_mail.params",
    } <= held
    portal = ["--portal", HARBOUR] if verb == "client" else []
    erased = run(app, verb, "erase", *portal, "--email", email, "--yes")
    assert erased.exit_code == 0, erased.output
    assert places_of(app, *everywhere) == set()
    assert app_driver.clients() == []


@on_sqlite
def test_the_commands_find_the_row_by_both(app: Flask, client_id: UUID) -> None:
    for email in (INVITEE, NOW):
        refused = run(app, "client", "resend", "--portal", HARBOUR, "--email", email)
        assert "has joined" in refused.output
