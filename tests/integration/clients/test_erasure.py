"""`flask client erase`: afterwards neither address, name nor company stands anywhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from app.clients.access import end_access
from app.clients.notices import send_digests
from app.clients.service import correct_client
from app.db.transactions import transaction
from app.extensions import db
from app.imports.csv_reader import read_csv
from app.imports.service import import_clients
from app.models import (
    ClientEvent,
    ClientImport,
    EventKind,
    JoinNotice,
    MailKind,
    MailServerState,
    Membership,
    Role,
    ShellAccount,
    ShellIssuer,
    ShellIssuerPortal,
    WebhookDelivery,
    WebhookEvent,
)
from app.outbox.errors import PermanentFailure, ServerMisconfigured
from app.registration.password_reset import request_reset
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.cli.running import refusal, run
from tests.integration.clients.erasing import (
    ADA,
    ALL,
    BEN,
    COMPANY,
    FILES,
    MISSPELT,
    NAME,
    QUOTE,
    TYPED,
    WANDA,
    endpoint,
    erased,
    words,
)
from tests.integration.clients.test_join_notices import choose
from tests.integration.registration.invitee import CHOSEN, PASSPHRASE, verification_link
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.databases import on_sqlite
from tests.support.factories import counted_as, invite, make_member
from tests.support.remains import places_of

pytestmark = pytest.mark.both_databases


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


def imported(app_driver: AppDriver, file_name: str, *rows: str) -> None:
    lines = ["company_name,email", *rows]
    file = read_csv("\r\n".join(lines).encode())
    assert not file.errors
    app_driver.do(import_clients, HARBOUR, app_driver.user(ADA).id, file_name, file.rows)


def file_names(app_driver: AppDriver) -> list[str]:
    query = select(ClientImport.file_name).order_by(ClientImport.id)
    return list(app_driver.do(lambda: db.session.scalars(query).all()))


def corrected(app_driver: AppDriver) -> UUID:
    """A client that was imported with a slip in its address and name, which came back, and was corrected."""
    imported(app_driver, "Zephyr-Reisen.csv", f"{MISSPELT},{TYPED}", "Berghof,post@berghof.test")
    client_id = app_driver.client(TYPED).id
    for mail in app_driver.claim():
        if mail.recipient == TYPED:
            app_driver.settle(mail, PermanentFailure(f"550 <{TYPED}> is nobody here"))
        else:
            app_driver.settle(mail)
    app_driver.do(correct_client, HARBOUR, client_id, app_driver.user(ADA).id, COMPANY, WANDA)
    return client_id


def lapsed(app_driver: AppDriver, client_id: UUID) -> None:
    """Its link expires, and a digest says so."""
    app_driver.let_link_lapse(client_id, datetime.now(UTC) + timedelta(hours=1))
    with time_machine.travel(datetime.now(UTC) + timedelta(days=2)):
        assert app_driver.do(send_digests, _Never()) == 1
    app_driver.let_link_lapse(client_id, datetime.now(UTC) + timedelta(days=3))


class _Never:
    def is_set(self) -> bool:
        return False


def joined(app_driver: AppDriver, client_id: UUID) -> None:
    browser = Browser(app_driver.app)
    form = {"name": NAME, "password": PASSPHRASE}
    assert browser.post(app_driver.link(client_id, 2), form).status_code == 303
    assert Browser(app_driver.app).post(verification_link(app_driver, WANDA), CHOSEN).status_code == 303


def came_through_shell(app_driver: AppDriver) -> None:
    """Her account is linked to a person of a host shell that serves this portal."""

    def link() -> None:
        with transaction() as session:
            issuer = ShellIssuer(issuer="https://shell.test", public_key="a key")
            session.add(issuer)
            session.flush()
            session.add(ShellIssuerPortal(issuer_id=issuer.id, portal_id=HARBOUR))
            user_id = app_driver.user(WANDA).id
            session.add(ShellAccount(issuer_id=issuer.id, subject=WANDA, user_id=user_id, is_made_here=False))

    app_driver.do(link)


@pytest.fixture
def admins(app_driver: AppDriver) -> None:
    """Ada wants a notice at once, Ben a digest."""
    app_driver.do(make_member, HARBOUR, BEN, "Ben Dahl", Role.CLIENT_ADMIN)
    choose(app_driver, ADA, JoinNotice.AT_ONCE)
    choose(app_driver, BEN, JoinNotice.DAILY)


@pytest.fixture
def lived(app_driver: AppDriver, admins: None, outbox: Outbox) -> UUID:
    """A client with everything that can be known about one: see `EVERYWHERE`."""
    endpoint(app_driver)
    client_id = corrected(app_driver)
    lapsed(app_driver, client_id)
    joined(app_driver, client_id)
    came_through_shell(app_driver)
    app_driver.do(request_reset, WANDA, "203.0.113.7")
    with counted_as(app_driver.app, 10):
        Browser(app_driver.app).sign_in(WANDA, "not her password at all")
    Browser(app_driver.app).sign_in(WANDA, "not her password at all")
    Browser(app_driver.app).sign_in(WANDA, PASSPHRASE)
    app_driver.pause("", ServerMisconfigured("554 5.7.1 denied"))
    quote_in(app_driver, QUOTE)
    app_driver.do(end_access, HARBOUR, app_driver.user(WANDA).id, app_driver.user(ADA).id)
    return client_id


def quote_in(app_driver: AppDriver, words: str) -> None:
    """A reason of a pause as an older version wrote it."""

    def quote() -> None:
        with transaction() as session:
            session.get_one(MailServerState, "").reason = words

    app_driver.do(quote)


EVERYWHERE = {
    "audit_identity.email",
    "audit_identity.name",
    "imported_client.company_name",
    "imported_client.company_name_folded",
    "imported_client.email",
    "client_event.detail",
    "client_import.file_name",
    "client_import.file_name_folded",
    "mail_server_state.reason",
    "outbox_mail.last_error",
    "outbox_mail.params",
    "outbox_mail.recipient",
    "shell_account.subject",
    "user_account.email",
    "user_account.name",
    "user_account.name_folded",
    "webhook_delivery.company_name",
    "webhook_delivery.detail",
    "webhook_delivery.email",
}


def test_nothing_of_a_joined_client_is_left_but_that_there_was_one(
    app: Flask, app_driver: AppDriver, lived: UUID
) -> None:
    found = places_of(app, *ALL)
    assert found - FILES == EVERYWHERE
    assert found & FILES
    account_id = app_driver.user(WANDA).id
    line = erased(app)
    assert places_of(app, *ALL) == set()
    assert (line["event"], line["portal"], line["clients"]) == ("client erased", HARBOUR, [str(lived)])
    assert line["accounts"] == [account_id]
    kinds = app_driver.kinds(lived)
    assert kinds[0] is EventKind.INVITED
    assert kinds[-2:] == [EventKind.ACCESS_ENDED, EventKind.REMOVED]
    assert app_driver.clients() == [(HARBOUR, "post@berghof.test", "invite_sent")]
    assert file_names(app_driver) == ["(erased)"]
    # The receivers of webhooks are told as of any removal.
    newest = select(WebhookDelivery).order_by(WebhookDelivery.id.desc()).limit(1)
    told = app_driver.do(lambda: db.session.scalars(newest).one())
    assert (told.event, told.client_id) == (WebhookEvent.CLIENT_REMOVED, lived)


def test_a_digest_goes_on_telling_of_the_others(app: Flask, app_driver: AppDriver, admins: None) -> None:
    clients = {
        email: app_driver.invite(email, company)
        for email, company in ((WANDA, COMPANY), ("post@berghof.test", COMPANY), ("info@nordwind.test", "Nordwind"))
    }
    for client_id in clients.values():
        app_driver.let_link_lapse(client_id, datetime.now(UTC) + timedelta(hours=1))
    with time_machine.travel(datetime.now(UTC) + timedelta(days=2)):
        app_driver.do(send_digests, _Never())
    erased(app)
    (digest,) = [mail for mail in app_driver.mails() if mail.kind is MailKind.JOIN_DIGEST]
    assert (sorted(digest.params["lapsed"].splitlines()), digest.params["lapsed_number"]) == (
        ["Nordwind", COMPANY],
        "2",
    )
    assert clients[WANDA].hex not in digest.params["lapsed_ids"]
    erased(app, "post@berghof.test")
    erased(app, "info@nordwind.test")
    assert [mail for mail in app_driver.mails() if mail.kind is MailKind.JOIN_DIGEST] == []


def test_an_address_that_was_removed_before_loses_its_traces(app: Flask, app_driver: AppDriver, admins: None) -> None:
    endpoint(app_driver)
    client_id = app_driver.invite(WANDA, COMPANY)
    lapsed(app_driver, client_id)
    imported(app_driver, "wanda@zephyr.test.csv", "Berghof,post@berghof.test")
    app_driver.remove(client_id)
    again = app_driver.invite(WANDA, COMPANY)
    app_driver.remove(again)
    told = refusal(app, *words())
    assert told.startswith(f"This would erase what is left of {WANDA}, who isn't in the table, from portal {HARBOUR}")
    digests = select(ClientEvent.address_digest).where(ClientEvent.address_digest.is_not(None))
    assert len(app_driver.do(lambda: db.session.scalars(digests).all())) == 2
    assert sorted(erased(app)["clients"]) == sorted([str(client_id), str(again)])
    assert places_of(app, *ALL) == set()
    assert app_driver.do(lambda: db.session.scalars(digests).all()) == []
    assert "holds nothing about a client" in refusal(app, *words(), "--yes")


def test_a_wrong_address_is_erased_and_the_corrected_client_stays(app: Flask, app_driver: AppDriver) -> None:
    endpoint(app_driver)
    client_id = corrected(app_driver)
    assert erased(app, TYPED)["clients"] == []
    assert TYPED not in app_driver.dump(with_audit=True)
    assert app_driver.client(WANDA).id == client_id
    assert app_driver.mail(WANDA).generation == 2


def test_an_account_of_another_portal_stays_there_with_what_it_means_there(
    app: Flask, app_driver: AppDriver, lived: UUID
) -> None:
    app_driver.do(_join, app_driver.user(WANDA).id, ALPINE)
    app_driver.do(invite, ALPINE, WANDA, "Zephyr of the Alps", "olaf@alpine.test")
    told = refusal(app, *words())
    assert told.endswith("the account stays, because it belongs to another portal or to the team. To do so, add --yes.")
    assert erased(app)["accounts"] == []
    assert app_driver.has_account(WANDA)
    assert app_driver.role(WANDA, ALPINE) is Role.CLIENT
    assert app_driver.role(WANDA) is None
    assert app_driver.client(WANDA, ALPINE).company_name == "Zephyr of the Alps"
    found = places_of(app, WANDA, NAME, COMPANY)
    assert {place.partition(".")[0] for place in found if "." in place} == {
        "user_account",
        "imported_client",
        "outbox_mail",
        "audit_identity",
    }
    assert [actor for _kind, actor in app_driver.events(lived) if actor == WANDA] == []
    assert COMPANY not in app_driver.dump(with_audit=True)
    app_driver.forget_limits()
    assert Browser(app).sign_in(WANDA, PASSPHRASE).status_code == 303


def _join(user_id: int, portal_id: str) -> None:
    with transaction() as session:
        session.add(Membership(portal_id=portal_id, user_id=user_id, role=Role.CLIENT))


@on_sqlite
def test_a_member_who_was_never_imported_can_be_erased_too(app: Flask, app_driver: AppDriver) -> None:
    assert erased(app, "carla@client.test")["accounts"]
    assert places_of(app, "carla@client.test", "Carla Vega") == set()


@on_sqlite
def test_the_team_is_not_erased_as_clients(app: Flask, app_driver: AppDriver) -> None:
    assert "holds nothing about a client" in refusal(app, *words("sam@harbour.test"), "--yes")
    app_driver.invite("sam@harbour.test", COMPANY)
    assert erased(app, "sam@harbour.test")["accounts"] == []
    assert app_driver.role("sam@harbour.test") is Role.STAFF


@on_sqlite
def test_what_a_pause_quotes_is_masked_at_once(app_driver: AppDriver) -> None:
    app_driver.pause("", ServerMisconfigured(f"554 5.7.1 <{WANDA}> denied"))
    assert WANDA not in app_driver.dump(with_audit=True)


@on_sqlite
def test_the_name_of_a_file_goes_if_it_tells_whom_it_is_about(app: Flask, app_driver: AppDriver) -> None:
    imported(app_driver, "Reisen of others.csv", "Berghof,post@berghof.test")
    left = ["Reisen of others.csv"]
    for file_name, then in (
        ("zephyr_reisen_ü 2026.csv", "(erased)"),
        ("Reisen.csv", "(erased)"),
        ("clients of May.csv", "clients of May.csv"),
    ):
        imported(app_driver, file_name, f"{COMPANY},{WANDA}", f"Nordwind,info{len(left)}@nordwind.test")
        erased(app)
        left.append(then)
        assert file_names(app_driver) == left


@on_sqlite
def test_the_name_of_a_file_with_nobody_else_in_it_goes(app: Flask, app_driver: AppDriver) -> None:
    imported(app_driver, "w.csv", f"{COMPANY},{WANDA}")
    app_driver.remove(app_driver.client(WANDA).id)
    erased(app)
    assert file_names(app_driver) == ["(erased)"]


@on_sqlite
def test_a_message_to_somebody_else_that_mentions_them_goes(app: Flask, app_driver: AppDriver) -> None:
    other = app_driver.invite("info@nordwind.test", "Nordwind", message=f"Like {COMPANY}. Ask {WANDA.upper()}!")
    third = app_driver.invite("post@berghof.test", "Berghof", message=f"Not like {COMPANY}berger.")
    app_driver.invite(WANDA, COMPANY)
    (mail,) = [mail for mail in app_driver.claim() if mail.client_id == third]
    app_driver.settle(mail, PermanentFailure(f"550 no {COMPANY} here"))
    erased(app)
    assert (
        app_driver.do(lambda: db.session.scalars(select(ClientEvent.detail)).all()).count(f"550 no {COMPANY} here") == 1
    )
    assert COMPANY not in str(app_driver.mail("info@nordwind.test").params)
    assert places_of(app, WANDA) == set()
    assert app_driver.client("info@nordwind.test").message is None
    assert app_driver.client("post@berghof.test").message == f"Not like {COMPANY}berger."
    assert other != third


# The command


@on_sqlite
def test_without_yes_it_only_says_what_it_would_do(app: Flask, app_driver: AppDriver, lived: UUID) -> None:
    before = app_driver.dump()
    assert refusal(app, *words()) == (
        f"This would erase {COMPANY} ({WANDA}) from portal {HARBOUR} for good, with the account. To do so, add --yes."
    )
    assert app_driver.dump() == before
    done = run(app, *words(), "--yes", "--json")
    assert json.loads(done.stdout) == {"clients": 1, "accounts": 1}


@on_sqlite
def test_who_is_unknown_is_told_in_one_line(app: Flask, app_driver: AppDriver) -> None:
    before = app_driver.dump()
    assert "holds nothing about a client with the address nobody@x.test" in refusal(
        app, *words("nobody@x.test"), "--yes"
    )
    assert "no portal with the id nowhere" in refusal(app, *words(portal_id="nowhere"), "--yes")
    assert "email" in refusal(app, *words("no address"), "--yes")
    assert "address" in refusal(app, *words(""), "--yes")
    assert app_driver.dump() == before
