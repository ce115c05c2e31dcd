"""Not for me: the recipient says so on the invitation's page, the table tells it, and the link still works."""

from __future__ import annotations

from functools import partial
from uuid import UUID

import pytest
from flask import Flask

from app.clients.service import correct_client, remove_client, resend_invite
from app.core.errors import Conflict, NotFound
from app.models import EventKind, ImportedClient
from app.registration.service import DeadLink, accept, decline, register
from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, ic, parse, path_of, words
from tests.support.factories import PASSWORD, make_user
from tests.support.smtp import MailServer
from tests.support.together import at_once

INVITEE = "info@nordwind.test"
NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}
ROUNDS = 3


def token_of(link: str) -> str:
    return link.rpartition("/")[2]


def decline_path(link: str) -> str:
    return f"{path_of(link)}/decline"


@pytest.fixture
def client_id(app_driver: AppDriver) -> UUID:
    return app_driver.invite(INVITEE)


@pytest.fixture
def link(app_driver: AppDriver, client_id: UUID) -> str:
    return app_driver.link(client_id)


@pytest.fixture
def declined(nobody: Browser, link: str) -> None:
    assert nobody.post(decline_path(link)).status_code == 303


# What the recipient sees


@pytest.mark.both_databases
def test_the_page_offers_it_and_thanks_for_it(nobody: Browser, link: str) -> None:
    form = parse(nobody.get(link)).select_one("form.decline")
    assert words(form.select_one("button")) == "Decline invitation"
    assert form["action"] == decline_path(link)
    answer = nobody.post(form["action"])
    assert (answer.status_code, answer.location) == (303, decline_path(link))
    page = parse(nobody.get(answer.location))
    assert words(page.h1) == "Thank you for telling us"
    assert "Harbour Tours has been told" in words(page)
    assert "the link in the email still works" in words(page)
    assert page.select_one("a.button")["href"] == path_of(link)


@pytest.mark.usefixtures("declined")
def test_the_link_still_works_and_its_page_says_what_was_said(nobody: Browser, link: str) -> None:
    page = parse(nobody.get(link))
    assert "You've told Harbour Tours that this isn't for you." in words(page)
    assert page.select_one("form.decline") is None
    assert [words(button) for button in page.select("main form button[type=submit]")] == ["Register"]


@pytest.mark.parametrize("is_declined", [False, True])
def test_opening_it_changes_nothing(
    app: Flask, nobody: Browser, app_driver: AppDriver, link: str, is_declined: bool
) -> None:
    if is_declined:
        nobody.post(decline_path(link))
    before = app_driver.dump()
    scanner = app.test_client()
    for n in range(6):
        headers = HTMX if n % 3 == 0 else {}
        for path in (path_of(link), decline_path(link)):
            answer = scanner.head(path, headers=headers) if n % 2 else scanner.get(path, headers=headers)
            assert answer.status_code in {200, 302}
    assert app_driver.dump() == before


def test_who_has_not_declined_is_led_to_the_invitation(nobody: Browser, link: str) -> None:
    answer = nobody.get(decline_path(link))
    assert (answer.status_code, answer.location) == (302, path_of(link))


def test_without_its_token_of_the_session_nothing_is_done(nobody: Browser, app_driver: AppDriver, link: str) -> None:
    before = app_driver.dump()
    assert nobody.post(decline_path(link), csrf=False).status_code == 400
    assert app_driver.dump() == before


def test_dead_links_answer_as_the_invitation_itself_does(nobody: Browser, app_driver: AppDriver) -> None:
    removed, resent, used = (app_driver.invite(f"{name}@nordwind.test") for name in ("removed", "resent", "used"))
    links = [app_driver.link(client_id) for client_id in (removed, resent, used)]
    app_driver.remove(removed)
    app_driver.resend(resent)
    nobody.post(links[2], NORA)
    before = app_driver.dump()
    for link in links:
        for answer in (nobody.get(decline_path(link)), nobody.post(decline_path(link))):
            assert (answer.status_code, words(parse(answer).h1)) == (410, words(parse(nobody.get(link)).h1))
    assert nobody.post("/invitations/never.made/decline").status_code == 404
    assert app_driver.dump() == before


