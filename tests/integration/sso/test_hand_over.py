"""A host shell hands people over: who they are here, and what is refused."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.db.transactions import transaction
from app.extensions import db
from app.models import JoinNotice, LoginSession, Membership, RateLimitHit, Role, ShellAccount, User
from app.sso.issuers import grant_portal
from app.sso.routes import FAILURES_FROM_ADDRESS
from app.sso.tokens import keys_of_jwks
from config import ROOT
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.sso.handing_over import ADA, HANNA, OTHER_SHELL, answer, copy_of, is_in, rows
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import on_sqlite
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.shell import (
    AUDIENCE,
    ISSUER,
    ec_key,
    forged,
    hand_over,
    public_pem,
    register,
    rsa_key,
    says,
    says_out,
    signed,
)
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("shell")]

ACCOUNTS = f"/portals/{HARBOUR}/settings/accounts"


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
    assert "You couldn't be signed in" in words(page)
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
