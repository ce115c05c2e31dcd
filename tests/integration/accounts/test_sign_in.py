"""Signing in and out, sessions and their end, a forgotten password, and forms whose token is not right."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.accounts.users import create_user
from app.core.clock import now
from app.models import Role
from app.portals.service import grant_role
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import dump
from tests.support.factories import OTHER_PASSWORD, PASSWORD, invite, make_member, make_user
from tests.support.smtp import MailServer

ADA = "ada@harbour.test"
ACCOUNTS = f"/portals/{HARBOUR}/settings/accounts"


@contextmanager
def later(seconds: float) -> Iterator[None]:
    with time_machine.travel(now() + timedelta(seconds=seconds)):
        yield


def session_cookie(browser: Browser) -> str:
    cookie = browser.client.get_cookie("session")
    assert cookie is not None
    return cookie.value


def browser_with(app: Flask, cookie: str) -> Browser:
    """Somebody who has come by a copy of a cookie."""
    browser = Browser(app)
    browser.client.set_cookie("session", cookie)
    return browser


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/portals").status_code == 200


def answer(response: TestResponse, *typed: str) -> tuple[int, str, list[tuple[str, str]]]:
    """All that tells one answer from another, but for what the person typed and the form's token."""
    text = re.sub(r'(name="csrf_token" value=")[^"]*', r"\1", response.text)
    for one in typed:
        text = text.replace(one, "…")
    headers = [(k, v) for k, v in response.headers if k not in {"Date", "Content-Length", "Set-Cookie"}]
    return response.status_code, text, headers


# --- sessions ------------------------------------------------------------------------------------


def test_signing_in_begins_a_new_session_and_signing_out_ends_it_on_the_server(app: Flask, nobody: Browser) -> None:
    token_before = nobody.csrf_token()
    cookie_before = session_cookie(nobody)
    assert nobody.sign_in(ADA, PASSWORD).status_code == 303
    cookie = session_cookie(nobody)
    assert is_signed_in(nobody)
    assert cookie != cookie_before
    assert not is_signed_in(browser_with(app, cookie_before))
    assert nobody.post(ic(HARBOUR), {"csrf_token": token_before}, csrf=False).status_code == 400

    signed_out = nobody.post("/logout")
    assert (signed_out.status_code, signed_out.location) == (303, "/login")
    assert not is_signed_in(nobody)
    assert not is_signed_in(browser_with(app, cookie))


def test_signing_in_again_ends_the_session_before(app: Flask, admin: Browser) -> None:
    cookie = session_cookie(admin)
    assert admin.sign_in("sam@harbour.test", PASSWORD).status_code == 303
    assert is_signed_in(admin)
    assert not is_signed_in(browser_with(app, cookie))


def test_a_copy_of_the_database_signs_nobody_in(app: Flask, admin: Browser) -> None:
    cookie = session_cookie(admin)
    payload = str(app.session_interface.get_signing_serializer(app).loads(cookie)["_user_id"])  # type: ignore[union-attr, attr-defined]
    with app.app_context():
        assert payload not in dump()


def test_signing_out_by_a_link_does_nothing(admin: Browser) -> None:
    assert admin.get("/logout").status_code == 405
    assert is_signed_in(admin)


@pytest.mark.parametrize("base_url, is_secure", [("http://clients.test", False), ("https://clients.test", True)])
def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    reconfigured: Callable[..., Flask], base_url: str, is_secure: bool
) -> None:
    """And secure exactly when the people come by https, whatever the request looks like from here."""
    page = reconfigured(PUBLIC_BASE_URL=base_url).test_client().get("/login")
    (cookie,) = page.headers.getlist("Set-Cookie")
    flags = {flag.strip() for flag in cookie.split(";")[1:]}
    assert flags == {"HttpOnly", "Path=/", "SameSite=Lax"} | ({"Secure"} if is_secure else set())