def test_who_has_yet_to_verify_an_account_sees_only_that(
    nobody: Browser, app_driver: AppDriver, client_id: UUID, link: str
) -> None:
    assert nobody.post(link, NORA).status_code == 303
    app_driver.resend(client_id)
    nobody.sign_in(INVITEE, NORA["password"])
    assert parse(nobody.get(app_driver.link(client_id, 2))).select_one("form.decline") is None


# What the admin sees


@pytest.mark.both_databases
@pytest.mark.usefixtures("declined")
def test_it_stands_beside_the_status_and_in_the_history(
    admin: Browser, app_driver: AppDriver, client_id: UUID, outbox: Outbox
) -> None:
    outbox.flush()
    row = admin.row(HARBOUR, INVITEE)
    assert (row.status, row.delivery, row.link) == ("invite_sent", "sent", "valid")
    assert row.health == "Declined by recipient"
    page = parse(admin.get(ic(HARBOUR)))
    assert words(page.select_one("td[data-col=status]")).startswith("Invite Sent")
    assert app_driver.events(client_id)[2:3] == [(EventKind.DECLINED, None)]
    panel = parse(admin.get(f"{ic(HARBOUR)}/{client_id}/history", htmx=True))
    assert "Declined by the recipient" in words(panel.select_one(".events"))
    assert "the client" in words(panel.select_one(".events li:nth-of-type(2)"))
    assert "Declined by recipient" in words(panel.select_one(".panel-status"))
    assert "declined" in admin.get(f"{ic(HARBOUR)}/export.csv").text.splitlines()[1]


@pytest.mark.usefixtures("declined")
@pytest.mark.parametrize("htmx", [True, False])
def test_resending_asks_first_and_then_does_it(
    admin: Browser, nobody: Browser, app_driver: AppDriver, client_id: UUID, link: str, htmx: bool
) -> None:
    resend = f"{ic(HARBOUR)}/{client_id}/resend"
    before = app_driver.dump()
    asked = admin.post(resend, htmx=htmx)
    assert asked.status_code == 200
    assert ("<html" in asked.text) is not htmx
    if htmx:
        assert asked.headers["HX-Retarget"] == "#dialog-content"
    form = parse(asked).select_one("#resend-client-form")
    assert "Nordwind Reisen" in words(form)
    assert "The recipient has declined." in words(form)
    assert form.select_one("[autofocus]").text == "Cancel"
    assert app_driver.dump() == before

    fields = {field["name"]: field["value"] for field in form.select("input")}
    done = admin.post(form["action"], fields, htmx=htmx)
    assert done.status_code == (200 if htmx else 303)
    if htmx:
        assert {"dialog-close", "clients-changed"} <= set(done.headers["HX-Trigger"].split('"'))
    assert "Declined" not in admin.row(HARBOUR, INVITEE).health
    assert app_driver.kinds(client_id)[-2:] == [EventKind.RESENT, EventKind.MAIL_QUEUED]
    assert nobody.get(link).status_code == 410
    assert parse(nobody.get(app_driver.link(client_id, 2))).select_one("form.decline")


@pytest.mark.parametrize("htmx", [True, False])
def test_resending_to_who_has_not_declined_asks_nothing(
    admin: Browser, app_driver: AppDriver, client_id: UUID, htmx: bool
) -> None:
    answer = admin.post(f"{ic(HARBOUR)}/{client_id}/resend", htmx=htmx)
    assert (answer.status_code, "dialog-title" in answer.text) == (200 if htmx else 303, False)
    assert app_driver.client(INVITEE).generation == 2


@pytest.mark.usefixtures("declined")
def test_a_correction_says_it_and_begins_anew(admin: Browser, app_driver: AppDriver, client_id: UUID) -> None:
    correct = f"{ic(HARBOUR)}/{client_id}/correct"
    assert "The recipient has declined." in words(parse(admin.get(correct)))
    fields = {"company_name": "Nordwind Reisen", "email": "somebody.else@nordwind.test"}
    assert admin.post(correct, fields).status_code == 303
    assert not app_driver.client("somebody.else@nordwind.test").is_declined


