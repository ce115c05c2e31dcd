"""The invitee's way: what each link is good for, at which moment, and for whom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from time import thread_time
from uuid import UUID

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.accounts.passwords import is_password_of
from app.accounts.users import find_user
from app.clients.service import remove_client, resend_invite
from app.core.errors import Conflict
from app.core.links import LinkClaim, LinkKind, make_url
from app.db.transactions import transaction
from app.models import EventKind, Membership, Role
from app.registration.service import DeadLink, accept
from app.registration.verification import send_verification_again
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, ic, parse, path_of, words
from tests.support.factories import OTHER_PASSWORD, PASSWORD, make_member, make_user
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

INVITEE = "info@nordwind.test"
PASSPHRASE = "a long enough passphrase"
NORA = {"name": "Nora Wind", "password": PASSPHRASE}
CHOSEN = {"password": PASSPHRASE}
"""What verifies in another browser than the one that registered."""
WEEK = timedelta(days=7)
SECOND = timedelta(seconds=1)
ROUNDS = 4

SAYS = {
    "expired": "This invitation has expired",
    "replaced": "This invitation was replaced by a newer one",
    "withdrawn": "This invitation was withdrawn",
    "used": "This invitation was already used",
}


def heading(response: TestResponse) -> str:
    return words(parse(response).h1)


def buttons(response: TestResponse) -> list[str]:
    """The buttons that work without JavaScript, but for the quiet one to decline (see test_declining.py)."""
    return [words(button) for button in parse(response).select("main form:not(.decline) button[type=submit]")]


def text(response: TestResponse) -> str:
    return words(parse(response))


def assert_dead(browser: Browser, link: str, state: str) -> None:
    """GET and POST alike say 410 and why."""
    for answer in (browser.get(link), browser.post(link, NORA), browser.post(link)):
        assert (answer.status_code, heading(answer)) == (410, SAYS[state])
        assert "Harbour Tours" in answer.text
        assert (heading(answer) == SAYS["used"]) == ("/login" in answer.text)


def at(moment: datetime | None) -> time_machine.travel:
    """Stand still at a moment of the application's clock."""
    assert moment is not None
    return time_machine.travel(moment, tick=False)


def later(**delta: float) -> time_machine.travel:
    """Move on, while the clock goes on."""
    return time_machine.travel(datetime.now(UTC) + timedelta(**delta), tick=True)


def register(app_driver: AppDriver, email: str = INVITEE, browser: Browser | None = None) -> UUID:
    """An invited client who has registered and not verified yet."""
    client_id = app_driver.invite(email)
    registered = (browser or Browser(app_driver.app)).post(app_driver.link(client_id), NORA)
    assert registered.status_code == 303
    return client_id


def verification_link(app_driver: AppDriver, email: str = INVITEE) -> str:
    """The newest one, whether it was mailed yet or not."""
    user = app_driver.user(email)
    return str(app_driver.do(make_url, LinkKind.VERIFICATION, LinkClaim(str(user.id), user.verification_generation)))


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
    for n in range(12):
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


def test_after_removing_and_adding_again_every_old_link_is_dead(app_driver: AppDriver, nobody: Browser) -> None:
    old = []
    for _ in range(3):
        client_id = app_driver.invite(INVITEE)
        app_driver.resend(client_id)
        app_driver.resend(client_id)
        old += [app_driver.link(client_id, generation) for generation in (1, 2, 3)]
        app_driver.remove(client_id)
    newest = app_driver.link(app_driver.invite(INVITEE))
    assert len({*old, newest}) == 10
    for link in old:
        assert_dead(nobody, link, "withdrawn")
    assert nobody.post(newest, NORA).status_code == 303


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


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
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
    assert is_password_of(kept, password)
    assert not is_password_of(kept, password.strip())


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
    assert is_password_of(kept.password_hash, f"{PASSPHRASE} {winner}")
    assert not is_password_of(kept.password_hash, f"{PASSPHRASE} {(winner + 1) % len(people)}")
    assert app_driver.kinds(client_id).count(EventKind.REGISTERED) == 1
    outbox.flush()
    assert len([mail for mail in mail_server.mails if "/verify-email/" in mail.link]) == 1


# Accounts that exist


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
    assert buttons(page) == ["Send the e-mail again"]
    accepting = nobody.post(link)
    assert accepting.status_code == 409
    assert "Verify your e-mail address first" in text(accepting)
    assert buttons(accepting) == ["Send the e-mail again"]
    for path in ("/portals", "/"):
        notice = nobody.client.get(path, follow_redirects=True)
        assert notice.request.path == "/verify-email"
        assert buttons(notice) == ["Send the e-mail again", "Sign out"]
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
    assert is_password_of(app_driver.user(INVITEE).password_hash, PASSWORD)


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
        assert buttons(nobody.get(link)) == ["Verify my e-mail"]
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
        assert (answer.status_code, heading(answer)) == (410, "Your e-mail is verified already")
    assert app_driver.dump() == before


def test_verifying_twice_at_once_joins_once(app_driver: AppDriver, app: Flask) -> None:
    registered = Browser(app)
    client_id = register(app_driver, browser=registered)
    link = verification_link(app_driver)
    people = [registered.twin() for _ in range(8)]
    answers = at_once([partial(person.post, link) for person in people])
    assert sorted(answer.status_code for answer in answers) == [303] + [410] * 7
    kinds = app_driver.kinds(client_id)
    assert (kinds.count(EventKind.VERIFIED), kinds.count(EventKind.JOINED)) == (1, 1)


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