def test_a_session_that_is_over_leads_to_sign_in_and_back(app: Flask, admin: Browser) -> None:
    with app.app_context():
        client_id = invite(HARBOUR, "nord@client.test")
    here = f"{ic(HARBOUR)}?status=joined"
    shown = {"HX-Current-URL": f"http://clients.harbour.test{here}"}
    token = admin.csrf_token()
    with later(timedelta(days=7, seconds=1).total_seconds()):
        page = admin.get(here)
        assert page.status_code == 302
        assert parse_qs(urlsplit(page.location).query) == {"next": [here]}
        # Never a sign-in page inside the table.
        resend = f"{ic(HARBOUR)}/{client_id}/resend"
        for fragment in (
            admin.get(f"{ic(HARBOUR)}/table", htmx=True, headers=shown),
            admin.post(resend, {"csrf_token": token}, htmx=True, csrf=False, headers=shown),
        ):
            assert (fragment.status_code, fragment.data) == (401, b"")
            assert fragment.headers["HX-Redirect"] == page.location
        # The sign-in page carries the way back in its form.
        (way_back,) = parse(admin.get(page.location)).select("input[name=next]")
        signed_in = admin.post("/login", {"email": ADA, "password": PASSWORD, "next": way_back["value"]})
        assert (signed_in.status_code, signed_in.location) == (303, here)


# --- where it leads ------------------------------------------------------------------------------


def test_each_person_lands_where_their_work_is(app: Flask) -> None:
    with app.app_context():
        make_member(HARBOUR, "two@portals.test", "Two Portals", Role.CLIENT_ADMIN)
        grant_role(ALPINE, "two@portals.test", Role.STAFF)
        make_user("none@portals.test", "No Portal")
        make_user("new@client.test", "Not Verified", verified=False)

    def lands(email: str) -> tuple[str, str]:
        browser = Browser(app)
        landed = browser.get(browser.sign_in(email, PASSWORD).location, follow_redirects=True)
        assert landed.status_code == 200
        assert browser.get("/", follow_redirects=True).request.path == landed.request.path
        return landed.request.path, words(parse(landed))

    assert lands(ADA)[0] == ACCOUNTS
    assert lands("sam@harbour.test")[0] == ACCOUNTS
    path, text = lands("two@portals.test")
    assert path == "/portals"
    assert "Harbour Tours" in text
    assert "Alpine Stays" in text
    path, text = lands("carla@client.test")
    assert path == "/portals"
    assert "You are in Harbour Tours" in text
    assert "Alpine" not in text
    path, text = lands("none@portals.test")
    assert path == "/portals"
    assert "No portals yet" in text
    assert lands("new@client.test")[0] == "/verify-email"


def test_signing_in_never_leads_to_another_site(admin: Browser, nobody: Browser) -> None:
    # Who is signed in already is sent on at once, by the same rule.
    def leads(target: str) -> str:
        response = admin.client.get("/login", query_string={"next": target})
        assert response.status_code == 302
        return str(response.location)

    assert leads("/portals?x=1") == "/portals?x=1"
    for elsewhere in (
        "",
        "https://evil.test/",
        "HTTPS:/evil.test",
        "//evil.test",
        "///evil.test",
        "/\\evil.test",
        "\\/evil.test",
        "\\\\evil.test",
        "/\t/evil.test",
        "/\n/evil.test",
        "/\r\nX-Evil: yes",
        " //evil.test",
        "http:evil.test",
        "javascript:alert(1)",
        "data:text/html,x",
        "evil.test",
        "@evil.test",
        "//[",
        "\0//evil.test",
    ):
        assert leads(elsewhere) == ACCOUNTS, elsewhere
    signed_in = nobody.post("/login", {"email": ADA, "password": PASSWORD, "next": "//evil.test"})
    assert (signed_in.status_code, signed_in.location) == (303, ACCOUNTS)
    signed_out = nobody.post("/logout", {"next": "//evil.test"})
    assert (signed_out.status_code, signed_out.location) == (303, "/login")


# --- wrong passwords -----------------------------------------------------------------------------


