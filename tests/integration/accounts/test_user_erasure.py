"""`flask user erase`: a person goes from every portal, and what they did there was done by a deleted user."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Update, update

from app.clients.user_erasure import LastAdmin, erase_user
from app.db.transactions import transaction
from app.imports.csv_reader import read_csv
from app.imports.service import Imported, import_clients
from app.imports.take_back import take_back
from app.models import Branding, EventKind, PortalMailServer, Role, Stage, TlsMode, User
from app.registration.password_reset import request_reset
from app.registration.service import accept
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.accounts.owner import SAFARI, change_password, sign_in_with
from tests.integration.cli.running import refusal, run
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.databases import on_sqlite
from tests.support.factories import import_file, invite, make_member, make_user
from tests.support.remains import places_of
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

ADA, NAME = "ada@harbour.test", "Ada Berg"
BEN = "ben@harbour.test"
INVITEE = "info@nordwind.test"


ERASE = ["user", "erase", "--email", ADA]


@pytest.fixture
def ben(app_driver: AppDriver) -> None:
    """Another client admin."""
    app_driver.do(make_member, HARBOUR, BEN, "Ben Dahl", Role.CLIENT_ADMIN)


def write(app_driver: AppDriver, *rows: object, change: Update | None = None) -> None:
    def add() -> None:
        with transaction() as session:
            session.add_all(rows)
            if change is not None:
                session.execute(change)

    app_driver.do(add)


def test_an_admin_goes_from_every_portal_and_their_invitations_go_on(
    app: Flask, app_driver: AppDriver, ben: None, outbox: Outbox, mail_server: MailServer
) -> None:
    sent, waiting = app_driver.invite("sent@nordwind.test"), app_driver.invite(INVITEE)
    app_driver.settle(next(mail for mail in app_driver.claim() if mail.client_id == sent))
    app_driver.do(import_file, HARBOUR, "third@nordwind.test")
    app_driver.do(invite, ALPINE, ADA, "Ada Berg Reisen", "olaf@alpine.test")
    app_driver.do(request_reset, ADA, "203.0.113.7")
    write(app_driver, Branding(portal_id=HARBOUR, stage=Stage.PUBLISHED, support_address=ADA))
    app_driver.change_portal(reply_to=ADA)
    account_id = app_driver.user(ADA).id
    assert {"user_account.name", "outbox_mail.params", "portal.reply_to"} <= places_of(app, ADA, NAME)

    done = run(app, *ERASE, "--yes")
    assert (done.exit_code, done.stdout) == (0, "1 client and 1 account erased\n"), done.output
    (line,) = done.stderr.splitlines()
    told: dict[str, Any] = json.loads(line)
    assert (told["event"], told["accounts"], len(told["clients"])) == ("user erased", [account_id], 1)
    assert places_of(app, ADA, NAME) == set()
    assert app_driver.events(waiting)[0] == (EventKind.INVITED, None)

    app_driver.end_leases()
    outbox.flush()
    taken = mail_server.wait_for(INVITEE)
    assert "Harbour Tours invites Nordwind Reisen to its booking portal." in " ".join(taken.text.split())
    assert "Invited by" not in taken.text + taken.html
    assert "Reply-To" not in taken.message
    assert Browser(app).get(taken.link).status_code == 200
    browser = Browser(app)
    browser.sign_in(BEN, "seven plain words for a test")
    page = browser.get(f"{ic(HARBOUR)}/{waiting}/history")
    assert "deleted user" in page.text


def test_messages_and_names_of_files_do_not_name_them_any_more(app: Flask, app_driver: AppDriver, ben: None) -> None:
    app_driver.invite(INVITEE, message="See you soon! Yours, Ada Berg")
    app_driver.invite("post@berghof.test", message="Yours, Ada Bergmann")
    file = read_csv(b"company_name,email\nImported Ltd,third@nordwind.test")
    account_id = app_driver.user(ADA).id
    outcome = app_driver.do(
        import_clients, HARBOUR, account_id, "Clients of ADA BERG.csv", file.rows, message=f"Ask {ADA}"
    )
    assert isinstance(outcome, Imported)
    app_driver.do(take_back, HARBOUR, outcome.import_id, account_id)
    assert run(app, *ERASE, "--yes").exit_code == 0
    assert places_of(app, ADA, "Ada Berg.", 'Yours, Ada Berg"', "Clients of") == set()
    assert app_driver.client(INVITEE).message is None
    assert app_driver.client("post@berghof.test").message == "Yours, Ada Bergmann"
    assert app_driver.mail("post@berghof.test").params["message"] == "Yours, Ada Bergmann"
    assert "message" not in app_driver.mail(INVITEE).params


def test_messages_that_name_the_company_of_a_client_go_in_their_portal(
    app: Flask, app_driver: AppDriver, ben: None
) -> None:
    app_driver.invite(ADA, "Bergtours")
    app_driver.let_join(ADA)
    words = "Bergtours sent me to you."
    for portal_id in (HARBOUR, ALPINE):
        app_driver.invite(INVITEE, portal_id=portal_id, message=words)
    assert run(app, *ERASE, "--yes").exit_code == 0
    assert app_driver.client(INVITEE).message is None
    assert app_driver.client(INVITEE, ALPINE).message == words


def test_what_they_did_in_their_own_account_goes_with_them(
    app: Flask, app_driver: AppDriver, ben: None, outbox: Outbox
) -> None:
    """Also what they were called before."""
    app_driver.invite(INVITEE, message="See you soon! Yours, Ada Berg")
    for _ in range(2):
        browser = sign_in_with(app, SAFARI)
    assert browser.post("/account", {"name": "Zoe Alder"}).status_code == 303
    assert change_password(browser).status_code == 303
    theirs = (ADA, NAME, "Zoe Alder", "iPhone")
    named = {"login_session.system", "outbox_mail.params", "audit_identity.name", "imported_client.message"}
    assert named <= places_of(app, *theirs)
    assert run(app, *ERASE, "--yes").exit_code == 0
    assert places_of(app, *theirs) == set()


@on_sqlite
def test_a_mail_with_an_own_address_for_replies_keeps_it(
    app: Flask, app_driver: AppDriver, ben: None, outbox: Outbox, mail_server: MailServer
) -> None:
    app_driver.change_portal(reply_to="team@harbour.test")
    app_driver.invite(INVITEE)
    assert run(app, *ERASE, "--yes").exit_code == 0
    outbox.flush()
    assert mail_server.wait_for(INVITEE).message["Reply-To"] == "team@harbour.test"


@on_sqlite
def test_the_last_client_admin_is_erased_only_if_that_is_meant(app: Flask, app_driver: AppDriver) -> None:
    before = app_driver.dump()
    assert refusal(app, *ERASE, "--yes") == (
        "Nothing was erased, because ada@harbour.test is the last client admin of harbour. Give someone else the role"
        " first. Or add --last-admin."
    )
    assert app_driver.dump() == before
    assert run(app, *ERASE, "--yes", "--last-admin").exit_code == 0
    assert not app_driver.has_account(ADA)


def test_of_two_last_admins_who_are_erased_at_once_one_stays(app_driver: AppDriver, ben: None) -> None:
    def one(email: str) -> bool:
        try:
            app_driver.do(erase_user, email)
        except LastAdmin:
            return False
        return True

    assert sorted(at_once([partial(one, email) for email in (ADA, BEN)])) == [False, True]
    assert app_driver.has_account(ADA) is not app_driver.has_account(BEN)


@on_sqlite
def test_settings_that_name_somebody_are_for_the_operator_to_change(
    app: Flask, app_driver: AppDriver, ben: None
) -> None:
    server = {"host": "smtp.harbour.test", "port": 587, "tls": TlsMode.STARTTLS, "username": "ada@harbour.test"}
    write(
        app_driver,
        PortalMailServer(portal_id=HARBOUR, sender="Harbour <no-ada@harbour.test>", **server),
        Branding(portal_id=HARBOUR, stage=Stage.DRAFT, greeting="Hello from ADA  Berg", subject="From Ada Berg"),
    )
    before = app_driver.dump()
    assert refusal(app, *ERASE, "--yes") == (
        "Nothing was erased, because settings hold this name or address: the mail server's user name in portal"
        " harbour, the subject of invitations in portal harbour. Change them first."
    )
    assert app_driver.dump() == before


@on_sqlite
def test_without_yes_it_only_says_what_it_would_do(app: Flask, app_driver: AppDriver) -> None:
    before = app_driver.dump()
    assert refusal(app, *ERASE) == (
        f"This would erase the account of {NAME} ({ADA}) for good: client_admin of harbour. To do so, add --yes."
    )
    assert app_driver.dump() == before
    assert "no account with the address nobody@x.test" in refusal(app, *ERASE[:-1], "nobody@x.test", "--yes")
    assert "no account with the address nobody@x.test" in refusal(app, *ERASE[:-1], "nobody@x.test")


@on_sqlite
def test_an_address_that_is_somebody_elses_by_now_stays(app: Flask, app_driver: AppDriver) -> None:
    client_id = app_driver.invite(INVITEE)
    former = app_driver.do(make_user, INVITEE, "Nora Wind")
    app_driver.do(accept, app_driver.link(client_id).rpartition("/")[2], former)
    write(app_driver, change=update(User).where(User.id == former).values(email="nora@nordwind.test"))
    app_driver.do(make_user, INVITEE, "Nils Wind")
    app_driver.do(invite, ALPINE, INVITEE, "Nordwind Alpen", "olaf@alpine.test")
    assert run(app, "user", "erase", "--email", "nora@nordwind.test", "--yes").exit_code == 0
    assert app_driver.has_account(INVITEE)
    assert app_driver.clients() == [(ALPINE, INVITEE, "invite_sent")]
    assert places_of(app, "Nora Wind", "nora@nordwind.test") == set()
