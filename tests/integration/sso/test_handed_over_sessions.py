"""A session that a hand-over began is good for its portals, and ends when the shell says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.core.errors import DomainError
from app.jobs.schedule import run_job
from app.models import LoginSession, Role, UsedToken
from app.portals.service import grant_role
from app.sso.issuers import grant_portal
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.sso.handing_over import ADA, HANNA, OTHER_SHELL, answer, copy_of, is_in, rows
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import on_sqlite
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.shell import ISSUER, ec_key, forged, hand_over, log_out, public_pem, register, says, says_out, signed
from tests.support.smtp import MailServer

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("shell")]


# What the session is good for


def test_outside_its_portal_a_handed_over_person_is_nobody(
    app: Flask, nobody: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    """Carla is a client of Harbour, with a password, and invited by Alpine."""
    carla = "carla@client.test"
    app_driver.invite(carla, portal_id=ALPINE)
    outbox.flush()
    link = mail_server.wait_for(carla).link
    assert hand_over(nobody, signed(says(email=carla))).status_code == 303

    assert nobody.get("/").location == "/portals"
    listed = words(parse(nobody.get("/portals")))
    assert "Harbour Tours" in listed
    assert "Alpine" not in listed
    # An invitation of another portal: no Accept, and none by asking for it.
    page = nobody.get(link)
    assert "Accept" not in [words(button) for button in parse(page).select("button")]
    assert nobody.post(link).status_code == 409
    assert app_driver.role(carla, ALPINE) is None
    # Sign-in does not take her for signed in, and nothing is sent again for her.
    assert nobody.get("/login").status_code == 200
    assert nobody.post("/verify-email").status_code == 302
    assert "Sign in" in nobody.get("/verify-email").text
    # With her own password she is who she is, everywhere, and the hand-over is over.
    copied = copy_of(nobody)
    assert nobody.sign_in(carla, PASSWORD).status_code == 303
    assert not is_in(copied)
    assert nobody.post(link).status_code == 303
    assert app_driver.role(carla, ALPINE) is Role.CLIENT


@on_sqlite
def test_the_shell_vouches_for_an_address_in_its_portals_only_and_a_link_to_the_mailbox_everywhere(
    app: Flask, hanna: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    with app.app_context(), pytest.raises(DomainError):
        grant_role(ALPINE, HANNA, Role.STAFF)
    other = Browser(app)
    other.post("/password-reset", {"email": HANNA})
    outbox.flush()
    assert other.post(mail_server.wait_for(HANNA).link, {"password": OTHER_PASSWORD}).status_code == 303
    assert not is_in(hanna)  # a new password ends everything
    assert app_driver.user(HANNA).is_verified
    assert other.sign_in(HANNA, OTHER_PASSWORD).status_code == 303
    assert is_in(other)
    assert hand_over(hanna).status_code == 303
    assert is_in(hanna)


@on_sqlite
def test_no_password_opens_an_account_that_has_none(app: Flask, hanna: Browser) -> None:
    for guess in ("", "no account has this password", PASSWORD):
        assert Browser(app).sign_in(HANNA, guess).status_code == 422


@on_sqlite
def test_a_hand_over_begins_a_new_session_and_ends_what_the_browser_brought_along(
    app: Flask, admin: Browser, nobody: Browser
) -> None:
    for browser in (admin, nobody):
        token_before, copied = browser.csrf_token(), copy_of(browser)
        assert hand_over(browser).status_code == 303
        assert is_in(browser)
        assert not is_in(copied)
        assert browser.post(ic(HARBOUR), {"csrf_token": token_before}, csrf=False).status_code == 400
    # Refused, nothing has ended.
    copied = copy_of(admin)
    assert hand_over(admin, "garbage").status_code == 401
    assert is_in(copied)
    assert admin.post("/logout").status_code == 303
    assert not is_in(copied)


@on_sqlite
def test_the_same_person_goes_on_in_another_tab_and_in_another_portal(app: Flask, hanna: Browser) -> None:
    with app.app_context():
        grant_portal(ISSUER, ALPINE)
    token, copied = hanna.csrf_token(), copy_of(hanna)
    # A second tab hands over again: a new session, and what stands open in the first one still works.
    assert hand_over(hanna).status_code == 303
    assert not is_in(copied)
    typed = {"company_name": "Nordwind", "email": "info@nordwind.test", "csrf_token": token}
    assert hanna.post(ic(HARBOUR), typed, csrf=False).status_code == 303
    # A third one is for another portal.
    assert hand_over(hanna, signed(says(portal=ALPINE, role="staff"))).location == ic(ALPINE)
    assert is_in(hanna, HARBOUR)
    assert is_in(hanna, ALPINE)
    listed = words(parse(hanna.get("/portals")))
    assert "Harbour Tours" in listed
    assert "Alpine Stays" in listed
    # Somebody else at the same browser ends both.
    both = copy_of(hanna)
    assert hand_over(hanna, signed(says(sub="other", email="other@shell.test"))).status_code == 303
    assert not is_in(both, HARBOUR)
    assert not is_in(both, ALPINE)
    assert hanna.get(ic(ALPINE)).status_code == 404
    assert hanna.get(ic(ALPINE), htmx=True).status_code == 401
    assert hanna.post(ic(HARBOUR), typed, csrf=False).status_code == 400
    assert hanna.post("/logout").status_code == 303
    assert hanna.get(ic(HARBOUR)).location.startswith("/login")


@on_sqlite
def test_a_session_lives_for_half_a_day(hanna: Browser) -> None:
    start = datetime.now(UTC)
    with time_machine.travel(start + timedelta(hours=11, minutes=59)):
        assert is_in(hanna)
    with time_machine.travel(start + timedelta(hours=12, seconds=1)):
        assert hanna.get(ic(HARBOUR)).location.startswith("/login")
        fragment = hanna.get(f"{ic(HARBOUR)}/table", htmx=True)
        assert (fragment.status_code, fragment.data) == (401, b"")
        assert hanna.get("/portals").location.startswith("/login")


@on_sqlite
def test_next_leads_to_our_own_pages_only(app: Flask, reconfigured: Callable[..., Flask]) -> None:
    here = f"{ic(HARBOUR)}?status=joined"
    for target in (here, "/portals"):
        assert hand_over(Browser(app), None, next=target).location == target
    elsewhere = ["https://evil.test", "//evil.test", "/\\evil.test", "x", "", "/a/../..", "/%2e%2E/x", "/a\r\nb"]
    for target in elsewhere:
        assert hand_over(Browser(app), None, next=target).location == ic(HARBOUR), target

    mounted = Browser(reconfigured(TRUSTED_PROXIES="1"))
    prefix = {"X-Forwarded-Prefix": "/accounts-app"}

    def lands(target: str) -> str:
        form = {"token": signed(says()), "next": target}
        return mounted.client.post("/handover", data=form, headers=prefix).location

    assert lands(f"/accounts-app{here}") == f"/accounts-app{here}"
    for target in (here, "/accounts-app", "/accounts-app-2/x", "/accounts-app/../admin", "/accounts-app/%2e%2e/admin"):
        assert lands(target) == f"/accounts-app{ic(HARBOUR)}", target


# The cookie


def cookie_of(response: TestResponse) -> set[str]:
    (cookie,) = response.headers.getlist("Set-Cookie")
    return {flag.strip() for flag in cookie.split(";")[1:]}


@on_sqlite
def test_the_cookie_goes_to_our_own_path_only(app: Flask, reconfigured: Callable[..., Flask]) -> None:
    mounted = reconfigured(TRUSTED_PROXIES="1").test_client()
    prefix = {"X-Forwarded-Prefix": "/accounts-app"}
    handed = mounted.post("/handover", data={"token": signed(says())}, headers=prefix)
    assert cookie_of(handed) == {"HttpOnly", "Path=/accounts-app", "SameSite=Lax"}
    assert cookie_of(hand_over(Browser(app))) == {"HttpOnly", "Path=/", "SameSite=Lax"}
    # Without a proxy that is trusted, a prefix says nothing.
    said = app.test_client().post("/handover", data={"token": signed(says())}, headers=prefix)
    assert "Path=/" in cookie_of(said)


IN_FRAME = {"Sec-Fetch-Dest": "iframe"}


@on_sqlite
def test_a_frame_on_another_site_has_a_cookie_that_browsers_keep_there(app: Flask) -> None:
    browser = Browser(app)
    handed = framed_hand_over(browser)
    assert cookie_of(handed) == {"HttpOnly", "Path=/", "SameSite=None", "Secure", "Partitioned"}
    assert open_framed(browser) == 200
    # It is the frame's alone.
    assert browser.client.get(ic(HARBOUR), base_url=HTTPS).status_code == 302
    asked = browser.client.get(f"{ic(HARBOUR)}/table", base_url=HTTPS, headers={"X-Embedded": "table frame"})
    assert asked.status_code == 200
    posted = {"Referer": f"{HTTPS}{FRAME}?surface=tab"}
    assert browser.client.get(ic(HARBOUR), base_url=HTTPS, headers=posted).status_code == 200


@on_sqlite
def test_a_frame_and_a_sign_in_of_the_same_browser_do_not_meet(app: Flask) -> None:
    """Under one site, as shell.example.com and clients.example.com are, a browser sends both cookies."""
    browser = Browser(app)
    assert hand_over(browser, signed(says(sub="ordinary", email="ordinary@client.test"))).status_code == 303
    before = browser.get(ic(HARBOUR)).text
    framed_hand_over(browser)
    assert open_framed(browser) == 200
    after = browser.get(ic(HARBOUR)).text
    assert "ordinary@client.test" in before
    assert "ordinary@client.test" in after


@on_sqlite
def test_a_frame_on_our_own_origin_has_the_ordinary_session(app: Flask) -> None:
    browser = Browser(app)
    assert hand_over(browser).status_code == 303
    assert browser.get(FRAME).status_code == 200


HTTPS = "https://localhost"  # The client keeps a Secure cookie for https only.
FRAME = f"/portals/{HARBOUR}/embed/frame"


def framed_hand_over(browser: Browser) -> TestResponse:
    form = {"token": signed(says()), "framed": "1"}
    return browser.client.post("/handover", data=form, base_url=HTTPS, headers=IN_FRAME)


def open_framed(browser: Browser) -> int:
    return browser.client.get(FRAME, base_url=HTTPS, headers=IN_FRAME).status_code


# The back-channel


def test_signing_out_in_the_shell_ends_the_sessions_it_began(app: Flask, hanna: Browser, nobody: Browser) -> None:
    with app.app_context():
        grant_portal(ISSUER, ALPINE)
    register(app, HARBOUR, issuer=OTHER_SHELL)
    assert hand_over(hanna, signed(says(portal=ALPINE))).status_code == 303
    elsewhere, own = Browser(app), Browser(app)
    assert hand_over(elsewhere, signed(says(iss=OTHER_SHELL))).status_code == 303
    assert hand_over(own, signed(says(sub="ada-1", email=ADA))).status_code == 303

    done = log_out(nobody, portal=ALPINE)
    assert (done.status_code, done.data, done.headers["Cache-Control"]) == (200, b"", "no-store")
    assert hanna.get(ic(ALPINE)).location.startswith("/login")
    assert is_in(hanna)
    assert log_out(nobody).status_code == 200
    assert not is_in(hanna)
    # Nobody else's, and none that another shell began.
    assert is_in(elsewhere)
    assert is_in(own)
    # Who was never here has nothing to end.
    assert log_out(nobody, sub="nobody-9").status_code == 200


@on_sqlite
def test_a_demotion_does_not_wait(app: Flask, hanna: Browser, nobody: Browser, app_driver: AppDriver) -> None:
    for role in ("staff", "client", "client_admin"):
        assert log_out(nobody, portal=HARBOUR, role=role).status_code == 200
        assert app_driver.role(HANNA) == role
        assert not is_in(hanna)
    assert log_out(nobody, portal=HARBOUR, role="none").status_code == 200
    assert app_driver.role(HANNA) is None
    assert log_out(nobody, portal=HARBOUR, role="none").status_code == 200
    # Nothing that it does not speak for.
    assert log_out(nobody, portal=ALPINE, role="client_admin").status_code == 400
    assert app_driver.role(HANNA, ALPINE) is None
    # Coming back is what the shell says then.
    assert hand_over(hanna).status_code == 303
    assert app_driver.role(HANNA) is Role.CLIENT_ADMIN


@on_sqlite
def test_a_bad_logout_is_a_400_and_nothing_ends(
    app: Flask, hanna: Browser, nobody: Browser, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    now = int(time.time())
    spent = signed(says_out(sub="nobody-9"))
    assert nobody.client.post("/handover/logout", data={"logout_token": spent}).status_code == 200
    lines()
    tried = {
        "": "empty",
        "garbage": "malformed",
        spent: "replayed",
        signed(says()): "claims: events",
        signed(says_out(), ec_key("another")): "signature",
        signed(says_out(nonce="n")): "claims: nonce",
        signed(says_out(iat=now - 90, exp=now - 30)): "expired",
        signed(says_out(portal="nowhere")): "portal",
        forged({"alg": "HS256"}, says_out(), public_pem(ec_key()).encode()): "algorithm",
    }
    answers = set()
    for token, reason in tried.items():
        refused = nobody.client.post("/handover/logout", data={"logout_token": token})
        assert (refused.status_code, refused.headers["Cache-Control"]) == (400, "no-store")
        answers.add(str(answer(refused)))
        (said,) = [line for line in lines() if line["logger"] == "app.sso.routes"]
        assert said["reason"] == reason
    assert len(answers) == 1
    assert is_in(hanna)


def test_tokens_are_forgotten_when_nobody_takes_them_any_more(app: Flask, hanna: Browser) -> None:
    run_job(app, "prune")
    assert rows(app, UsedToken) == 1
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=13)):
        run_job(app, "prune")
    assert (rows(app, UsedToken), rows(app, LoginSession)) == (0, 0)