def test_known_and_unknown_addresses_are_refused_alike_up_to_the_limit_and_beyond(app: Flask, nobody: Browser) -> None:
    known, unknown = "  ADA@harbour.test ", "nobody@harbour.test"

    def refusal(email: str, password: str = "a wrong one") -> TestResponse:
        return nobody.sign_in(email, password)

    with time_machine.travel(now(), tick=False) as clock:
        for _ in range(9):
            refused = refusal(known)
            assert refused.status_code == 422
            assert answer(refused, known) == answer(refusal(unknown), unknown)
            assert "a wrong one" not in refused.text
        # What succeeds does not count.
        assert Browser(app).sign_in(ADA, PASSWORD).status_code == 303
        assert Browser(app).sign_in(ADA, PASSWORD).status_code == 303
        assert (refusal(ADA).status_code, refusal(unknown).status_code) == (422, 422)

        for password in ("a wrong one", PASSWORD):
            limited = refusal(ADA, password)
            assert limited.status_code == 429
            assert limited.headers["Retry-After"] == "901"
            assert "Nothing was done; please try again" in limited.text
            assert ADA in limited.text
            assert answer(limited, ADA) == answer(refusal(unknown, password), unknown)
        # Others are not locked out with them, and in time neither is the account.
        assert Browser(app).sign_in("sam@harbour.test", PASSWORD).status_code == 303
        clock.shift(int(limited.headers["Retry-After"]))
        assert Browser(app).sign_in(ADA, PASSWORD).status_code == 303


def test_an_unknown_address_costs_the_same_work(nobody: Browser, app: Flask) -> None:
    def seconds(email: str) -> float:
        # Of the processor, in all threads of this process: how busy the machine is plays no part.
        began = time.process_time()
        assert nobody.sign_in(email, "a wrong one").status_code == 422
        return time.process_time() - began

    with app.app_context():
        create_user("known@harbour.test", "Known Person", PASSWORD)
    known = min(seconds("known@harbour.test") for _ in range(2))
    unknown = min(seconds("nobody@harbour.test") for _ in range(2))
    garbled = min(seconds("no address at all") for _ in range(2))
    # Without the hash it would be a tenth.
    assert min(unknown, garbled) > known / 3


@pytest.mark.parametrize("email, password", [("", ""), ("", PASSWORD), (ADA, ""), ("\0", "\0"), (ADA * 9999, "x" * 99)])
def test_odd_input_is_refused_with_the_form(nobody: Browser, email: str, password: str) -> None:
    refused = nobody.sign_in(email, password)
    assert refused.status_code == 422
    assert parse(refused).select_one("form input[name=password]")


# --- a forgotten password ------------------------------------------------------------------------


def ask_for_reset(browser: Browser, email: str) -> TestResponse:
    return browser.post("/password-reset", {"email": email})


