"""Correct and resend: a pending client gets another name or address and a new invitation; the history stays."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import select, text

from app.accounts.users import find_user
from app.clients.service import AddressTaken, correct_client, remove_client
from app.core.errors import Conflict, NotFound
from app.core.links import LinkKind
from app.db.transactions import transaction
from app.extensions import db
from app.invitations import history
from app.invitations.service import invitation_url
from app.models import EventKind, MailState, OutboxMail
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import dump
from tests.support.factories import PASSWORD, find_client, invite, make_user
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases

OLD = "inof@nordwind.test"
NEW = "info@nordwind.test"
NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}


def invited(app: Flask, email: str = OLD, company_name: str = "Nordwint") -> str:
    with app.app_context():
        return invite(HARBOUR, email, company_name)


def path(client_id: object) -> str:
    return f"{ic(HARBOUR)}/{client_id}/correct"


def fields(email: str = NEW, company_name: str = "Nordwind Reisen") -> dict[str, str]:
    return {"company_name": company_name, "email": email}


def link_of(app: Flask, client_id: str, generation: int = 1) -> str:
    with app.app_context():
        return invitation_url(HARBOUR, UUID(client_id), generation)


def events(app: Flask, client_id: str) -> list[EventKind]:
    with app.app_context():
        return [event.kind for event in history.events_of(HARBOUR, UUID(client_id))]


def everything(app: Flask) -> str:
    with app.app_context():
        return dump()


def registered(app: Flask, nobody: Browser, client_id: str) -> None:
    assert nobody.post(link_of(app, client_id), NORA).status_code == 303


def errors_of(response: Any) -> str:
    field = parse(response).select_one("#email-error")
    assert field is not None
    return words(field)


# What is offered


def test_the_panel_offers_it_for_a_pending_client(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    panel = parse(admin.get(f"{ic(HARBOUR)}/{client_id}/history", htmx=True))
    button = panel.select_one("#correct-client")
    assert button is not None
    assert words(button) == "Correct and resend"
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
    assert (saved.status_code, saved.text) == (200, "")
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


def test_another_address_cuts_the_tie_to_the_account_of_the_older_one(
    app: Flask, admin: Browser, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = invited(app)
    registered(app, nobody, client_id)
    assert "registered for the present address" in admin.get(path(client_id)).text
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
    assert admin.row(HARBOUR, NEW).health.startswith("Registered")


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


# What is refused


@pytest.mark.parametrize(
    "wrong, field",
    [
        (fields(company_name="Foo <b>"), "company_name"),
        (fields(company_name=" "), "company_name"),
        (fields(email="nobody"), "email"),
        (fields(email="a@b.test, c@d.test"), "email"),
        ({}, "email"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_changed(
    app: Flask, admin: Browser, wrong: dict[str, str], field: str
) -> None:
    client_id = invited(app)
    before = everything(app)
    response = admin.post(path(client_id), wrong, htmx=True)
    assert response.status_code == 422
    box = parse(response).select_one(f"#{field}")
    assert box is not None
    assert box["aria-invalid"] == "true"
    assert everything(app) == before


@pytest.mark.parametrize("htmx", [True, False])
def test_an_address_of_another_client_is_refused_beside_the_field(app: Flask, admin: Browser, htmx: bool) -> None:
    client_id = invited(app)
    invited(app, NEW, "The Other")
    before = everything(app)
    response = admin.post(path(client_id), fields(NEW.upper()), htmx=htmx)
    assert response.status_code == 422
    assert errors_of(response).startswith("Another client of this portal has this address already.")
    assert parse(response).select_one("#company_name")["value"] == "Nordwind Reisen"  # type: ignore[index]
    assert everything(app) == before


def test_an_address_in_another_portal_is_free(app: Flask, admin: Browser) -> None:
    with app.app_context():
        invite(ALPINE, NEW, actor="olaf@alpine.test")
    assert admin.post(path(invited(app)), fields()).status_code == 303


def test_who_has_joined_meanwhile_is_not_corrected(app: Flask, admin: Browser, nobody: Browser) -> None:
    with app.app_context():
        make_user(OLD, "Nora Wind")
    client_id = invited(app)
    nobody.sign_in(OLD, PASSWORD)
    nobody.post(link_of(app, client_id))
    before = everything(app)
    answers = [
        admin.post(path(client_id), fields()),
        admin.post(path(client_id), fields(), htmx=True),
        admin.get(path(client_id)),
        admin.get(path(client_id), htmx=True),
    ]
    for answer in answers:
        assert answer.status_code == 409
        assert "has joined" in answer.text
    assert everything(app) == before


def test_only_client_admins_may(app: Flask, staff: Browser, joined_client: Browser, nobody: Browser) -> None:
    client_id = invited(app)
    before = everything(app)
    for browser, status in ((staff, 403), (joined_client, 403), (nobody, 302)):
        assert browser.get(path(client_id)).status_code == status
        assert browser.post(path(client_id), fields()).status_code == status
    assert everything(app) == before


def test_without_its_token_nothing_is_changed(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    assert admin.post(path(client_id), fields(), csrf=False).status_code == 400
    assert admin.row(HARBOUR, OLD).id == client_id


def test_what_is_foreign_or_unknown_gets_the_same_404(app: Flask, admin: Browser, stranger: Browser) -> None:
    client_id = invited(app)
    with app.app_context():
        foreign_id = invite(ALPINE, "foreign@alpine.test", actor="olaf@alpine.test")
    before = everything(app)
    answers = [admin.post(path(one), fields()) for one in (foreign_id, uuid4(), "nonsense")]
    answers += [admin.get(path(one)) for one in (foreign_id, uuid4())]
    answers += [stranger.post(path(client_id), fields()), stranger.get(path(client_id))]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.data for answer in answers}) == 1
    assert admin.post(path(uuid4()), {"email": "wrong"}).status_code == 404
    assert everything(app) == before


def test_a_recipient_is_not_flooded_by_it(app: Flask, admin: Browser, app_driver: AppDriver) -> None:
    client_id = invited(app)
    app_driver.use_up_mails(NEW, left=2)
    statuses = []
    for _ in range(3):
        app_driver.let_presses_pass()
        statuses.append(admin.post(path(client_id), fields()).status_code)
    assert statuses == [303, 303, 429]
    assert admin.post(path(client_id), fields("third@nordwind.test")).status_code == 303


# At the same time


def at_once(app: Flask, *calls: Callable[[], None]) -> list[str]:
    """Call all from threads that set off together; the name of what each raised, or "done"."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], None]) -> str:
        with app.app_context():
            barrier.wait(timeout=30)
            try:
                call()
            except (AddressTaken, Conflict, NotFound) as problem:
                return type(problem).__name__
            return "done"

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result(timeout=60) for future in [threads.submit(run, call) for call in calls]]


