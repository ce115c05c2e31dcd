"""A link of an invitation says what it is good for, at which moment, and for whom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select

from app.extensions import db
from app.models import ClientEvent, EventKind, ImportedClient
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.registration.invitee import (
    CHOSEN,
    INVITEE,
    NORA,
    SAYS,
    SECOND,
    assert_dead,
    at,
    buttons,
    heading,
    later,
    register,
    text,
    verification_link,
)
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, ic, parse, path_of
from tests.support.factories import invite
from tests.support.smtp import MailServer

WEEK = timedelta(days=7)


# What a link answers


def test_a_new_link_says_who_invites_whom_to_which_portal(app_driver: AppDriver, nobody: Browser) -> None:
    page = nobody.get(app_driver.link(app_driver.invite(INVITEE, "Nordwind & Söhne")))
    assert page.status_code == 200
    assert heading(page) == "Nordwind & Söhne is invited to Harbour Tours"
    for said in ("Ada Berg", "ada@harbour.test", INVITEE):
        assert said in text(page)
    assert buttons(page) == ["Register"]
    assert not parse(page).select("[name=email]")


def test_an_expired_link_says_so(app_driver: AppDriver, nobody: Browser) -> None:
    client_id = app_driver.invite(INVITEE)
    app_driver.let_link_lapse(client_id, datetime.now(UTC) - SECOND)
    assert_dead(nobody, app_driver.link(client_id), "expired")
    assert not app_driver.has_account(INVITEE)


def test_a_replaced_link_says_that_a_newer_one_was_sent(app_driver: AppDriver, nobody: Browser) -> None:
    client_id = app_driver.invite(INVITEE)
    app_driver.resend(client_id)
    assert_dead(nobody, app_driver.link(client_id, 1), "replaced")
    assert not app_driver.has_account(INVITEE)
    assert nobody.post(app_driver.link(client_id, 2), NORA).status_code == 303


def test_a_withdrawn_link_says_so(app_driver: AppDriver, nobody: Browser) -> None:
    client_id = app_driver.invite(INVITEE)
    app_driver.remove(client_id)
    assert_dead(nobody, app_driver.link(client_id), "withdrawn")
    assert not app_driver.has_account(INVITEE)


def test_a_used_link_says_so_and_leads_to_sign_in(app_driver: AppDriver, nobody: Browser) -> None:
    client_id = register(app_driver)
    assert_dead(nobody, app_driver.link(client_id), "used")
    assert nobody.post(verification_link(app_driver), CHOSEN).status_code == 303
    assert_dead(nobody, app_driver.link(client_id), "used")


def test_a_dead_link_stays_dead_when_another_reason_is_added(app_driver: AppDriver, nobody: Browser) -> None:
    client_id = app_driver.invite(INVITEE)
    app_driver.let_link_lapse(client_id, datetime.now(UTC) - SECOND)
    app_driver.resend(client_id)
    assert_dead(nobody, app_driver.link(client_id, 1), "replaced")
    app_driver.remove(client_id)
    for generation in (1, 2):
        assert_dead(nobody, app_driver.link(client_id, generation), "withdrawn")


def test_links_that_we_never_made_get_the_one_404(app_driver: AppDriver, nobody: Browser, app: Flask) -> None:
    """The same bytes for each, and for GET and POST; nothing tells how near a guess came."""
    client_id = app_driver.invite(INVITEE)
    elsewhere = app_driver.invite("other@nordwind.test")
    genuine = path_of(app_driver.link(client_id)).removeprefix("/invitations/")
    signature = genuine.rpartition(".")[2]
    never_made = app_driver.link(UUID(int=1), 1).rpartition("/")[2]
    guesses = [
        "",
        "x",
        "%00",
        "..",
        ".",
        "%20" + genuine,
        genuine[:-1],
        genuine[:-1] + ("A" if genuine[-1] != "A" else "B"),
        genuine + "A",
        genuine + "=",
        genuine + ".",
        genuine + ")",
        genuine + ">",
        genuine + "%3E",
        genuine + "%0A",
        genuine + genuine,
        genuine.swapcase(),
        genuine.replace(f"{client_id.hex}.1.", f"{client_id.hex}.2."),
        genuine.replace(f"{client_id.hex}.1.", f"{client_id.hex}.01."),
        genuine.replace(client_id.hex, elsewhere.hex),
        genuine.replace(HARBOUR, ALPINE),
        f"{HARBOUR}.{client_id.hex}.-1.{signature}",
        f"{HARBOUR}.{client_id.hex}..{signature}",
        f"{HARBOUR}.{client_id.hex}.{'9' * 4000}.{signature}",
        "%F0%9F%92%A9" * 20,
        "%FF%FE",
        "a" * 100_000,
        genuine + "/",
    ]
    assert genuine not in guesses
    before = app_driver.dump()
    absent = nobody.get("/no/such/page")
    assert "one character too many or too few is the usual cause" in text(absent)
    for guess in guesses:
        for answer in (
            nobody.client.get(f"/invitations/{guess}", follow_redirects=True),
            nobody.post(f"/invitations/{guess}", NORA),
        ):
            assert (answer.status_code, answer.data) == (404, absent.data), guess
    assert app_driver.dump() == before
    # Signed by us, but of a client that never was: it says no more than that the invitation is gone.
    assert nobody.get(f"/invitations/{never_made}").status_code == 410
    assert nobody.get(f"/invitations/{genuine}").status_code == 200


def test_a_link_of_one_kind_opens_no_page_of_another(app_driver: AppDriver, nobody: Browser) -> None:
    client_id = register(app_driver)
    invitation = app_driver.link(client_id).rpartition("/")[2]
    verification = verification_link(app_driver).rpartition("/")[2]
    for path in (
        f"/verify-email/{invitation}",
        f"/invitations/{verification}",
        f"/password-reset/{verification}",
        f"/password-reset/{invitation}",
    ):
        assert nobody.get(path).status_code == nobody.post(path, NORA).status_code == 404, path
    assert not app_driver.user(INVITEE).is_verified


def test_opening_a_link_many_times_changes_nothing(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, app: Flask
) -> None:
    app_driver.invite(INVITEE)
    outbox.flush()
    link = path_of(mail_server.wait_for(INVITEE).link)
    before = app_driver.dump()
    scanner = app.test_client()
    for n in range(6):
        headers = HTMX if n % 3 == 0 else {}
        answer = scanner.head(link, headers=headers) if n % 2 else scanner.get(link, headers=headers)
        assert answer.status_code == 200
    assert app_driver.dump() == before

    person = Browser(app)
    assert person.post(link, NORA).status_code == 303
    outbox.flush()
    verification = path_of(mail_server.wait_for(INVITEE, count=2).link)
    before = app_driver.dump()
    for n in range(4):
        assert (scanner.head(verification) if n % 2 else scanner.get(verification)).status_code == 200
    assert app_driver.dump() == before
    assert person.post(verification).status_code == 303
    assert app_driver.clients() == [(HARBOUR, INVITEE, "joined")]


def test_personal_pages_are_not_kept_by_caches(app_driver: AppDriver, nobody: Browser) -> None:
    client_id = app_driver.invite(INVITEE)
    gone = app_driver.invite("gone@nordwind.test")
    app_driver.remove(gone)
    for link in (app_driver.link(client_id), app_driver.link(gone)):
        answer = nobody.get(link)
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["Referrer-Policy"] == "same-origin"


# Time


def test_a_link_lives_604_800_seconds_judged_at_the_post(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, app: Flask
) -> None:
    for name in ("early", "late"):
        app_driver.invite(f"{name}@nordwind.test")
    outbox.flush()
    early, late = Browser(app), Browser(app)
    links = {name: mail_server.wait_for(f"{name}@nordwind.test").link for name in ("early", "late")}
    handed_over = {name: app_driver.client(f"{name}@nordwind.test").email_last_sent_at for name in links}

    with at(handed_over["early"] + timedelta(seconds=604_799)):
        assert early.get(links["early"]).status_code == 200
        assert early.post(links["early"], NORA).status_code == 303

    with at(handed_over["late"] + timedelta(seconds=604_799)):
        assert buttons(late.get(links["late"])) == ["Register"]
    with at(handed_over["late"] + timedelta(seconds=604_800)):
        refused = late.post(links["late"], NORA)
        assert (refused.status_code, heading(refused)) == (410, SAYS["expired"])
        assert_dead(late, links["late"], "expired")
    assert app_driver.has_account("early@nordwind.test")
    assert not app_driver.has_account("late@nordwind.test")


@pytest.mark.both_databases
def test_the_seven_days_run_from_the_hand_off(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, nobody: Browser
) -> None:
    asked_for = datetime.now(UTC)
    client_id = app_driver.invite(INVITEE)
    with later(days=3):
        outbox.flush()
    mail = mail_server.wait_for(INVITEE)
    client = app_driver.client(INVITEE)
    assert timedelta(days=3) <= client.email_last_sent_at - asked_for < timedelta(days=3, minutes=5)
    assert client.link_expires_at == client.email_last_sent_at + WEEK
    with at(asked_for + timedelta(days=9)):
        assert nobody.get(mail.link).status_code == 200
    with at(client.link_expires_at):
        assert nobody.get(app_driver.link(client_id)).status_code == 410


def test_until_the_hand_off_is_recorded_a_link_is_valid(app_driver: AppDriver, nobody: Browser) -> None:
    """The mail may be in somebody's mailbox while the process that sent it died before it could say so."""
    client_id = app_driver.invite(INVITEE)
    with later(days=400):
        assert nobody.get(app_driver.link(client_id)).status_code == 200
        assert nobody.post(app_driver.link(client_id), NORA).status_code == 303


