"""Several clients are resent or removed at once, in one transaction; who has joined is left out and told."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.accounts.users import find_user
from app.clients.service import RESENDS_OF_ADMIN
from app.core.ids import new_id, read_id, short_id
from app.db.transactions import transaction
from app.extensions import db
from app.models import ClientEvent, EventKind, ImportedClient, OutboxMail, RateLimitHit
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.clients.bulk import BULK, import_many, join
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import everything, on_sqlite
from tests.support.factories import OTHER_PASSWORD, find_client, invite
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases


def register(nobody: Browser, link: str) -> None:
    assert nobody.post(link, {"name": "Nora Wind", "password": OTHER_PASSWORD}).status_code == 303


def events(app: Flask, client_id: str) -> list[tuple[EventKind, int, bool, str | None]]:
    """A client's history: kind, generation, whether an admin did it, detail."""
    with app.app_context():
        found = db.session.scalars(
            select(ClientEvent)
            .where(ClientEvent.portal_id == HARBOUR, ClientEvent.client_id == read_id(client_id))
            .order_by(ClientEvent.id)
        )
        return [(event.kind, event.generation, event.actor_id is not None, event.detail) for event in found]


def test_resend_without_javascript(
    app: Flask, admin: Browser, outbox: Outbox, mail_server: MailServer, nobody: Browser, ids: list[str]
) -> None:
    outbox.flush()
    old_links = [mail_server.wait_for(f"c{n}@client.test").link for n in range(3)]

    question = parse(admin.get(f"{BULK}/resend?client_id={ids[0]}&client_id={short_id(UUID(ids[1]))}&email=client"))
    form = question.select_one("#bulk-resend-form")
    fields = {field["name"]: field["value"] for field in form.select("input")}
    answer = admin.post(form["action"], fields)
    assert (answer.status_code, answer.location) == (303, f"{ic(HARBOUR)}?email=client")
    assert words(parse(admin.get(answer.location)).select_one("#page-status")) == "2 invitations resent."
    assert words(parse(admin.get(answer.location)).select_one("#page-status")) == ""

    assert [admin.row(HARBOUR, f"c{n}@client.test").delivery for n in range(3)] == ["queued", "queued", "sent"]
    assert [nobody.get(link).status_code for link in old_links] == [410, 410, 200]
    assert "newer invitation" in nobody.get(old_links[0]).text
    outbox.flush()
    new_link = mail_server.wait_for("c0@client.test", count=2).link
    assert nobody.get(new_link).status_code == 200
    assert events(app, ids[0]) == [
        (EventKind.INVITED, 1, True, None),
        (EventKind.MAIL_QUEUED, 1, False, None),
        (EventKind.MAIL_SENT, 1, False, None),
        (EventKind.RESENT, 2, True, None),
        (EventKind.MAIL_QUEUED, 2, False, None),
        (EventKind.MAIL_SENT, 2, False, None),
    ]


def test_bulk_resend_leaves_what_single_resends_leave(app: Flask, admin: Browser, ids: list[str]) -> None:
    twin = ids[0], ids[1]
    assert admin.post(f"{ic(HARBOUR)}/{twin[0]}/resend").status_code == 303
    assert admin.post(f"{BULK}/resend", {"client_id": twin[1]}).status_code == 303
    with app.app_context():
        one, other = (
            {
                column.key: getattr(db.session.get_one(ImportedClient, (HARBOUR, read_id(client_id))), column.key)
                for column in ImportedClient.__table__.columns
            }
            for client_id in twin
        )
        differing = {"id", "email", "company_name", "company_name_folded", "address_digest"}
        differing |= {"created_at", "email_last_sent_at"}
        assert {key for key in one if one[key] != other[key]} == differing
        mails = db.session.scalars(
            select(OutboxMail)
            .where(OutboxMail.client_id.in_([read_id(client_id) for client_id in twin]))
            .order_by(OutboxMail.recipient)
        ).all()
        kept = [
            (mail.kind, mail.portal_id, mail.generation, mail.state, mail.attempts, sorted(mail.params))
            for mail in mails
        ]
        assert len(kept) == 2  # the older ones, which still waited, are gone
        assert kept[0] == kept[1]
        assert len({mail.message_id for mail in mails}) == 2
    assert events(app, twin[0]) == events(app, twin[1])