def ada_id(app: Flask) -> int:
    with app.app_context():
        ada = find_user("ada@harbour.test")
        assert ada is not None
        return ada.id


def test_with_a_removal_there_is_one_outcome(app: Flask) -> None:
    ada = ada_id(app)
    for _ in range(5):
        client_id = UUID(invited(app))
        outcome = at_once(
            app,
            lambda: correct_client(HARBOUR, client_id, ada, "Nordwind Reisen", NEW),  # noqa: B023
            lambda: remove_client(HARBOUR, client_id, ada),  # noqa: B023
        )
        assert outcome in (["done", "done"], ["NotFound", "done"])
        with app.app_context():
            assert db.session.execute(text("SELECT count(*) FROM imported_client")).scalar() == 0
            assert db.session.execute(text("SELECT count(*) FROM outbox_mail")).scalar() == 0
            kinds = [event.kind for event in history.events_of(HARBOUR, client_id)]
            assert kinds[-1] is EventKind.REMOVED
            assert (EventKind.CORRECTED in kinds) == (outcome[0] == "done")


def test_of_two_clients_that_get_one_address_one_has_it(app: Flask) -> None:
    ada = ada_id(app)
    ids = [UUID(invited(app, f"{n}@nordwind.test")) for n in range(4)]
    outcome = at_once(
        app,
        *[lambda one=one: correct_client(HARBOUR, one, ada, "Nordwind", NEW) for one in ids],
    )
    assert sorted(outcome) == ["AddressTaken"] * 3 + ["done"]
    with app.app_context():
        assert str(find_client(HARBOUR, NEW).id) == str(ids[outcome.index("done")])


def test_two_clients_that_exchange_their_addresses_do_not_wait_for_each_other(app: Flask) -> None:
    ada = ada_id(app)
    one, two = UUID(invited(app, "one@nordwind.test")), UUID(invited(app, "two@nordwind.test"))
    outcome = at_once(
        app,
        lambda: correct_client(HARBOUR, one, ada, "One", "two@nordwind.test"),
        lambda: correct_client(HARBOUR, two, ada, "Two", "one@nordwind.test"),
    )
    assert outcome == ["AddressTaken", "AddressTaken"]


# The migration


def all_events(app: Flask) -> str:
    """The histories as text, in a schema of any age."""
    with app.app_context():
        rows = db.session.execute(text("SELECT * FROM client_event ORDER BY id")).all()
        db.session.remove()
    return "\n".join(map(str, rows))


def test_the_migration_keeps_every_event_and_can_be_walked_down(app: Flask) -> None:
    client_id = invited(app)
    with app.app_context():
        correct_client(HARBOUR, UUID(client_id), ada_id(app), "Nordwind", NEW)
    before = all_events(app)
    with app.app_context():
        downgrade(revision="0001")
        db.session.remove()
        after = all_events(app)
        # First of all, since other tests need the newest schema, whatever this one finds.
        upgrade()
        db.session.remove()
    assert after == all_events(app) == before.replace("'corrected'", "'resent'")
    with app.app_context(), transaction():
        client = find_client(HARBOUR, NEW)
        history.record(client, EventKind.CORRECTED)