@pytest.mark.usefixtures("declined")
def test_of_a_selection_it_is_said_how_many_have_declined(
    admin: Browser, nobody: Browser, app_driver: AppDriver, client_id: UUID
) -> None:
    other = app_driver.invite("second@nordwind.test")
    question = f"{ic(HARBOUR)}/bulk/resend?client_id={client_id}&client_id={other}"
    assert "1 recipient has declined." in words(parse(admin.get(question)))
    assert nobody.post(decline_path(app_driver.link(other))).status_code == 303
    asked = parse(admin.get(question)).select_one("#bulk-resend-form")
    assert "2 recipients have declined." in words(asked)
    fields = {field["name"]: field["value"] for field in asked.select("input")}
    assert admin.post(asked["action"], fields).status_code == 303
    assert not app_driver.client(INVITEE).is_declined
    assert "not for them" not in words(parse(admin.get(question)))


# Thinking again


@pytest.mark.usefixtures("declined")
def test_who_registers_afterwards_joins_as_anybody_does(
    admin: Browser, nobody: Browser, app_driver: AppDriver, link: str, outbox: Outbox, mail_server: MailServer
) -> None:
    assert nobody.post(link, NORA).status_code == 303
    assert admin.row(HARBOUR, INVITEE).health == "Email not verified yet"
    outbox.flush()
    verification = [mail.link for mail in mail_server.to(INVITEE) if "/verify-email/" in mail.link]
    assert nobody.post(verification[0]).status_code == 303
    row = admin.row(HARBOUR, INVITEE)
    assert (row.status, "Declined" in row.health) == ("joined", False)


@pytest.mark.both_databases
def test_who_registered_and_was_invited_again_may_still_decline(
    admin: Browser, nobody: Browser, app_driver: AppDriver, client_id: UUID, link: str
) -> None:
    assert nobody.post(link, NORA).status_code == 303
    app_driver.resend(client_id)
    assert nobody.post(decline_path(app_driver.link(client_id, 2))).status_code == 303
    assert admin.row(HARBOUR, INVITEE).health.startswith("Declined by recipient")
    app_driver.let_presses_pass()
    assert admin.post(f"{ic(HARBOUR)}/{client_id}/resend").status_code == 200


# At the same moment


def outcome(app_driver: AppDriver, call: object, *args: object) -> str:
    try:
        app_driver.do(call, *args)
    except DeadLink as dead:
        return dead.state.value
    except (Conflict, NotFound) as problem:
        return type(problem).__name__
    return "done"


@pytest.mark.both_databases
def test_declining_twice_or_nineteen_times_at_once_is_declining_once(
    app: Flask, nobody: Browser, app_driver: AppDriver, client_id: UUID, link: str
) -> None:
    nobody.csrf_token()
    people = [Browser(app) for _ in range(19)]  # with the last one as many as one network may post to a link
    for one in people:
        one._csrf = nobody.csrf_token()
        cookie = nobody.client.get_cookie("session")
        assert cookie is not None
        one.client.set_cookie("session", cookie.value)
    answers = at_once([partial(one.post, decline_path(link)) for one in people])
    assert {answer.status_code for answer in answers} == {303}
    assert nobody.post(decline_path(link)).status_code == 303
    assert app_driver.kinds(client_id).count(EventKind.DECLINED) == 1


@pytest.mark.both_databases
@pytest.mark.parametrize("rival", ["registers", "accepts", "removes", "resends", "corrects"])
def test_declining_races_with_whatever_else_happens_to_the_client(app_driver: AppDriver, rival: str) -> None:
    ada = app_driver.user("ada@harbour.test").id
    for n in range(ROUNDS):
        email = f"racer{n}@nordwind.test"
        user_id = app_driver.do(make_user, email, "Nora Wind") if rival == "accepts" else None
        client_id = app_driver.invite(email)
        token = token_of(app_driver.link(client_id))
        call, args = {
            "registers": (register, (token, "Nora Wind", PASSWORD)),
            "accepts": (accept, (token, user_id)),
            "removes": (remove_client, (HARBOUR, client_id, ada)),
            "resends": (partial(resend_invite, confirmed=True), (HARBOUR, client_id, ada)),
            "corrects": (correct_client, (HARBOUR, client_id, ada, "Nordwind", email)),
        }[rival]
        declining, other = at_once(
            [partial(outcome, app_driver, decline, token), partial(outcome, app_driver, call, *args)]
        )
        assert other == "done"
        loser = {"registers": "used", "accepts": "used", "removes": "withdrawn"}.get(rival, "replaced")
        assert declining in {"done", loser}
        if rival != "removes":
            left: ImportedClient = app_driver.client(email)
            assert left.is_joined is (rival == "accepts")
            assert not left.is_declined