def test_a_resend_begins_a_new_week(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, nobody: Browser
) -> None:
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    with later(days=8):
        assert nobody.get(app_driver.link(client_id)).status_code == 410
        app_driver.resend(client_id)
        outbox.flush()
        assert nobody.get(mail_server.wait_for(INVITEE, count=2).link).status_code == 200
    with later(days=14):
        assert nobody.get(app_driver.link(client_id, 2)).status_code == 200
    with later(days=16):
        assert_dead(nobody, app_driver.link(client_id, 2), "expired")


# Older generations


def test_a_resend_kills_the_older_link_even_in_a_form_already_open(
    app_driver: AppDriver, admin: Browser, nobody: Browser
) -> None:
    client_id = app_driver.invite(INVITEE)
    assert buttons(nobody.get(app_driver.link(client_id))) == ["Register"]
    assert admin.post(f"{ic(HARBOUR)}/{client_id}/resend").status_code == 303
    refused = nobody.post(app_driver.link(client_id), NORA)
    assert (refused.status_code, heading(refused)) == (410, SAYS["replaced"])
    assert not app_driver.has_account(INVITEE)


def test_a_removal_kills_the_link_even_in_a_form_already_open(
    app_driver: AppDriver, admin: Browser, nobody: Browser
) -> None:
    client_id = app_driver.invite(INVITEE)
    assert buttons(nobody.get(app_driver.link(client_id))) == ["Register"]
    assert admin.send("DELETE", f"{ic(HARBOUR)}/{client_id}").status_code == 303
    refused = nobody.post(app_driver.link(client_id), NORA)
    assert (refused.status_code, heading(refused)) == (410, SAYS["withdrawn"])
    assert not app_driver.has_account(INVITEE)