# Races: one legal outcome, always


def outcome(app_driver: AppDriver, call: Callable[..., None], *args: object) -> str:
    """How a service call ended, in a word."""
    try:
        app_driver.do(call, *args)
    except Conflict:
        return "conflict"
    except DeadLink as dead:
        return dead.state.value
    return "done"


def race(app_driver: AppDriver, admin: Browser, method: str, path: str, n: int) -> tuple[int, int, UUID]:
    """A client verifies at the moment an admin does something else; what each was answered."""
    email = f"racer{n}@nordwind.test"
    invitee, rival = Browser(app_driver.app), admin.twin()
    client_id = register(app_driver, email, invitee)
    link = verification_link(app_driver, email)
    target = f"{ic(HARBOUR)}/{client_id}{path}"
    # In the browser that registered no password is asked for, and judging one would let the other be first each time.
    verified, done = at_once([partial(invitee.post, link), partial(rival.send, method, target)])
    return verified.status_code, done.status_code, client_id


def test_verifying_races_with_removal(app_driver: AppDriver, admin: Browser) -> None:
    for n in range(ROUNDS):
        email = f"racer{n}@nordwind.test"
        verified, removed, client_id = race(app_driver, admin, "DELETE", "", n)
        assert (verified, removed) in {(303, 409), (404, 303)}
        assert app_driver.has_account(email) is (verified == 303)
        left = [status for _portal, address, status in app_driver.clients() if address == email]
        role = app_driver.role(email) if verified == 303 else None
        assert (removed, left, role) in [(409, ["joined"], Role.CLIENT), (303, [], None)]
        assert (EventKind.REMOVED in app_driver.kinds(client_id)) == (removed == 303)
        assert (EventKind.JOINED in app_driver.kinds(client_id)) == (removed == 409)


def test_verifying_races_with_resend(
    app_driver: AppDriver, admin: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    for n in range(ROUNDS):
        email = f"racer{n}@nordwind.test"
        verified, resent, client_id = race(app_driver, admin, "POST", "/resend", n)
        assert verified == 303
        assert resent in {303, 409}
        client = app_driver.client(email)
        assert client.is_joined
        assert client.generation == (2 if resent == 303 else 1)
        assert app_driver.kinds(client_id).count(EventKind.RESENT) == (1 if resent == 303 else 0)
        assert app_driver.role(email) is Role.CLIENT
    outbox.flush()
    assert [mail.link for mail in mail_server.mails if "/invitations/" in mail.link] == []


def test_registering_races_with_removal_and_resend(app_driver: AppDriver, admin: Browser, app: Flask) -> None:
    for n in range(ROUNDS):
        method, path = ("DELETE", "") if n % 2 else ("POST", "/resend")
        email = f"racer{n}@nordwind.test"
        client_id = app_driver.invite(email)
        link, target = app_driver.link(client_id), f"{ic(HARBOUR)}/{client_id}{path}"
        invitee, rival = Browser(app), admin.twin()
        invitee.csrf_token()
        registered, done = at_once([partial(invitee.post, link, NORA), partial(rival.send, method, target)])
        registered, done = registered.status_code, done.status_code
        assert (registered, done) in {(303, 303), (410, 303)}
        assert app_driver.has_account(email) is (registered == 303 and method == "POST")
        left = [status for _portal, address, status in app_driver.clients() if address == email]
        assert left == ([] if n % 2 else ["invite_sent"])


@pytest.mark.parametrize("rival", ["removes", "resends", "accepts"])
def test_accepting_races_with_whatever_else_happens_to_the_client(app_driver: AppDriver, rival: str) -> None:
    ada = app_driver.user("ada@harbour.test").id
    for n in range(2 * ROUNDS):
        email = f"racer{n}@nordwind.test"
        user_id = app_driver.do(make_user, email, "Nora Wind")
        client_id = app_driver.invite(email)
        token = app_driver.link(client_id).rpartition("/")[2]
        accepting = partial(outcome, app_driver, accept, token, user_id)
        other = {
            "removes": partial(outcome, app_driver, remove_client, HARBOUR, client_id, ada),
            "resends": partial(outcome, app_driver, resend_invite, HARBOUR, client_id, ada),
            "accepts": accepting,
        }[rival]
        accepted, done = at_once([accepting, other])
        left = [status for _portal, address, status in app_driver.clients() if address == email]
        role = app_driver.role(email)
        if rival == "accepts":
            assert sorted([accepted, done]) == ["done", "used"]
            assert (left, role) == (["joined"], Role.CLIENT)
        elif accepted == "done":
            assert (done, left, role) == ("conflict", ["joined"], Role.CLIENT)
        elif rival == "removes":
            assert (accepted, done, left, role) == ("withdrawn", "done", [], None)
        else:
            assert (accepted, done, left, role) == ("replaced", "done", ["invite_sent"], None)


def test_sending_again_races_with_verifying(app_driver: AppDriver, app: Flask) -> None:
    for n in range(ROUNDS):
        email, invitee = f"racer{n}@nordwind.test", Browser(app)
        register(app_driver, email, invitee)
        user_id, link = app_driver.user(email).id, verification_link(app_driver, email)
        verified, _ = at_once([partial(invitee.post, link), partial(app_driver.do, send_verification_again, user_id)])
        assert verified.status_code in {303, 410}
        assert app_driver.user(email).is_verified is (verified.status_code == 303)
        assert app_driver.client(email).is_joined is (verified.status_code == 303)


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
