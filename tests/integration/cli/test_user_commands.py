"""`flask user ...`: who there is, keeping somebody out, passwords and sessions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Literal

import pytest
from argon2 import PasswordHasher
from flask import Flask

from app.models import Role
from app.portals.service import grant_role
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.cli.running import logged, records, refusal, rows, run
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.factories import OTHER_PASSWORD, PASSWORD, make_user
from tests.support.shell import hand_over, register, says, signed
from tests.support.smtp import MailServer

ADA = "ada@harbour.test"
TAB = ic(HARBOUR)


def test_accounts_are_listed_with_their_state_and_roles(app: Flask, app_driver: AppDriver) -> None:
    register(app, HARBOUR)
    assert hand_over(Browser(app)).status_code == 303
    app_driver.do(make_user, "ursula@client.test", "Ursula Mo", verified=False)
    app_driver.do(grant_role, ALPINE, ADA, Role.STAFF)
    assert run(app, "user", "disable", "--email", "sam@harbour.test").exit_code == 0
    assert {line[0]: line[2] for line in rows(app, "user", "list")} == {
        ADA: "verified",
        "sam@harbour.test": "disabled",
        "carla@client.test": "verified",
        "olaf@alpine.test": "verified",
        "hanna@shell.test": "shell",
        "ursula@client.test": "unverified",
    }
    found = {one["email"]: one for one in records(app, "user", "list")}
    assert found[ADA]["roles"] == {ALPINE: "staff", HARBOUR: "client_admin"}
    assert found[ADA]["disabled_since"] is None
    assert found["sam@harbour.test"]["disabled_since"].endswith("Z")
    assert found["ursula@client.test"]["roles"] == {}


@pytest.mark.both_databases
def test_a_disabled_account_is_shut_out_at_once_and_comes_back_as_it_was(
    app: Flask, admin: Browser, app_driver: AppDriver
) -> None:
    account = app_driver.user(ADA).id
    assert admin.get(TAB).status_code == 200
    assert logged(app, "user", "disable", "--email", " ADA@harbour.test ") == {
        "event": "account disabled",
        "accounts": [account],
        "sessions": 1,
    }
    assert admin.get(TAB).status_code == 302
    strangers = [Browser(app).sign_in(email, PASSWORD) for email in (ADA, "nobody@harbour.test")]
    texts = [answer.text.replace("nobody@harbour.test", ADA) for answer in strangers]
    assert [answer.status_code for answer in strangers] == [422, 422]
    assert _without_tokens(texts[0]) == _without_tokens(texts[1])
    assert logged(app, "user", "enable", "--email", ADA) == {"event": "account enabled", "accounts": [account]}
    assert admin.get(TAB).status_code == 302
    assert Browser(app).sign_in(ADA, PASSWORD).status_code == 303


def _without_tokens(page: str) -> str:
    return "\n".join(line for line in page.splitlines() if "csrf" not in line and "padding" not in line)


def test_links_to_a_disabled_account_are_dead_for_ever_and_no_new_ones_are_mailed(
    app: Flask, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    nobody.post("/password-reset", {"email": ADA})
    outbox.flush()
    link = mail_server.to(ADA)[0].link
    run(app, "user", "disable", "--email", ADA)
    asked = [nobody.post("/password-reset", {"email": email}) for email in (ADA, "nobody@harbour.test")]
    assert _without_tokens(asked[0].text).replace(ADA, "") == _without_tokens(asked[1].text).replace(
        "nobody@harbour.test", ""
    )
    outbox.flush()
    assert len(mail_server.to(ADA)) == 1
    for _ in range(2):
        assert nobody.get(link).status_code == 410
        assert nobody.post(link, {"new_password": OTHER_PASSWORD, "password": OTHER_PASSWORD}).status_code == 410
        run(app, "user", "enable", "--email", ADA)
    assert nobody.sign_in(ADA, PASSWORD).status_code == 303


class Waiting(PasswordHasher):
    """Judges a password only when it may."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.asked, self.may = Event(), Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.asked.set()
        assert self.may.wait(20)
        return super().verify(hash, password)


@pytest.mark.both_databases
def test_a_sign_in_that_has_begun_before_begins_no_session(app: Flask, reconfigured: Callable[..., Flask]) -> None:
    hasher, other = Waiting(), reconfigured()
    other.config["PASSWORD_HASHER"] = hasher
    browser = Browser(other)
    with ThreadPoolExecutor(1) as threads:
        signing_in = threads.submit(browser.sign_in, ADA, PASSWORD)
        assert hasher.asked.wait(20)
        assert run(app, "user", "disable", "--email", ADA).exit_code == 0
        hasher.may.set()
        assert signing_in.result(20).status_code == 422
    assert run(app, "user", "enable", "--email", ADA).exit_code == 0
    assert run(app, "user", "sessions-end", "--email", ADA).stdout == "0 ended\n"


