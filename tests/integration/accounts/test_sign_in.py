"""Signing in begins a session and leads to the work, signing out ends it, and a wrong password tells nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.accounts.users import create_user
from app.core.clock import now
from app.models import Role
from app.portals.service import grant_role
from tests.conftest import ALPINE, HARBOUR
from tests.integration.accounts.signing_in import ADA, answer, is_signed_in, later
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import dump
from tests.support.factories import PASSWORD, invite, make_member, make_user

ACCOUNTS = f"/portals/{HARBOUR}/settings/accounts"


def session_cookie(browser: Browser) -> str:
    cookie = browser.client.get_cookie("session")
    assert cookie is not None
    return cookie.value


def browser_with(app: Flask, cookie: str) -> Browser:
    """Somebody who has come by a copy of a cookie."""
    browser = Browser(app)
    browser.client.set_cookie("session", cookie)
    return browser


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
            assert "Nothing was changed; please try again" in limited.text
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