@pytest.mark.both_databases
def test_after_removing_and_adding_again_every_old_link_names_the_newest(
    app_driver: AppDriver, nobody: Browser
) -> None:
    old = []
    for _ in range(2):
        client_id = app_driver.invite(INVITEE)
        app_driver.resend(client_id)
        old += [app_driver.link(client_id, generation) for generation in (1, 2)]
        app_driver.remove(client_id)
    newest = app_driver.link(app_driver.invite(INVITEE))
    assert len({*old, newest}) == 5
    for link in old:
        assert_dead(nobody, link, "replaced")
    assert nobody.post(newest, NORA).status_code == 303
    assert_dead(nobody, old[0], "replaced")
    assert nobody.post(verification_link(app_driver), CHOSEN).status_code == 303
    assert_dead(nobody, old[0], "used")


def test_an_address_that_another_portal_invites_is_not_invited_again(app_driver: AppDriver, nobody: Browser) -> None:
    client_id = app_driver.invite(INVITEE)
    app_driver.remove(client_id)
    app_driver.invite("other@nordwind.test")
    app_driver.do(invite, ALPINE, INVITEE, actor="olaf@alpine.test")
    assert_dead(nobody, app_driver.link(client_id), "withdrawn")


def test_a_removal_of_several_knows_each_address(app_driver: AppDriver, admin: Browser, nobody: Browser) -> None:
    corrected, added, gone = INVITEE, "added@nordwind.test", "gone@nordwind.test"
    removed = {email: app_driver.invite(email) for email in (corrected, added, gone)}
    answer = admin.post(f"{ic(HARBOUR)}/bulk/remove", {"client_id": [str(one) for one in removed.values()]})
    assert answer.status_code == 303
    app_driver.invite(added)
    other = app_driver.invite("other@nordwind.test")
    assert admin.post(f"{ic(HARBOUR)}/{other}/correct", {"company_name": "Acme", "email": corrected}).status_code == 303
    for email, state in ((corrected, "replaced"), (added, "replaced"), (gone, "withdrawn")):
        assert_dead(nobody, app_driver.link(removed[email]), state)