def test_who_registered_and_did_not_verify_is_resent_and_removed_too(
    app: Flask, admin: Browser, outbox: Outbox, mail_server: MailServer, nobody: Browser, ids: list[str]
) -> None:
    outbox.flush()
    register(nobody, mail_server.wait_for("c0@client.test").link)
    assert admin.post(f"{BULK}/resend", {"client_id": ids[0]}).status_code == 303
    with app.app_context():
        client = find_client(HARBOUR, "c0@client.test")
        assert (client.generation, client.registered_generation) == (2, 1)
        assert client.is_registered_unverified
    assert admin.post(f"{BULK}/remove", {"client_id": ids[0]}).status_code == 303
    outbox.flush()
    # The account that nobody has proved to own is gone with it, and so is its mail.
    assert len(mail_server.to("c0@client.test")) == 1
    with app.app_context():
        assert find_user("c0@client.test") is None
        assert db.session.scalar(select(func.count()).select_from(ImportedClient)) == 2


def test_remove_under_htmx(
    app: Flask, admin: Browser, outbox: Outbox, mail_server: MailServer, nobody: Browser, ids: list[str]
) -> None:
    mail_server.refuse["c1@client.test"] = "550 5.1.1 c1@client.test is unknown here"
    outbox.flush()
    link = mail_server.wait_for("c0@client.test").link
    assert events(app, ids[1])[-1][3] is not None
    answer = admin.post(f"{BULK}/remove", {"client_id": f"{ids[0]} {ids[1]} "}, htmx=True)
    assert answer.status_code == 200
    assert words(parse(answer)) == "2 clients removed."
    assert answer.headers["HX-Retarget"] == "#page-status"
    assert {"dialog-close", "clients-changed"} <= set(json.loads(answer.headers["HX-Trigger"]))
    assert [row.email for row in admin.rows(HARBOUR)] == ["c2@client.test"]
    dead = nobody.get(link)
    assert dead.status_code == 410
    assert "withdrawn" in dead.text
    assert events(app, ids[1])[-1] == (EventKind.REMOVED, 1, True, None)
    assert {event[3] for event in events(app, ids[1])} == {None}
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(OutboxMail)) == 1


def test_who_joined_or_went_meanwhile_is_left_out_and_told(app: Flask, admin: Browser, ids: list[str]) -> None:
    join(app, "c0@client.test")
    assert admin.post(f"{ic(HARBOUR)}/{ids[1]}/remove").status_code == 303
    before = events(app, ids[0])
    answer = admin.post(f"{BULK}/resend", {"client_id": ids}, htmx=True)
    assert words(parse(answer)) == (
        "1 invitation resent. 1 client had already joined and was skipped. 1 client no longer exists."
    )
    assert events(app, ids[0]) == before

    answer = admin.post(f"{BULK}/remove", {"client_id": ids}, htmx=True)
    assert words(parse(answer)).startswith("1 client removed. 1 client had already joined")
    assert [(row.email, row.status) for row in admin.rows(HARBOUR)] == [("c0@client.test", "joined")]


@on_sqlite
def test_nothing_left_to_do_is_a_conflict(app: Flask, admin: Browser, ids: list[str]) -> None:
    join(app, "c0@client.test")
    before = everything(app)
    for action in ("resend", "remove"):
        answer = admin.post(f"{BULK}/{action}", {"client_id": [ids[0], str(new_id())]}, htmx=True)
        assert answer.status_code == 409, action
        assert "Nothing was changed. 1 client had already joined and was skipped." in words(parse(answer)), action
        assert "clients-changed" in answer.headers["HX-Trigger"], action
        assert admin.get(f"{BULK}/{action}?client_id={ids[0]}").status_code == 409, action
    assert everything(app) == before


