"""A correction that is wrong, comes too late or is not allowed is refused, and nothing changes."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from app.registration.service import accept
from tests.conftest import ALPINE, HARBOUR
from tests.integration.clients.corrections import NEW, OLD, fields, invited, link_of, path
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, words
from tests.support.databases import everything
from tests.support.factories import invite, make_user


def errors_of(response: Any) -> str:
    field = parse(response).select_one("#email-error")
    assert field is not None
    return words(field)


def test_a_wrong_field_is_named_and_nothing_is_changed(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    before = everything(app)
    for wrong, field in (
        (fields(company_name="Foo <b>"), "company_name"),
        (fields(company_name=" "), "company_name"),
        (fields(email="nobody"), "email"),
        (fields(email="a@b.test, c@d.test"), "email"),
        ({}, "email"),
    ):
        response = admin.post(path(client_id), wrong, htmx=True)
        assert response.status_code == 422, wrong
        box = parse(response).select_one(f"#{field}")
        assert box is not None, wrong
        assert box["aria-invalid"] == "true", wrong
    assert everything(app) == before


@pytest.mark.both_databases
def test_an_address_of_another_client_is_refused_beside_the_field(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    invited(app, NEW, "The Other")
    before = everything(app)
    for htmx in (True, False):
        response = admin.post(path(client_id), fields(NEW.upper()), htmx=htmx)
        assert response.status_code == 422
        assert errors_of(response).startswith("Another client of this portal already has this address.")
        assert parse(response).select_one("#company_name")["value"] == "Nordwind Reisen"  # type: ignore[index]
    assert everything(app) == before


@pytest.mark.both_databases
def test_an_address_in_another_portal_is_free(app: Flask, admin: Browser) -> None:
    with app.app_context():
        invite(ALPINE, NEW, actor="olaf@alpine.test")
    assert admin.post(path(invited(app)), fields()).status_code == 303


def test_who_has_joined_meanwhile_is_not_corrected(app: Flask, admin: Browser) -> None:
    with app.app_context():
        user_id = make_user(OLD, "Nora Wind")
    client_id = invited(app)
    link = link_of(app, client_id)
    with app.app_context():
        accept(link.rpartition("/")[2], user_id)
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
