"""The invitee registers, verifies the address and joins, with a new account or one that exists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from time import thread_time

import pytest
from flask import Flask

from app.accounts.passwords import is_password_of
from app.accounts.users import find_user
from app.db.transactions import transaction
from app.models import EventKind, Membership, Role
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.registration.invitee import (
    CHOSEN,
    INVITEE,
    NORA,
    PASSPHRASE,
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
from tests.support.browser import Browser, ic, parse, path_of, words
from tests.support.factories import OTHER_PASSWORD, PASSWORD, make_member, make_user
from tests.support.smtp import MailServer
from tests.support.together import at_once

# Registration


def test_a_posted_address_is_ignored(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, nobody: Browser
) -> None:
    client_id = app_driver.invite(INVITEE)
    fields = NORA | {"email": "thief@elsewhere.test", "is_verified": "1", "role": "client_admin", "portal_id": ALPINE}
    assert nobody.post(app_driver.link(client_id), fields).status_code == 303
    assert app_driver.has_account(INVITEE)
    assert not app_driver.has_account("thief@elsewhere.test")
    assert not app_driver.user(INVITEE).is_verified
    outbox.flush()
    assert {mail.recipient for mail in mail_server.mails} == {INVITEE}


def test_registering_signs_nobody_in_and_joins_nothing(app_driver: AppDriver, nobody: Browser) -> None:
    register(app_driver)
    answer = nobody.post(app_driver.link(app_driver.invite("second@nordwind.test")), NORA)
    assert nobody.get("/portals").status_code == 302
    assert "second@nordwind.test" in text(nobody.get(answer.location))
    nobody.post(verification_link(app_driver, "second@nordwind.test"), CHOSEN)
    assert nobody.get("/portals").status_code == 302
    assert app_driver.role("second@nordwind.test") is Role.CLIENT
    assert app_driver.role(INVITEE) is None


PASSWORDS = {
    # name: (password, part of the answer or None when it is good)
    "empty": ("", "too short"),
    "11 characters": ("k7#Qz!vR2$m", "too short"),
    "12 characters": ("k7#Qz!vR2$mW", None),
    "128 characters": ("correct horse battery staple " * 4 + "k7#Qz!vR2$mW", None),
    "129 characters": ("k7#Qz!vR2$mW" * 10 + "123456789", "too long"),
    "common": ("password1234", "too common"),
    "common, repeated": ("aaaaaaaaaaaaaaaa", "too common"),
    "common, a row of keys": ("qwertyuiop12", "too common"),
    "the person's name": ("my wind blows from katharina's side", "katharina"),
    "the company's name": ("k7#Qz!NORDWIND!vR2$mW", "nordwind"),
    "the portal's name": ("k7#Qz!harbours!vR2$mW", "harbour"),
    "the local part": ("k7#Qz!BooKing!vR2$mW", "booking"),
    "a name in full-width letters": ("k7#Qz!Straßen!vR2$mW", "strasse"),
    "three letters of a name": ("k7#Qz!tou!vR2$mW", None),
    "spaces at both ends": ("  three quiet words  ", None),
    "beyond ASCII": ("пять зелёных слонов 🐘", None),
}


def test_which_passwords_are_good_enough(app_driver: AppDriver, nobody: Browser) -> None:
    for n, (what, (password, fault)) in enumerate(PASSWORDS.items()):
        email = f"booking.k{n}@client.test"
        client_id = app_driver.invite(email, "Nordwind Reisen an der Straße")
        answer = nobody.post(app_driver.link(client_id), {"name": "Katharina Wi", "password": password})
        assert answer.status_code == (422 if fault else 303), what
        assert app_driver.has_account(email) is not fault, what
        if fault:
            page = parse(answer)
            (field,) = page.select("[aria-invalid=true]")
            assert field["name"] == "password"
            assert fault in words(page.select_one("#password-error")), what
            assert page.select_one("#name")["value"] == "Katharina Wi"
            assert len(password) < 4 or password not in answer.text, what


def test_a_password_is_taken_as_it_was_typed(app_driver: AppDriver, nobody: Browser) -> None:
    password = "  Zwölf  grüne 🐘 "
    app_driver_link = app_driver.link(app_driver.invite(INVITEE))
    assert nobody.post(app_driver_link, {"name": "Nora Wind", "password": password}).status_code == 303
    kept = app_driver.user(INVITEE).password_hash
    assert kept.startswith("$argon2id$")
    assert app_driver.do(is_password_of, kept, password)
    assert not app_driver.do(is_password_of, kept, password.strip())


def test_a_name_is_judged_like_any_other_and_kept_in_the_form(app_driver: AppDriver, nobody: Browser) -> None:
    link = app_driver.link(app_driver.invite(INVITEE))
    for name in ("", "  ", "x" * 101, "Nora\r\nBcc: victim@elsewhere.test", "Nora\0", "<script>", "\u202eNora"):
        answer = nobody.post(link, {"name": name, "password": PASSPHRASE})
        assert answer.status_code == 422, name
        assert [field["name"] for field in parse(answer).select("[aria-invalid=true]")] == ["name"]
        assert PASSPHRASE not in answer.text
    assert not app_driver.has_account(INVITEE)


def test_an_endless_name_costs_no_time(app_driver: AppDriver, nobody: Browser) -> None:
    link = app_driver.link(app_driver.invite(INVITEE))
    began = thread_time()
    answer = nobody.post(link, {"name": "a" + "\u0301\u0323" * 20_000, "password": PASSPHRASE})
    assert answer.status_code == 422
    assert thread_time() - began < 0.3


@pytest.mark.both_databases
def test_several_registrations_at_once_make_one_account_and_only_its_password_works(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, app: Flask
) -> None:
    client_id = app_driver.invite(INVITEE)
    link = app_driver.link(client_id)
    people = [Browser(app) for _ in range(6)]
    for person in people:
        person.csrf_token()
    answers = at_once(
        [
            partial(person.post, link, {"name": f"Nora {n}", "password": f"{PASSPHRASE} {n}"})
            for n, person in enumerate(people)
        ]
    )
    statuses = [answer.status_code for answer in answers]
    assert sorted(set(statuses)) == [303, 410]
    assert statuses.count(303) == 1
    winner = statuses.index(303)
    kept = app_driver.user(INVITEE)
    assert kept.name == f"Nora {winner}"
    assert app_driver.do(is_password_of, kept.password_hash, f"{PASSPHRASE} {winner}")
    assert not app_driver.do(is_password_of, kept.password_hash, f"{PASSPHRASE} {(winner + 1) % len(people)}")
    assert app_driver.kinds(client_id).count(EventKind.REGISTERED) == 1
    outbox.flush()
    assert len([mail for mail in mail_server.mails if "/verify-email/" in mail.link]) == 1


# Accounts that exist


@pytest.mark.both_databases
def test_a_verified_account_signs_in_accepts_and_has_joined_at_once(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, nobody: Browser
) -> None:
    app_driver.do(make_user, INVITEE, "Nora Wind")
    kept = app_driver.user(INVITEE).password_hash
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    link = path_of(mail_server.wait_for(INVITEE).link)

    page = nobody.get(link)
    assert buttons(page) == ["Sign in"]
    form = {field["name"]: field["value"] for field in parse(page).select("main form input[type=hidden]")}
    taking_over = nobody.post(link, {"name": "Thief", "password": OTHER_PASSWORD})
    assert taking_over.status_code == 409
    assert "password was not changed" in text(taking_over)
    signed_in = nobody.post("/login", form | {"password": PASSWORD})
    assert (signed_in.status_code, signed_in.location) == (303, link)

    assert app_driver.clients() == [(HARBOUR, INVITEE, "invite_sent")]
    assert buttons(nobody.get(link)) == ["Accept"]
    accepted = nobody.post(link, {"name": "Another", "password": OTHER_PASSWORD})
    assert (accepted.status_code, accepted.location) == (303, "/portals")
    assert "You are in Harbour Tours" in text(nobody.get("/portals"))
    assert app_driver.clients() == [(HARBOUR, INVITEE, "joined")]
    assert app_driver.role(INVITEE) is Role.CLIENT
    user = app_driver.user(INVITEE)
    assert (user.name, user.password_hash) == ("Nora Wind", kept)
    assert_dead(nobody, app_driver.link(client_id), "used")


def test_an_unverified_account_sees_only_verify_and_send_again(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, nobody: Browser
) -> None:
    client_id = register(app_driver)
    app_driver.resend(client_id)
    link = app_driver.link(client_id, 2)
    assert nobody.sign_in(INVITEE, PASSPHRASE).status_code == 303

    page = nobody.get(link)
    assert buttons(page) == ["Send the email again"]
    accepting = nobody.post(link)
    assert accepting.status_code == 409
    assert "Verify your email address first" in text(accepting)
    assert buttons(accepting) == ["Send the email again"]
    for path in ("/portals", "/"):
        notice = nobody.client.get(path, follow_redirects=True)
        assert notice.request.path == "/verify-email"
        assert buttons(notice) == ["Send the email again", "Sign out"]
    assert app_driver.clients() == [(HARBOUR, INVITEE, "invite_sent")]

    older = verification_link(app_driver)
    assert nobody.post("/verify-email").status_code == 303
    newer = verification_link(app_driver)
    refused = nobody.post(older)
    assert (refused.status_code, heading(refused)) == (410, "This link was used or replaced")
    outbox.flush()
    assert [mail.link for mail in mail_server.mails if "/verify-email/" in mail.link] == [newer]
    assert nobody.post(newer).status_code == 303
    assert app_driver.clients() == [(HARBOUR, INVITEE, "joined")]
    assert "You are in Harbour Tours" in text(nobody.get("/portals"))


@pytest.mark.parametrize("role", [Role.STAFF, Role.CLIENT_ADMIN])
def test_accepting_never_lowers_a_role(app_driver: AppDriver, nobody: Browser, role: Role) -> None:
    app_driver.do(make_member, HARBOUR, INVITEE, "Nora Wind", role)
    client_id = app_driver.invite(INVITEE)
    nobody.sign_in(INVITEE, PASSWORD)
    assert nobody.post(app_driver.link(client_id)).status_code == 303
    assert app_driver.clients() == [(HARBOUR, INVITEE, "joined")]
    assert app_driver.role(INVITEE) is role
    assert nobody.get(ic(HARBOUR)).status_code == 200


def test_whoever_is_signed_in_with_another_account_accepts_nothing(
    app_driver: AppDriver, staff: Browser, admin: Browser
) -> None:
    app_driver.do(make_user, INVITEE, "Nora Wind")
    link = app_driver.link(app_driver.invite(INVITEE))
    for browser, address in ((staff, "sam@harbour.test"), (admin, "ada@harbour.test")):
        page = browser.get(link)
        assert buttons(page) == ["Sign in"]
        assert f"You are signed in as {address}" in text(page)
        assert browser.post(link, NORA).status_code == 409
    assert app_driver.clients() == [(HARBOUR, INVITEE, "invite_sent")]
    assert app_driver.role(INVITEE) is None
    assert app_driver.do(is_password_of, app_driver.user(INVITEE).password_hash, PASSWORD)


def test_a_link_joins_its_own_portal_and_no_other(app_driver: AppDriver, nobody: Browser) -> None:
    app_driver.invite(INVITEE, portal_id=ALPINE)
    in_alpine = app_driver.client(INVITEE, ALPINE).id
    register(app_driver)
    assert nobody.get(app_driver.link(in_alpine, portal_id=HARBOUR)).status_code == 410
    assert nobody.post(verification_link(app_driver), CHOSEN).status_code == 303
    assert app_driver.clients() == [(ALPINE, INVITEE, "invite_sent"), (HARBOUR, INVITEE, "joined")]
    assert app_driver.role(INVITEE, ALPINE) is None

    nobody.sign_in(INVITEE, PASSPHRASE)
    assert nobody.post(app_driver.link(in_alpine, portal_id=ALPINE)).status_code == 303
    assert app_driver.clients() == [(ALPINE, INVITEE, "joined"), (HARBOUR, INVITEE, "joined")]


# Verification


def test_a_verification_link_lives_48_hours_from_its_hand_off(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, nobody: Browser
) -> None:
    register(app_driver)
    asked_for = datetime.now(UTC)
    with later(hours=30):
        outbox.flush()
    link = mail_server.wait_for(INVITEE).link
    expires_at = app_driver.user(INVITEE).verification_expires_at
    assert expires_at is not None
    assert timedelta(hours=78) <= expires_at - asked_for < timedelta(hours=78, minutes=5)
    with at(expires_at - SECOND):
        assert buttons(nobody.get(link)) == ["Verify my email address"]
    with at(expires_at):
        for answer in (nobody.get(link), nobody.post(link, CHOSEN)):
            assert (answer.status_code, heading(answer)) == (410, "This link has expired")
        assert not app_driver.user(INVITEE).is_verified
        # There is a way on: another link, also after the invitation's own seven days.
        nobody.sign_in(INVITEE, PASSPHRASE)
        assert nobody.post("/verify-email").status_code == 303
        assert nobody.post(verification_link(app_driver), CHOSEN).status_code == 303
    assert app_driver.clients() == [(HARBOUR, INVITEE, "joined")]


def test_a_verification_link_used_twice_says_that_nothing_is_left_to_do(app_driver: AppDriver, nobody: Browser) -> None:
    register(app_driver)
    link = verification_link(app_driver)
    assert nobody.post(link, CHOSEN).status_code == 303
    before = app_driver.dump()
    for answer in (nobody.get(link), nobody.post(link)):
        assert (answer.status_code, heading(answer)) == (410, "Your email address is already verified")
    assert app_driver.dump() == before


@pytest.mark.both_databases
def test_verifying_twice_at_once_joins_once(app_driver: AppDriver, app: Flask) -> None:
    registered = Browser(app)
    client_id = register(app_driver, browser=registered)
    link = verification_link(app_driver)
    people = [registered.twin() for _ in range(8)]
    answers = at_once([partial(person.post, link) for person in people])
    assert sorted(answer.status_code for answer in answers) == [303] + [410] * 7
    kinds = app_driver.kinds(client_id)
    assert (kinds.count(EventKind.VERIFIED), kinds.count(EventKind.JOINED)) == (1, 1)


@pytest.mark.both_databases
def test_an_account_that_was_never_verified_goes_with_its_client(
    app_driver: AppDriver, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    nobody.post(app_driver.link(app_driver.invite(INVITEE)), NORA)
    nobody.sign_in(INVITEE, PASSPHRASE)
    client_id = app_driver.client(INVITEE).id
    link = verification_link(app_driver)
    app_driver.remove(client_id)
    assert not app_driver.has_account(INVITEE)
    outbox.flush()
    assert mail_server.to(INVITEE) == []
    assert nobody.post(link).status_code == 404
    assert nobody.get("/verify-email").status_code == 200
    # As if nobody had ever registered.
    again = app_driver.link(app_driver.invite(INVITEE))
    assert buttons(nobody.get(again)) == ["Register"]
    assert nobody.post(again, NORA).status_code == 303
    # The older link does not open the new account, whatever its number.
    assert nobody.post(link).status_code == 404
    assert nobody.post(verification_link(app_driver)).status_code == 303
    assert app_driver.clients() == [(HARBOUR, INVITEE, "joined")]


@pytest.mark.both_databases
def test_an_account_that_is_verified_or_in_another_portal_outlives_its_client(app_driver: AppDriver) -> None:
    verified, elsewhere = "verified@nordwind.test", "elsewhere@nordwind.test"
    for email in (verified, elsewhere):
        register(app_driver, email)

    def change() -> None:
        with transaction() as session:
            user = find_user(elsewhere)
            assert user is not None
            session.add(Membership(portal_id=ALPINE, user_id=user.id, role=Role.STAFF))
            other = find_user(verified)
            assert other is not None
            other.email_verified_at = datetime.now(UTC)

    app_driver.do(change)
    for email in (verified, elsewhere):
        app_driver.remove(app_driver.client(email).id)
        assert app_driver.has_account(email)