@on_sqlite
def test_ids_of_another_portal_find_nothing(app: Flask, admin: Browser, ids: list[str]) -> None:
    with app.app_context():
        foreign = invite(ALPINE, "far@client.test", "Far Away", actor="olaf@alpine.test")
    for action in ("resend", "remove"):
        question = parse(admin.get(f"{BULK}/{action}?client_id={ids[0]}&client_id={foreign}"))
        assert "Far Away" not in question.text, action
        answer = admin.post(f"{BULK}/{action}", {"client_id": [ids[0], foreign]}, htmx=True)
        assert "1 client no longer exists." in words(parse(answer)), action
        with app.app_context():
            assert find_client(ALPINE, "far@client.test").generation == 1, action


@on_sqlite
def test_only_client_admins_of_the_portal(
    app: Flask,
    staff: Browser,
    joined_client: Browser,
    stranger: Browser,
    nobody: Browser,
    admin: Browser,
    ids: list[str],
) -> None:
    before = everything(app)
    for action in ("resend", "remove"):
        for browser, status in ((staff, 403), (joined_client, 403), (stranger, 404)):
            assert browser.get(f"{BULK}/{action}?client_id={ids[0]}").status_code == status, action
            assert browser.post(f"{BULK}/{action}", {"client_id": ids[0]}).status_code == status, action
        assert nobody.post(f"{BULK}/{action}", {"client_id": ids[0]}).status_code == 302, action
        assert nobody.post(f"{BULK}/{action}", {"client_id": ids[0]}, htmx=True).status_code == 401, action
        assert admin.post(f"{BULK}/{action}", {"client_id": ids[0]}, csrf=False).status_code == 400, action
    assert everything(app) == before


def test_a_thousand_at_once(app: Flask, admin: Browser) -> None:
    import_many(app, 1000)
    import_many(app, 3, ALPINE, "olaf@alpine.test")
    form = parse(admin.get(f"{BULK}/resend?all=1", htmx=True))
    fields = {field["name"]: field["value"] for field in form.select("input")}
    answer = admin.post(f"{BULK}/resend", fields, htmx=True)
    assert words(parse(answer)) == "1000 invitations resent."
    page = parse(admin.get(ic(HARBOUR)))
    assert words(page.select_one("[data-filter-tab=waiting] .number")) == "1,000"
    answer = admin.post(f"{BULK}/remove", fields, htmx=True)
    assert words(parse(answer)) == "1000 clients removed."
    with app.app_context():
        assert list(db.session.scalars(select(ImportedClient.portal_id))) == [ALPINE] * 3
        assert db.session.scalar(select(func.count()).select_from(OutboxMail)) == 3


def test_a_selection_counts_once_for_the_admin_and_once_for_each_recipient(
    app: Flask, admin: Browser, app_driver: AppDriver, ids: list[str]
) -> None:
    with app.app_context():
        before = db.session.scalar(select(func.count()).select_from(RateLimitHit)) or 0
    assert admin.post(f"{BULK}/resend", {"client_id": ids}).status_code == 303
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(RateLimitHit)) == before + 1 + len(ids)
        admin_id = find_client(HARBOUR, "c0@client.test").invited_by_id
        with transaction() as session:
            key = RESENDS_OF_ADMIN.key(f"{HARBOUR} {admin_id}")
            session.add_all(RateLimitHit(key=key) for _ in range(RESENDS_OF_ADMIN.times))
    app_driver.let_presses_pass()
    before_refusal = everything(app)
    refused = admin.post(f"{BULK}/resend", {"client_id": ids})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert everything(app) == before_refusal