def test_a_shell_hands_a_disabled_account_over_no_more(app: Flask, app_driver: AppDriver) -> None:
    register(app, HARBOUR)
    hanna = Browser(app)
    assert hand_over(hanna).status_code == 303
    assert hanna.get(TAB).status_code == 200
    assert logged(app, "user", "disable", "--email", "hanna@shell.test")["sessions"] == 1
    assert hanna.get(TAB).status_code == 302
    # Neither as before, nor as another person of the shell, nor under another address.
    for changes in ({}, {"sub": "hanna-8"}, {"email": "hanna@elsewhere.test"}):
        before = app_driver.dump()
        assert hand_over(hanna, signed(says(**changes))).status_code == 401
        assert app_driver.dump() == before
    run(app, "user", "enable", "--email", "hanna@shell.test")
    assert hand_over(hanna).status_code == 303


def test_a_disabled_admin_is_told_of_no_client(
    app: Flask, app_driver: AppDriver, admin: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    admin.post(f"/portals/{HARBOUR}/settings/invitations", {"join_notice": "at_once"})
    run(app, "user", "disable", "--email", ADA)
    client_id = app_driver.invite("olaf@alpine.test")
    olaf = Browser(app)
    olaf.sign_in("olaf@alpine.test", PASSWORD)
    assert olaf.post(app_driver.link(client_id)).status_code == 303
    assert app_driver.client("olaf@alpine.test").is_joined
    assert app_driver.mail(ADA)
    outbox.flush()
    assert mail_server.to(ADA) == []


def test_the_account_of_a_removed_client_stays_if_it_is_disabled(
    app: Flask, app_driver: AppDriver, nobody: Browser
) -> None:
    client_id = app_driver.invite("ursula@client.test")
    nobody.post(app_driver.link(client_id), {"name": "Ursula Mo", "password": OTHER_PASSWORD})
    run(app, "user", "disable", "--email", "ursula@client.test")
    app_driver.remove(client_id)
    assert app_driver.user("ursula@client.test").disabled_at is not None
    created = ["user", "create", "--email", "ursula@client.test", "--name", "Ursula", "--password", PASSWORD]
    assert "already exists" in refusal(app, *created)


def test_a_new_password_ends_every_session_and_keeps_the_rules(app: Flask, admin: Browser) -> None:
    command = ["user", "set-password", "--email", ADA]
    assert "too short" in refusal(app, *command, "--password", "short")
    assert "“harbour”" in refusal(app, *command, "--password", "the old harbour at noon")
    assert admin.get(TAB).status_code == 200
    told = logged(app, *command, "--password-stdin", stdin=f"{OTHER_PASSWORD}\nand more\n".encode())
    assert set(told) == {"event", "account"}
    assert admin.get(TAB).status_code == 302
    assert Browser(app).sign_in(ADA, PASSWORD).status_code == 422
    assert Browser(app).sign_in(ADA, OTHER_PASSWORD).status_code == 303


def test_no_password_is_set_where_nobody_knows_whose_account_it_is(app: Flask, app_driver: AppDriver) -> None:
    app_driver.do(make_user, "ursula@client.test", "Ursula Mo", verified=False)
    register(app, HARBOUR)
    assert hand_over(Browser(app)).status_code == 303
    for email in ("ursula@client.test", "hanna@shell.test"):
        before = app_driver.dump()
        told = refusal(app, "user", "set-password", "--email", email, "--password", OTHER_PASSWORD)
        assert "is not verified" in told
        assert app_driver.dump() == before


def test_a_password_comes_from_one_place_and_is_text(app: Flask) -> None:
    command = ["user", "set-password", "--email", ADA]
    for more, stdin in (((), b""), (("--password", "x", "--password-stdin"), b"x\n"), (("--password-stdin",), b"\n")):
        assert "password" in refusal(app, *command, *more, exit_code=2, stdin=stdin)
    assert "UTF-8" in refusal(app, *command, "--password-stdin", stdin=b"p\xe4sswort f\xfcr zw\xf6lf\n")


def test_sessions_end_everywhere(app: Flask, admin: Browser, staff: Browser) -> None:
    assert Browser(app).sign_in(ADA, PASSWORD).status_code == 303
    done = run(app, "user", "sessions-end", "--email", ADA)
    assert (done.exit_code, done.stdout) == (0, "2 ended\n")
    assert admin.get(TAB).status_code == 302
    assert staff.get(TAB).status_code == 200
    assert run(app, "user", "sessions-end", "--email", ADA).stdout == "0 ended\n"


def test_who_got_or_lost_a_role_is_in_the_log_without_an_address(app: Flask, app_driver: AppDriver) -> None:
    account_id = app_driver.user("olaf@alpine.test").id
    words = ["--portal", HARBOUR, "--email", "olaf@alpine.test", "--role", "staff"]
    about = {"portal": HARBOUR, "accounts": [account_id], "role": "staff"}
    assert logged(app, "user", "grant", *words) == {"event": "role granted"} | about
    assert logged(app, "user", "revoke", *words) == {"event": "role revoked"} | about


def test_whoever_takes_the_last_admin_is_warned(app: Flask) -> None:
    words = ["--portal", HARBOUR, "--email", ADA, "--role"]
    for verb, role in (("grant", "staff"), ("grant", "client_admin"), ("revoke", "client_admin")):
        done = run(app, "user", verb, *words, role)
        assert done.exit_code == 0
        assert ("has no client admin now" in done.stderr) is (verb == "revoke" or role == "staff")