def test_a_forgotten_password_is_replaced_by_mail(
    app: Flask, nobody: Browser, admin: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    assert ask_for_reset(nobody, " Ada@Harbour.TEST").status_code == 303
    outbox.flush()
    older = mail_server.wait_for(ADA).link
    assert ask_for_reset(nobody, ADA).status_code == 303
    outbox.flush()
    link = mail_server.wait_for(ADA, count=2).link
    assert link.startswith("http://clients.harbour.test/password-reset/")

    # A newer link replaces the older one, and opening a link changes nothing.
    assert nobody.get(older).status_code == 410
    assert nobody.post(older, {"password": OTHER_PASSWORD}).status_code == 410
    for _ in range(3):
        assert nobody.get(link).status_code == 200
        assert nobody.client.head(link).status_code == 200
    for weak in ("", "short", "password1234", "all the bergs of norway", "x" * 129):
        assert nobody.post(link, {"password": weak}).status_code == 422, weak
    assert is_signed_in(admin)

    chosen = nobody.post(link, {"password": OTHER_PASSWORD})
    assert (chosen.status_code, chosen.location) == (303, "/login?reset=1")
    # Nobody is signed in by a link alone, and whoever was signed in no longer is.
    assert not is_signed_in(nobody)
    assert not is_signed_in(admin)
    assert nobody.sign_in(ADA, PASSWORD).status_code == 422
    assert nobody.sign_in(ADA, OTHER_PASSWORD).status_code == 303
    for spent in (nobody.get(link), nobody.post(link, {"password": PASSWORD})):
        assert spent.status_code == 410
        assert "used or replaced" in spent.text
    assert Browser(app).sign_in(ADA, OTHER_PASSWORD).status_code == 303


def test_asking_for_a_reset_does_not_tell_who_has_an_account(
    nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    known = ask_for_reset(nobody, ADA)
    assert known.status_code == 303
    for other in ("nobody@harbour.test", "no address at all", "", "\0", "x" * 9999):
        assert answer(ask_for_reset(nobody, other)) == answer(known)
    outbox.flush()
    assert [mail.recipient for mail in mail_server.mails] == [ADA]


def test_asking_again_and_again_fills_no_mailbox_and_kills_no_link(
    nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    for _ in range(5):
        assert ask_for_reset(nobody, ADA).status_code == 303
        outbox.flush()
    assert len(mail_server.to(ADA)) == 5
    unheard = ask_for_reset(nobody, ADA)
    outbox.flush()
    assert answer(unheard) == answer(ask_for_reset(nobody, "nobody@harbour.test"))
    assert len(mail_server.to(ADA)) == 5
    assert nobody.get(mail_server.to(ADA)[-1].link).status_code == 200


def test_a_reset_link_lives_for_an_hour_from_its_hand_over(
    nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    ask_for_reset(nobody, ADA)
    with later(6 * 60 * 60):
        # The mail server took it only now.
        outbox.flush()
        link = mail_server.wait_for(ADA).link
        assert nobody.get(link).status_code == 200
        with later(3590):
            assert nobody.get(link).status_code == 200
        with later(3600):
            assert nobody.get(link).status_code == 410
            late = nobody.post(link, {"password": OTHER_PASSWORD})
            assert late.status_code == 410
            assert "expired" in late.text


# --- forms whose token is not right ---------------------------------------------------------------


def test_a_form_without_the_right_token_does_nothing_and_keeps_what_was_typed(
    app: Flask, admin: Browser, nobody: Browser
) -> None:
    typed = {"company_name": "Nordwind <Reisen>", "email": "typed@client.test"}
    wrong = {
        "missing": {},
        "empty": {"csrf_token": ""},
        "garbage": {"csrf_token": "garbage"},
        "of another session": {"csrf_token": nobody.csrf_token()},
        "changed": {"csrf_token": admin.csrf_token()[:-1]},
    }
    with app.app_context():
        before = dump()
    for what, token in wrong.items():
        page = admin.post(ic(HARBOUR), typed | token, csrf=False)
        assert page.status_code == 400, what
        text = words(parse(page))
        assert "reload" in text
        assert "Nothing was changed" in text
        assert all(value in text for value in typed.values()), what
        # htmx: one sentence, put where the eye is; the form is left as it stands.
        for target, slot in {
            "dialog-content": "#dialog-alert",
            "div#dialog-content": "#dialog-alert",
            "div#page-alert": "#page-alert",
            "": "#page-alert",
        }.items():
            fragment = admin.post(ic(HARBOUR), typed | token, csrf=False, htmx=True, headers={"HX-Target": target})
            assert fragment.status_code == 400, what
            assert "reload" in fragment.text
            assert not parse(fragment).select("html, form, input")
            assert (fragment.headers["HX-Retarget"], fragment.headers["HX-Reswap"]) == (slot, "innerHTML")
    with app.app_context():
        assert dump() == before


def test_a_token_may_come_as_a_header(admin: Browser) -> None:
    typed = {"company_name": "Nordwind", "email": "typed@client.test"}
    added = admin.post(ic(HARBOUR), typed, csrf=False, headers={"X-CSRFToken": admin.csrf_token()})
    assert added.status_code == 303
    page = parse(admin.get(ic(HARBOUR)))
    (meta,) = page.select("meta[name=csrf-token]")
    assert admin.post(ic(HARBOUR), typed, csrf=False, headers={"X-CSRFToken": meta["content"]}).status_code == 303


def test_no_password_is_shown_back(nobody: Browser) -> None:
    for page in ("/login", "/password-reset/x", "/invitations/x"):
        refused = nobody.post(page, {"email": ADA, "name": "Ada", "password": "my secret words"}, csrf=False)
        assert refused.status_code == 400
        assert ADA in refused.text
        assert "my secret words" not in refused.text


def test_no_form_acts_without_a_token(app: Flask, admin: Browser) -> None:
    """Every address that takes a form, now and in future, but for those that take a signed token."""
    for rule in [one for one in app.url_map.iter_rules() if not one.endpoint.startswith("handover.")]:
        for method in (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}:
            ids = {"portal_id": HARBOUR, "token": "x"}
            built = rule.build({name: ids.get(name, str(UUID(int=0))) for name in rule.arguments})
            assert built
            assert admin.send(method, built[1], csrf=False).status_code == 400, f"{method} {rule}"
    assert is_signed_in(admin)
