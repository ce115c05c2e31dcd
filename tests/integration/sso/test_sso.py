"""A host shell hands people over, and says when they have signed out: over HTTP, as its pages and its server do."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from app.core.errors import DomainError
from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import (
    JoinNotice,
    LoginSession,
    Membership,
    RateLimitHit,
    Role,
    ShellAccount,
    UsedToken,
    User,
)
from app.portals.service import grant_role
from app.sso.issuers import grant_portal
from app.sso.routes import FAILURES_FROM_ADDRESS
from app.sso.tokens import keys_of_jwks
from config import ROOT
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.shell import (
    AUDIENCE,
    ISSUER,
    Published,
    ec_key,
    forged,
    hand_over,
    jwks,
    log_out,
    public_pem,
    register,
    rsa_key,
    says,
    says_out,
    signed,
)
from tests.support.smtp import MailServer
from tests.support.together import at_once

HANNA = "hanna@shell.test"
ADA = "ada@harbour.test"
ACCOUNTS = f"/portals/{HARBOUR}/settings/accounts"
OTHER_SHELL = "https://other-shell.test"

# Where the two databases do the same.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def shell(app: Flask) -> None:
    """A shell that speaks for Harbour Tours, and for no other portal."""
    register(app, HARBOUR)


pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("shell")]


@pytest.fixture
def hanna(app: Flask, shell: None) -> Browser:
    browser = Browser(app)
    assert hand_over(browser).status_code == 303
    return browser


@pytest.fixture
def lines(app: Flask, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """What has been logged since it was asked last."""
    capsys.readouterr()
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def session_cookie(browser: Browser, path: str = "/") -> str:
    cookie = browser.client.get_cookie("session", path=path)
    assert cookie is not None
    return cookie.value


def copy_of(browser: Browser) -> Browser:
    """Somebody with a copy of the cookie as it is now."""
    other = Browser(browser.client.application)
    other.client.set_cookie("session", session_cookie(browser))
    return other


def is_in(browser: Browser, portal_id: str = HARBOUR) -> bool:
    return browser.get(ic(portal_id)).status_code == 200


def answer(response: TestResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    return response.status_code, response.data, sorted((k, v) for k, v in response.headers if k != "Date")


def rows(app: Flask, model: Any) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(model)) or 0


# Who is handed over


def test_somebody_new_gets_an_account_a_role_and_a_session(app: Flask, nobody: Browser, app_driver: AppDriver) -> None:
    handed = hand_over(nobody)
    assert (handed.status_code, handed.location) == (303, ic(HARBOUR))
    assert is_in(nobody)
    user = app_driver.user(HANNA)
    assert (user.name, user.is_verified, user.password_hash) == ("Hanna Ek", False, "")
    assert app_driver.role(HANNA) is Role.CLIENT_ADMIN
    # An admin as any other: adds a client, in her name.
    added = nobody.post(ic(HARBOUR), {"company_name": "Nordwind", "email": "info@nordwind.test"})
    assert added.status_code == 303
    assert [row.email for row in nobody.rows(HARBOUR)] == ["info@nordwind.test"]
    assert "Hanna Ek" in words(parse(nobody.get(ACCOUNTS)))

    # Once more from somewhere else: the same account.
    assert hand_over(Browser(app)).status_code == 303
    assert (rows(app, ShellAccount), app_driver.user(HANNA).id) == (1, user.id)


@on_sqlite
def test_a_person_of_a_shell_has_twenty_sessions_and_the_oldest_ends_when_another_begins(app: Flask) -> None:
    assert hand_over(other := Browser(app), signed(says(sub="otto-8", email="otto@shell.test"))).status_code == 303
    browsers = [Browser(app) for _ in range(21)]
    for browser in browsers:
        assert hand_over(browser).status_code == 303
    assert [is_in(browser) for browser in browsers] == [False] + [True] * 20
    assert is_in(other)


@on_sqlite
def test_an_account_that_exists_is_linked_and_left_as_it_is(app: Flask, nobody: Browser, app_driver: AppDriver) -> None:
    before = app_driver.user(ADA)
    for changes in ({}, {"name": "Somebody Else"}, {"name": "Somebody Else", "email": "new@shell.test"}):
        assert hand_over(nobody, signed(says(**{"sub": "ada-1", "email": ADA} | changes))).status_code == 303
        assert "Ada Berg" in nobody.get(ic(HARBOUR)).text
    after = app_driver.user(ADA)
    assert (after.id, after.name, after.password_hash) == (before.id, before.name, before.password_hash)
    assert not app_driver.has_account("new@shell.test")
    assert Browser(app).sign_in(ADA, PASSWORD).status_code == 303


@on_sqlite
def test_an_account_that_the_hand_over_made_follows_the_shell_until_somebody_comes_to_it(
    app: Flask, hanna: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    user_id = app_driver.user(HANNA).id
    Browser(app).post("/password-reset", {"email": HANNA})
    outbox.flush()
    old_link = mail_server.wait_for(HANNA).link
    renamed = {"email": "hanna.ek@shell.test", "name": "Hanna Ek-Lind"}
    assert hand_over(hanna, signed(says(**renamed))).status_code == 303
    user = app_driver.user(renamed["email"])
    assert (user.id, user.name, user.name_folded) == (user_id, "Hanna Ek-Lind", "hanna ek-lind")
    # Who had the former address comes by nothing.
    assert hanna.get(old_link).status_code == 410

    # From a password on it is its owner's: an issuer that could rename it now could take it over.
    Browser(app).post("/password-reset", {"email": renamed["email"]})
    outbox.flush()
    link = mail_server.wait_for(renamed["email"]).link
    assert Browser(app).post(link, {"password": OTHER_PASSWORD}).status_code == 303
    assert hand_over(hanna, signed(says(email="mallory@shell.test", name="Mallory"))).status_code == 303
    assert app_driver.user(renamed["email"]).name == "Hanna Ek-Lind"
    assert not app_driver.has_account("mallory@shell.test")


@on_sqlite
@pytest.mark.parametrize("owned_by", ["password", "verified address"])
def test_neither_a_password_nor_a_verified_address_alone_is_overlooked(
    app: Flask, hanna: Browser, app_driver: AppDriver, owned_by: str
) -> None:
    with app.app_context(), transaction() as session:
        user = session.scalars(select(User).where(User.email == HANNA)).one()
        if owned_by == "password":
            user.password_hash = "of her own"
        else:
            user.email_verified_at = datetime.now(UTC)
    assert hand_over(hanna, signed(says(email="mallory@shell.test", name="Mallory"))).status_code == 303
    assert app_driver.user(HANNA).name == "Hanna Ek"


@on_sqlite
@pytest.mark.parametrize("others", ["another issuer", "another portal"])
def test_an_account_that_is_others_too_is_not_renamed(
    app: Flask, hanna: Browser, app_driver: AppDriver, others: str
) -> None:
    """Else its issuer would come by what the account is elsewhere: it would only have to reset the password."""
    if others == "another issuer":
        register(app, ALPINE, issuer="https://other.test", key=ec_key("other"))
        token = signed(says(iss="https://other.test", portal=ALPINE, sub="h-1"), ec_key("other"))
        assert hand_over(Browser(app), token).status_code == 303
    else:
        with app.app_context(), transaction() as session:
            session.add(Membership(portal_id=ALPINE, user_id=app_driver.user(HANNA).id, role=Role.STAFF))
    assert hand_over(hanna, signed(says(email="mallory@shell.test", name="Mallory"))).status_code == 303
    assert app_driver.user(HANNA).name == "Hanna Ek"
    assert not app_driver.has_account("mallory@shell.test")


def test_a_new_address_that_has_an_account_is_that_account_from_then_on(
    app: Flask, hanna: Browser, app_driver: AppDriver
) -> None:
    copied = copy_of(hanna)
    made = app_driver.user(HANNA)
    assert hand_over(Browser(app), signed(says(email=ADA))).status_code == 303
    assert app_driver.user(HANNA).id == made.id
    # Nobody is left behind who could come back as an admin by the former address, and no session either.
    assert app_driver.role(HANNA) is None
    assert not is_in(copied)
    assert app_driver.role(ADA) is Role.CLIENT_ADMIN
    assert app_driver.user(ADA).name == "Ada Berg"


def test_the_role_is_what_the_shell_says_up_and_down(app: Flask, hanna: Browser, app_driver: AppDriver) -> None:
    with app.app_context(), transaction() as session:
        member = session.get_one(Membership, (HARBOUR, app_driver.user(HANNA).id))
        member.join_notice = JoinNotice.AT_ONCE
    for role, status, there in (("staff", 403, 200), ("client", 403, 403), ("client_admin", 200, 200)):
        handed = hand_over(hanna, signed(says(role=role)))
        assert handed.location == ("/portals" if role == "client" else ic(HARBOUR))
        assert app_driver.role(HANNA) == role
        assert (hanna.get(f"{ic(HARBOUR)}/new").status_code, hanna.get(ic(HARBOUR)).status_code) == (status, there)
    # Somebody the operator or an invitation made a member is no exception.
    assert hand_over(hanna, signed(says(sub="ada-1", email=ADA, role="staff"))).status_code == 303
    assert app_driver.role(ADA) is Role.STAFF


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


# What is refused


def refusals(app: Flask) -> dict[str, tuple[str, str, bool]]:
    """Tokens by what is wrong with them: the token, the reason for the log, and whether its issuer is known."""
    pem = public_pem(ec_key()).encode()
    now = int(time.time())
    spent = signed(says())
    assert hand_over(Browser(app), spent).status_code == 303
    return {
        "empty": ("", "empty", False),
        "garbage": ("garbage", "malformed", False),
        "huge": ("x" * 10_000, "too long", False),
        "larger than any form": ("x" * 600_000, "empty", False),
        "expired": (signed(says(iat=now - 90, exp=now - 30)), "expired", True),
        "lives too long": (signed(says(exp=now + 3600)), "lifetime", True),
        "replayed": (spent, "replayed", True),
        "for somebody else": (signed(says(aud="https://other.test")), "audience", True),
        "alg none": (forged({"alg": "none"}, says()), "malformed", False),
        "HS256 with the public key": (forged({"alg": "HS256"}, says(), pem), "algorithm", False),
        "wrong signature": (signed(says(), ec_key("another")), "signature", True),
        "another kind of key": (signed(says(), rsa_key()), "unknown key", True),
        "unknown issuer": (signed(says(iss="https://nobody.test")), "unknown issuer", False),
        "another's portal": (signed(says(portal=ALPINE)), "portal", True),
        "unknown portal": (signed(says(portal="nowhere")), "portal", True),
        "no jti": (signed(says(jti=None)), "claims: jti", True),
        "no role": (signed(says(role=None)), "claims: role", True),
        "odd name": (signed(says(name="<script>")), "claims: name_character", True),
        "a token of the back-channel": (signed(says_out()), "claims: events", True),
    }


@on_sqlite
def test_whatever_is_wrong_the_answer_is_the_same_and_the_log_says_what_it_was(
    app: Flask, nobody: Browser, app_driver: AppDriver, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    tried = refusals(app)
    lines()
    before = app_driver.dump()
    answers = {}
    for what, (token, reason, is_known) in tried.items():
        refused = nobody.client.post("/handover", data={"token": token, "next": "/portals", "framed": "1"})
        assert refused.status_code == 401, what
        answers[what] = answer(refused)
        (said,) = [line for line in lines() if line["logger"] == "app.sso.routes"]
        assert (said["reason"], said["issuer"]) == (reason, ISSUER if is_known else None), what
        text = json.dumps(said)
        assert len(text) < 400
        assert not {word for word in (HANNA, "Hanna", "hanna-7", token[:40] or "Hanna") if word in text}, what
    assert len({str(one) for one in answers.values()}) == 1
    page = parse(nobody.client.post("/handover"))
    assert "You could not be signed in" in words(page)
    assert not page.select("form, script, [name=csrf_token], [name=csrf-token]")
    assert not nobody.client.get_cookie("session")
    without_counts = [
        [line for line in one.splitlines() if not line.startswith("rate_limit_hit")]
        for one in (before, app_driver.dump())
    ]
    assert without_counts[0] == without_counts[1]


@on_sqlite
def test_nobody_but_a_post_is_handed_over(nobody: Browser) -> None:
    for path in ("/handover", "/handover/logout"):
        refused = nobody.get(path)
        assert (refused.status_code, set(refused.allow)) == (405, {"POST", "OPTIONS"})
    token = signed(says())
    assert nobody.client.post("/handover", json={"token": token}).status_code == 401
    assert nobody.client.post(f"/handover?token={token}").status_code == 401
    assert hand_over(nobody, token).status_code == 303


@on_sqlite
def test_who_fails_again_and_again_has_to_wait_and_keeps_nobody_else_out(app: Flask, nobody: Browser) -> None:
    with app.app_context(), transaction() as session:
        key = FAILURES_FROM_ADDRESS.key("127.0.0.1")
        session.add_all(RateLimitHit(key=key) for _ in range(FAILURES_FROM_ADDRESS.times - 1))
    assert hand_over(nobody, "garbage").status_code == 401
    for refused in (hand_over(nobody, "garbage"), nobody.client.post("/handover/logout")):
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
    assert hand_over(nobody).status_code == 303


# At once


def test_a_token_that_is_posted_many_times_at_once_is_used_once(app: Flask) -> None:
    token = signed(says())
    browsers = [Browser(app) for _ in range(6)]
    answers = at_once([lambda one=browser: hand_over(one, token).status_code for browser in browsers])
    assert sorted(answers) == [303, 401, 401, 401, 401, 401]
    assert rows(app, LoginSession) == 1


def test_somebody_new_who_is_handed_over_many_times_at_once_is_one_person(app: Flask) -> None:
    register(app, HARBOUR, issuer=OTHER_SHELL)
    tokens = [signed(says(iss=issuer)) for issuer in (ISSUER, OTHER_SHELL) for _ in range(3)]
    browsers = [Browser(app) for _ in tokens]
    pairs = zip(browsers, tokens, strict=True)
    answers = at_once([lambda pair=pair: hand_over(*pair).status_code for pair in pairs])
    assert set(answers) == {303}
    assert all(is_in(browser) for browser in browsers)
    assert rows(app, ShellAccount) == 2
    with app.app_context():
        assert len(db.session.scalars(select(User).where(User.email == HANNA)).all()) == 1


def test_accepting_an_invitation_during_a_hand_over_is_both(
    app: Flask, joined_client: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    """Each makes her a member of the portal; whoever is first, the other one finds her there."""
    carla = "carla@client.test"
    with app.app_context():
        grant_portal(ISSUER, ALPINE)
    app_driver.invite(carla, portal_id=ALPINE)
    outbox.flush()
    link = mail_server.wait_for(carla).link
    accepting, handed = joined_client.twin(), Browser(app)
    token = signed(says(email=carla, portal=ALPINE, role="client"))
    answers = at_once([lambda: accepting.post(link).status_code, lambda: hand_over(handed, token).status_code])
    assert answers == [303, 303]
    assert app_driver.role(carla, ALPINE) is Role.CLIENT
    assert app_driver.client(carla, ALPINE).is_joined


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


# Keys that are published


@pytest.fixture
def published() -> Iterator[Published]:
    with Published().running() as server:
        yield server


@on_sqlite
def test_keys_are_kept_and_changed_without_a_restart(
    app: Flask, published: Published, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    register(app, HARBOUR, issuer=OTHER_SHELL, jwks_url=published.url)
    published.document = jwks(one=ec_key())

    def status(kid: str, key: Any = None) -> int:
        return hand_over(Browser(app), signed(says(iss=OTHER_SHELL), key or ec_key(), kid=kid)).status_code

    start = datetime.now(UTC)
    with time_machine.travel(start, tick=False) as clock:
        assert [status("one"), status("one")] == [303, 303]
        assert published.fetched == 1
        # A new key is there at once, but nobody makes us ask again and again.
        clock.shift(31)
        published.document = jwks(two=ec_key("another"))
        assert [status("two", ec_key("another")), status("nine"), status("nine")] == [303, 401, 401]
        assert published.fetched == 2
        assert status("one") == 401  # taken back
        clock.shift(31)
        assert [status("nine"), status("nine")] == [401, 401]
        assert published.fetched == 3
        # Ten minutes later they are asked for anew. The shell is away: what is known goes on for an hour.
        published.status = 503
        lines()
        clock.shift(601)
        assert status("two", ec_key("another")) == 303
        assert published.fetched == 4
        (said,) = [line for line in lines() if line["logger"] == "app.sso.keys"]
        assert (said["issuer"], said["reason"]) == (OTHER_SHELL, "It answers with 503.")
        assert status("two", ec_key("another")) == 303
        assert published.fetched == 4
        clock.shift(3600)
        assert status("two", ec_key("another")) == 401
        # It is back, with a document that is none, and then a good one.
        published.status, published.document = 200, {}
        clock.shift(31)
        assert status("two", ec_key("another")) == 401
        clock.shift(31)
        published.document = jwks(two=ec_key("another"))
        assert status("two", ec_key("another")) == 303


@on_sqlite
def test_many_who_come_first_ask_for_the_keys_once(app: Flask, published: Published) -> None:
    register(app, HARBOUR, issuer=OTHER_SHELL, jwks_url=published.url)
    published.document = jwks(one=rsa_key())

    def come() -> int:
        return hand_over(Browser(app), signed(says(iss=OTHER_SHELL), rsa_key(), kid="one")).status_code

    assert at_once([come] * 4) == [303] * 4
    assert published.fetched == 1


# The operator's commands


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    """Exit code and what was printed, on whichever stream."""
    done = app.test_cli_runner().invoke(args=["issuer", *arguments])
    return done.exit_code, (done.stdout + done.stderr).strip()


@on_sqlite
def test_an_operator_registers_issuers(app: Flask, hanna: Browser, tmp_path: Path) -> None:
    pem = tmp_path / "shell.pem"
    pem.write_text(public_pem(ec_key("another")))
    jwks_url = "https://new.test/.well-known/jwks.json"
    assert run(app, "add", "--issuer", "https://new.test", "--jwks-url", jwks_url) == (0, "")
    assert run(app, "grant", "--issuer", "https://new.test", "--portal", HARBOUR) == (0, "")
    assert run(app, "grant", "--issuer", "https://new.test", "--portal", ALPINE) == (0, "")
    assert run(app, "grant", "--issuer", "https://new.test", "--portal", ALPINE) == (0, "")
    listed = [f"https://new.test\t{jwks_url}\talpine, harbour", f"{ISSUER}\tPEM, ES256\tharbour"]
    assert run(app, "list") == (0, "\n".join(listed))
    # Other keys: grants, accounts and sessions stay.
    assert run(app, "add", "--issuer", ISSUER, "--pem", str(pem), "--replace") == (0, "")
    assert is_in(hanna)
    assert hand_over(Browser(app), signed(says())).status_code == 401
    assert hand_over(Browser(app), signed(says(), ec_key("another"))).status_code == 303
    # A portal is taken back, and an issuer forgotten: their sessions end at once.
    assert run(app, "revoke", "--issuer", ISSUER, "--portal", HARBOUR) == (0, "")
    assert not is_in(hanna)
    assert hand_over(hanna, signed(says(), ec_key("another"))).status_code == 401
    assert run(app, "grant", "--issuer", ISSUER, "--portal", HARBOUR) == (0, "")
    assert hand_over(hanna, signed(says(), ec_key("another"))).status_code == 303
    assert run(app, "remove", "--issuer", ISSUER) == (0, "")
    assert run(app, "remove", "--issuer", "https://new.test") == (0, "")
    assert not is_in(hanna)
    assert run(app, "list") == (0, "")


@on_sqlite
def test_what_an_operator_mistypes_is_told_in_one_line(app: Flask, tmp_path: Path) -> None:
    private, text = tmp_path / "private.pem", tmp_path / "text.pem"
    private.write_bytes(ec_key().as_pem(private=True))
    text.write_bytes(b"\xff\xfe")
    new = ("add", "--issuer", "https://new.test")
    for arguments, sentence in {
        (*new, "--jwks-url", "http://1.1.1.1/jwks.json"): "Keys that come over plain http could be anybody's",
        (*new, "--jwks-url", "ftp://new.test/"): "The address must begin with https://",
        (*new, "--jwks-url", "https://a:b@new.test/"): "must not hold a user name or a password",
        (*new, "--pem", str(private)): "This is a private key",
        (*new, "--pem", str(text)): "The file of --pem is no text",
        ("add", "--issuer", "new.test", "--jwks-url", "https://new.test/"): "An issuer is a web address",
        ("add", "--issuer", ISSUER, "--jwks-url", "https://new.test/"): f"{ISSUER} is registered already",
        ("grant", "--issuer", "https://new.test", "--portal", HARBOUR): "There is no issuer https://new.test.",
        ("grant", "--issuer", ISSUER, "--portal", "nowhere"): "There is no portal with the id nowhere.",
        ("revoke", "--issuer", ISSUER, "--portal", ALPINE): f"{ISSUER} does not speak for portal alpine.",
        ("remove", "--issuer", "https://new.test"): "There is no issuer https://new.test.",
    }.items():
        code, said = run(app, *arguments)
        assert (code, said.count("\n")) == (1, 0), arguments
        assert sentence in said
    assert run(app, *new)[0] == 2
    assert run(app, *new, "--jwks-url", "http://127.0.0.1:8100/jwks.json") == (0, "")


# The documentation


@on_sqlite
def test_the_example_of_the_documentation_works(app: Flask, nobody: Browser, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(# hand_over\.py.*?)```", (ROOT / "docs/embedding.md").read_text(), re.DOTALL)
    key = tmp_path / "shell-key.pem"
    key.write_bytes(ec_key().as_pem(private=True))
    for said, here in {"/etc/shell/key.pem": str(key), "https://clients.example.com": AUDIENCE}.items():
        assert said in code
        code = code.replace(said, here)
    made: dict[str, Any] = {}
    exec(code.replace("https://shell.example.com", ISSUER), made)
    assert hand_over(nobody, made["hand_over_token"]("hanna-7", HANNA, "Hanna Ek", HARBOUR, "staff")).status_code == 303
    assert is_in(nobody)
    out = {"logout_token": made["logout_token"]("hanna-7", portal=HARBOUR, role="none")}
    assert nobody.client.post("/handover/logout", data=out).status_code == 200
    assert not is_in(nobody)
    assert [one.id for one in keys_of_jwks(json.dumps(made["public_keys"]()).encode())] == [made["KEY"].kid]
    assert "d" not in made["public_keys"]()["keys"][0]
