"""A client admin ends a joined client's access on the tab All, and gives it back. Meanwhile nothing lets them in."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask

from app.clients.access import end_access
from app.db.transactions import transaction
from app.models import (
    AuditEvent,
    AuditKind,
    EndedAccess,
    EventKind,
    Membership,
    Role,
    WebhookDelivery,
    WebhookEvent,
)
from app.portals.deletion import content_of, delete_portal
from app.portals.ended_access import AccessEnded
from app.portals.service import grant_role
from app.webhooks.endpoints import EVENTS, add_endpoint
from tests.conftest import ALPINE, HARBOUR
from tests.integration.cli.running import refusal, run
from tests.integration.portals.ending import (
    ALL,
    CARLA,
    ENDED,
    all_of,
    end,
    give_back,
    path,
    row,
    signed_in,
)
from tests.integration.portals.team import Team, error
from tests.integration.registration.invitee import INVITEE, NORA, heading
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import invite, make_member


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.mark.both_databases
def test_by_forms_alone_it_is_ended_and_given_back(
    app: Flask, app_driver: AppDriver, admin: Browser, nora: UUID
) -> None:
    since = words(row(admin, INVITEE).select_one("[data-col=joined] time"))
    client = signed_in(app, INVITEE)
    assert client.get(ic(HARBOUR)).status_code == 403

    question = admin.get(path(app_driver, INVITEE))
    assert heading(question) == "Accounts"
    assert words(parse(question).h2) == "End the access of Nora Wind ?"
    done = admin.post(path(app_driver, INVITEE))
    assert (done.status_code, done.location) == (303, ALL)
    page = parse(admin.get(ALL))
    assert words(page.select_one("#page-status [data-told] p")) == "Access of Nora Wind ended."
    shown = row(admin, INVITEE)
    assert (shown["data-access"], shown["data-role"]) == ("ended", "client")
    assert "Access ended" in words(shown.select_one("[data-col=joined]"))

    # She is nobody here, and is signed out, since she is in no other portal.
    assert app_driver.role(INVITEE) is None
    assert client.get("/portals").status_code == 302
    again = signed_in(app, INVITEE)
    assert again.get(ic(HARBOUR)).status_code == 404
    assert again.get(ic(HARBOUR)).data == again.get(ic("nowhere")).data
    assert "Your access to Harbour Tours has ended" in words(parse(again.get("/portals")))

    # The row stays Joined, and says so beside.
    (line,) = parse(admin.get(ic(HARBOUR))).select("tr[data-client-id]")
    assert line["data-status"] == "joined"
    assert words(line.select_one("[data-col=status]")).startswith("Joined")
    assert "Access ended" in words(line.select_one("[data-col=status]"))
    assert "joined" in admin.get(f"{ic(HARBOUR)}/export.csv").text.lower()

    question = admin.get(path(app_driver, INVITEE, "give-access-back"))
    assert words(parse(question).h2) == "Give Nora Wind access again?"
    assert admin.post(path(app_driver, INVITEE, "give-access-back")).status_code == 303
    shown = row(admin, INVITEE)
    assert (shown.get("data-access"), words(shown.select_one("[data-col=joined] time"))) == (None, since)
    assert again.get(ic(HARBOUR)).status_code == 403
    assert app_driver.kinds(nora)[-2:] == [EventKind.ACCESS_ENDED, EventKind.ACCESS_GIVEN_BACK]
    told = [one.kind for one in all_of(app_driver, AuditEvent)]
    assert [kind for kind in told if kind in {AuditKind.ACCESS_ENDED, AuditKind.ACCESS_GIVEN_BACK}] == [
        AuditKind.ACCESS_ENDED,
        AuditKind.ACCESS_GIVEN_BACK,
    ]
    assert all_of(app_driver, EndedAccess) == []


def test_by_htmx_it_is_a_dialog_and_a_refused_one_is_a_sentence(
    app_driver: AppDriver, admin: Browser, nora: UUID
) -> None:
    end_path, back_path = (path(app_driver, INVITEE, verb) for verb in ("end-access", "give-access-back"))
    assert admin.get(back_path, htmx=True).status_code == 409
    assert admin.get(end_path, htmx=True).status_code == 200
    done = admin.post(end_path, htmx=True)
    assert (done.status_code, done.headers["HX-Retarget"]) == (200, "#page-status")
    assert set(done.headers["HX-Trigger"].split('"')) >= {"dialog-close", "clients-changed"}
    table = admin.get(ALL, htmx=True)
    assert parse(table).select_one("#accounts tr[data-access=ended]")
    assert parse(table).select_one("h1") is None
    for answer in (admin.get(end_path, htmx=True), admin.post(end_path, htmx=True), admin.post(end_path)):
        assert (answer.status_code, "has already been ended" in answer.text) == (409, True)
    assert admin.post(back_path, htmx=True).status_code == 200
    for answer in (admin.get(back_path, htmx=True), admin.post(back_path, htmx=True), admin.post(back_path)):
        assert (answer.status_code, "has access already" in answer.text) == (409, True)


def test_only_clients_of_this_portal_and_only_by_its_client_admins(
    app_driver: AppDriver, admin: Browser, staff: Browser, stranger: Browser, nora: UUID
) -> None:
    of_team = path(app_driver, "sam@harbour.test")
    for answer in (admin.get(of_team, htmx=True), admin.post(of_team)):
        assert (answer.status_code, "team" in answer.text) == (409, True)
    unknown = admin.get(f"{ALL}/987654/end-access")
    assert unknown.status_code == 404
    for foreign in (path(app_driver, "olaf@alpine.test"), f"{ALL}/{2**40}/end-access", f"{ALL}/0/end-access"):
        answers = [admin.get(foreign), admin.post(foreign)]
        assert [(one.status_code, one.data) for one in answers] == [(404, unknown.data)] * 2
    for verb in ("end-access", "give-access-back"):
        ours = path(app_driver, INVITEE, verb)
        assert [staff.get(ours).status_code, staff.post(ours).status_code] == [403, 403]
        assert [stranger.get(ours).status_code, stranger.post(ours).status_code] == [404, 404]
    assert parse(staff.get(ALL)).select("[id^=access-]") == []
    assert app_driver.role(INVITEE) is Role.CLIENT


def test_another_portal_and_its_session_stay(app: Flask, app_driver: AppDriver) -> None:
    with app.app_context(), transaction() as session:
        session.add(Membership(portal_id=ALPINE, user_id=app_driver.user(CARLA).id, role=Role.STAFF))
    carla = signed_in(app, CARLA)
    end(app_driver, CARLA)
    assert (carla.get(ic(ALPINE)).status_code, carla.get(ic(HARBOUR)).status_code) == (200, 404)


@pytest.mark.both_databases
def test_neither_link_nor_registration_nor_a_new_invitation_brings_it_back(
    app: Flask, app_driver: AppDriver, admin: Browser
) -> None:
    """Carla has joined without a row; she is invited besides, has accepted nothing yet, and has old links."""
    client_id = app_driver.invite(CARLA)
    link = app_driver.link(client_id)
    carla = signed_in(app, CARLA)
    end(app_driver, CARLA)
    carla = signed_in(app, CARLA)
    for answer in (carla.get(link), carla.post(link), Browser(app).post(link, NORA), carla.post(f"{link}/decline")):
        assert (answer.status_code, heading(answer)) == (410, ENDED)
    (line,) = parse(admin.get(ic(HARBOUR))).select("tr[data-client-id]")
    assert "Access ended" in words(line.select_one("[data-col=status]"))
    assert app_driver.role(CARLA) is None
    give_back(app_driver, CARLA)
    assert carla.post(link).status_code == 303
    assert app_driver.role(CARLA) is Role.CLIENT

    end(app_driver, CARLA)
    # As before: the address is there already.
    added = admin.post(ic(HARBOUR), {"company_name": "Carla Ltd", "email": CARLA})
    assert added.status_code == 303
    assert [one.status for one in admin.rows(HARBOUR)] == ["joined"]
    assert heading(Browser(app).get(link)) == ENDED
    with pytest.raises(AccessEnded):
        app_driver.do(grant_role, HARBOUR, CARLA, Role.STAFF)


def test_what_an_endpoint_is_told(app_driver: AppDriver, nora: UUID) -> None:
    app_driver.do(add_endpoint, HARBOUR, "https://127.0.0.1:1/hook", "", EVENTS)
    end(app_driver)
    give_back(app_driver)
    told = [(one.event, one.client_id, one.email) for one in all_of(app_driver, WebhookDelivery)]
    assert told == [
        (WebhookEvent.CLIENT_ACCESS_ENDED, nora, INVITEE),
        (WebhookEvent.CLIENT_ACCESS_GIVEN_BACK, nora, INVITEE),
    ]


@pytest.mark.both_databases
def test_erasures_and_the_deletion_of_a_portal_know_it(app: Flask, app_driver: AppDriver, nora: UUID) -> None:
    end(app_driver, CARLA)
    assert run(app, "client", "erase", "--portal", HARBOUR, "--email", CARLA, "--yes").exit_code == 0
    assert not app_driver.has_account(CARLA)
    assert all_of(app_driver, EndedAccess) == []

    # Whoever ended it is erased, and it stays ended.
    app_driver.do(make_member, HARBOUR, "ben@harbour.test", "Ben Berg", Role.CLIENT_ADMIN)
    app_driver.do(end_access, HARBOUR, app_driver.user(INVITEE).id, app_driver.user("ben@harbour.test").id)
    assert run(app, "user", "erase", "--email", "ben@harbour.test", "--yes").exit_code == 0
    assert [one.ended_by_id for one in all_of(app_driver, EndedAccess)] == [None]

    # Nothing but what this portal has ended keeps the account, and it keeps it from other portals' erasures.
    app_driver.do(invite, ALPINE, INVITEE, actor="olaf@alpine.test")
    assert run(app, "client", "erase", "--portal", ALPINE, "--email", INVITEE, "--yes").exit_code == 0
    assert app_driver.has_account(INVITEE)
    assert app_driver.do(content_of, HARBOUR).accounts == 3
    assert app_driver.do(delete_portal, HARBOUR).accounts == 3
    assert not app_driver.has_account(INVITEE)


def test_an_operator_is_told_why_no_role_is_given(app: Flask, app_driver: AppDriver, nora: UUID) -> None:
    end(app_driver)
    line = refusal(app, "user", "grant", "--portal", HARBOUR, "--email", INVITEE, "--role", "staff")
    assert "ended this person's access" in line


def test_the_invitation_of_a_colleague_does_not_bring_it_back(app: Flask, app_driver: AppDriver, team: Team) -> None:
    assert team.invite(CARLA).status_code == 303
    link = team.link(CARLA)
    end(app_driver, CARLA)
    carla = signed_in(app, CARLA)
    for answer in (carla.get(link), carla.post(link)):
        assert (answer.status_code, heading(answer)) == (410, ENDED)
    refused = team.invite(CARLA)
    assert (refused.status_code, error(refused)) == (
        422,
        "This person's access was ended. Give it back first, under Accounts.",
    )
    give_back(app_driver, CARLA)
    assert carla.post(link).status_code == 303
    assert app_driver.role(CARLA) is Role.STAFF