def test_what_is_kept_of_a_removed_address_tells_nobody_without_our_key(
    app_driver: AppDriver, environment: dict[str, str], reconfigured: Callable[..., Flask]
) -> None:
    removed = app_driver.invite(INVITEE)
    elsewhere = app_driver.do(invite, ALPINE, INVITEE, actor="olaf@alpine.test")
    digests = app_driver.do(_digests)
    assert len({*digests}) == 2, "the portals have the same digest"
    app_driver.remove(removed)
    assert app_driver.do(_digests_of_removals) == [digests[0]]
    rotated = reconfigured(
        SECRET_KEY="the key of the next year, for tests", SECRET_KEY_FALLBACKS=environment["SECRET_KEY"]
    )
    with rotated.app_context():
        invite(HARBOUR, INVITEE)
    assert_dead(Browser(rotated), app_driver.link(removed), "withdrawn")
    assert Browser(rotated).get(app_driver.link(UUID(elsewhere), portal_id=ALPINE)).status_code == 200


def _digests() -> list[str | None]:
    return list(db.session.scalars(select(ImportedClient.address_digest).order_by(ImportedClient.id)))


def _digests_of_removals() -> list[str | None]:
    removals = select(ClientEvent.address_digest).where(ClientEvent.kind == EventKind.REMOVED)
    return list(db.session.scalars(removals))


# Keys


def test_links_survive_a_new_secret_key_as_long_as_the_old_one_is_a_fallback(
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    environment: dict[str, str],
    reconfigured: Callable[..., Flask],
) -> None:
    old = environment["SECRET_KEY"]
    app_driver.invite(INVITEE)
    outbox.flush()
    link = mail_server.wait_for(INVITEE).link
    rotated = reconfigured(
        SECRET_KEY="the key of the next year, for tests", SECRET_KEY_FALLBACKS=f"some other key, {old}"
    )
    forgotten = reconfigured(SECRET_KEY="the key of the next year, for tests")

    person = Browser(rotated)
    assert person.get(link).status_code == 200
    assert Browser(forgotten).get(link).status_code == 404
    assert person.post(link, NORA).status_code == 303
    Outbox(rotated).flush()
    verification = mail_server.wait_for(INVITEE, count=2).link
    assert Browser(app_driver.app).get(verification).status_code == 404  # made with the new key
    assert Browser(forgotten).post(verification, CHOSEN).status_code == 303
    assert app_driver.clients() == [(HARBOUR, INVITEE, "joined")]
    assert_dead(person, link, "used")
