"""Correct and resend: a pending client gets another name or address and a new invitation; the history stays."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select

from app.accounts.users import find_user
from app.core.links import LinkKind
from app.extensions import db
from app.invitations import history
from app.models import EventKind, MailState, OutboxMail
from tests.conftest import HARBOUR, Outbox
from tests.integration.clients.corrections import NEW, OLD, fields, invited, link_of, path
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import PASSWORD, find_client, make_user
from tests.support.smtp import MailServer

NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}


def events(app: Flask, client_id: str) -> list[EventKind]:
    with app.app_context():
        return [event.kind for event in history.events_of(HARBOUR, UUID(client_id))]


def registered(app: Flask, nobody: Browser, client_id: str) -> None:
    assert nobody.post(link_of(app, client_id), NORA).status_code == 303


# What is offered


def test_the_panel_offers_it_for_a_pending_client(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    panel = parse(admin.get(f"{ic(HARBOUR)}/{client_id}/history", htmx=True))
    button = panel.select_one("#correct-client")
    assert button is not None
    assert words(button) == "Edit and resend"
    assert button["href"] == path(client_id)


@pytest.mark.parametrize("htmx", [True, False])
def test_its_form_holds_what_is_there(app: Flask, admin: Browser, htmx: bool) -> None:
    client_id = invited(app)
    response = admin.get(path(client_id), htmx=htmx)
    assert response.status_code == 200
    assert ("<html" in response.text) is not htmx
    form = parse(response).select_one("#correct-client-form")
    assert form is not None
    values = {field["name"]: field.get("value") for field in form.select("input")}
    assert (values["company_name"], values["email"]) == ("Nordwint", OLD)


# What it does


@pytest.mark.both_databases
def test_name_and_address_change_the_old_link_dies_and_a_new_mail_goes_out(
    app: Flask, admin: Browser, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = invited(app)
    outbox.flush()
    old_link = mail_server.wait_for(OLD).link
    with app.app_context():
        before = find_client(HARBOUR, OLD)
        db.session.expunge_all()

    saved = admin.post(path(client_id), fields(" Info@Nordwind.TEST ", "  Nordwind   Reisen"), htmx=True)
    assert (saved.status_code, words(parse(saved))) == (200, "Nordwind Reisen saved and invitation resent.")
    assert set(saved.headers["HX-Trigger"].split('"')) >= {"dialog-close", "clients-changed"}

    row = admin.row(HARBOUR, NEW)
    assert (row.id, row.company_name, row.status, row.delivery) == (
        client_id,
        "Nordwind Reisen",
        "invite_sent",
        "queued",
    )
    assert len(admin.rows(HARBOUR)) == 1
    assert len(admin.rows(HARBOUR, "?company_name=nordwind+reisen")) == 1
    with app.app_context():
        after = find_client(HARBOUR, NEW)
        assert after.generation == before.generation + 1
        assert after.email_last_sent_at > before.email_last_sent_at
        assert (after.link_expires_at, after.created_at) == (None, before.created_at)
    for answer in (nobody.get(old_link), nobody.post(old_link, NORA)):
        assert answer.status_code == 410
        assert "replaced by a newer one" in answer.text

    outbox.flush()
    mail = mail_server.wait_for(NEW)
    assert "Nordwind Reisen" in mail.text
    assert len(mail_server.to(OLD)) == 1
    assert nobody.get(mail.link).status_code == 200
    assert NEW in nobody.get(mail.link).text


def test_the_history_stays_and_holds_no_old_address(app: Flask, admin: Browser, outbox: Outbox) -> None:
    client_id = invited(app)
    outbox.flush()
    admin.post(path(client_id), fields())
    assert events(app, client_id) == [
        EventKind.INVITED,
        EventKind.MAIL_QUEUED,
        EventKind.MAIL_SENT,
        EventKind.CORRECTED,
        EventKind.MAIL_QUEUED,
    ]
    with app.app_context():
        (corrected,) = [e for e in history.events_of(HARBOUR, UUID(client_id)) if e.kind is EventKind.CORRECTED]
        ada = find_user("ada@harbour.test")
        assert ada is not None
        assert (corrected.actor_id, corrected.detail, corrected.generation) == (ada.id, None, 2)


@pytest.mark.both_databases
def test_a_mail_that_still_waits_is_cancelled(
    app: Flask, admin: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = invited(app)
    admin.post(path(client_id), fields())
    outbox.flush()
    mail_server.wait_for(NEW)
    assert mail_server.to(OLD) == []
    with app.app_context():
        assert db.session.scalars(select(OutboxMail.state)).all() == [MailState.SENT]


def test_a_mail_that_was_refused_is_mended_by_it(
    app: Flask, admin: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    mail_server.refuse[OLD] = "550 nobody here"
    client_id = invited(app)
    outbox.flush()
    assert admin.row(HARBOUR, OLD).delivery == "failed"
    admin.post(path(client_id), fields())
    outbox.flush()
    assert admin.row(HARBOUR, NEW).delivery == "sent"


@pytest.mark.parametrize(
    "changes", [{"company_name": "Nordwind Reisen", "email": OLD}, {"company_name": "Nordwint", "email": NEW}]
)
def test_one_of_the_two_may_stay(app: Flask, admin: Browser, changes: dict[str, str]) -> None:
    client_id = invited(app)
    assert admin.post(path(client_id), changes).status_code == 303
    row = admin.row(HARBOUR, changes["email"])
    assert (row.id, row.company_name) == (client_id, changes["company_name"])
    assert EventKind.CORRECTED in events(app, client_id)


def test_with_nothing_changed_it_is_a_resend(
    app: Flask, admin: Browser, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = invited(app)
    outbox.flush()
    assert admin.post(path(client_id), fields(OLD.upper(), " Nordwint ")).status_code == 303
    assert events(app, client_id)[-2:] == [EventKind.RESENT, EventKind.MAIL_QUEUED]
    outbox.flush()
    assert nobody.get(mail_server.wait_for(OLD, 2).link).status_code == 200
    assert nobody.get(link_of(app, client_id)).status_code == 410


def test_the_corrected_client_registers_verifies_and_joins(
    app: Flask, admin: Browser, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = invited(app)
    admin.post(path(client_id), fields())
    outbox.flush()
    nobody.post(mail_server.wait_for(NEW).link, NORA)
    outbox.flush()
    nobody.post(mail_server.wait_for(NEW, 2).link)
    assert admin.row(HARBOUR, NEW).status == "joined"


# Somebody has registered already


@pytest.mark.both_databases
def test_another_address_cuts_the_tie_to_the_account_of_the_older_one(
    app: Flask, admin: Browser, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = invited(app)
    registered(app, nobody, client_id)
    assert "registered with the current address" in admin.get(path(client_id)).text
    assert admin.post(path(client_id), fields()).status_code == 303
    with app.app_context():
        client = find_client(HARBOUR, NEW)
        assert (client.user_id, client.registered_at, client.registered_generation) == (None, None, None)
    assert nobody.get(link_of(app, client_id)).status_code == 410
    assert "replaced" in nobody.get(link_of(app, client_id)).text

    outbox.flush()
    # Nobody has proved to own the older address, and nothing is left of it.
    assert mail_server.to(OLD) == []
    assert admin.row(HARBOUR, NEW).status == "invite_sent"
    with app.app_context():
        assert find_user(OLD) is None

    invitation = mail_server.wait_for(NEW).link
    assert nobody.post(invitation, NORA).status_code == 303
    assert admin.row(HARBOUR, NEW).health == "Email not verified yet"


def test_another_name_alone_keeps_it(
    app: Flask, admin: Browser, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = invited(app)
    registered(app, nobody, client_id)
    admin.post(path(client_id), fields(OLD))
    with app.app_context():
        client = find_client(HARBOUR, OLD)
        assert (client.user_id is None, client.registered_generation, client.generation) == (False, 1, 2)
    outbox.flush()
    verification = [m.link for m in mail_server.to(OLD) if LinkKind.VERIFICATION in m.link]
    assert nobody.post(verification[0]).status_code == 303
    row = admin.row(HARBOUR, OLD)
    assert (row.status, row.company_name) == ("joined", "Nordwind Reisen")


def test_a_new_address_that_has_an_account_signs_in_and_accepts(app: Flask, admin: Browser, nobody: Browser) -> None:
    with app.app_context():
        make_user(NEW, "Nora Wind")
    client_id = invited(app)
    admin.post(path(client_id), fields())
    nobody.sign_in(NEW, PASSWORD)
    assert nobody.post(link_of(app, client_id, 2)).status_code == 303
    assert admin.row(HARBOUR, NEW).status == "joined"
