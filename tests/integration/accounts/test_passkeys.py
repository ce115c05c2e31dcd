"""The passkeys of one's own account: added, renamed, removed, lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from app.accounts.security.passkeys import passkeys_of
from app.extensions import db
from app.models import AuditEvent, AuditKind, Passkey, PasskeyChallenge, RecoveryCode
from tests.conftest import HARBOUR, Outbox
from tests.integration.accounts.guessing import WRONG
from tests.integration.accounts.owner import sign_in_with
from tests.integration.accounts.owner import told as told_on_account
from tests.integration.accounts.passkeys import (
    NAME,
    NEW,
    SITE,
    add,
    names,
    options_to_add,
    options_to_sign_in,
    passkey_of,
    password_given,
    send,
    sign_in,
    told,
    with_passkey,
)
from tests.integration.accounts.phone import codes_on, give
from tests.integration.accounts.signing_in import ADA, is_signed_in
from tests.integration.cli.running import run
from tests.support.app_driver import AppDriver
from tests.support.authenticator import Authenticator, decode
from tests.support.browser import Browser, field_errors, parse, words
from tests.support.databases import everything
from tests.support.factories import PASSWORD
from tests.support.remains import places_of
from tests.support.shell import hand_over, register, says, signed
from tests.support.smtp import MailServer
from tests.support.together import at_once

SAM = "sam@harbour.test"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PUBLIC_BASE_URL": SITE}


@pytest.mark.both_databases
def test_a_passkey_is_added_and_is_all_that_a_sign_in_needs(app: Flask, app_driver: AppDriver) -> None:
    browser, device = with_passkey(app)
    assert names(browser) == [NAME]
    user = app_driver.user(ADA)
    assert device.handle == user.passkey_handle
    assert ADA.encode() not in device.handle
    other = Browser(app)
    answer = send(other, device.sign(options_to_sign_in(other)), next="/account")
    assert (answer.status_code, answer.location) == (303, "/account")
    assert is_signed_in(other)
    assert passkey_of(app_driver).last_used_at is not None
    kinds = app_driver.do(lambda: db.session.scalars(db.select(AuditEvent.kind).order_by(AuditEvent.id)).all())
    assert [kind for kind in kinds if kind != AuditKind.RECOVERY_CODES_MADE] == [
        AuditKind.SIGNED_IN,
        AuditKind.SECOND_FACTOR_SET,
        AuditKind.SIGNED_IN,
    ]


def test_what_is_asked_of_the_browser(app: Flask) -> None:
    browser, device = with_passkey(app)
    asked = options_to_add(browser)
    assert asked["rp"]["id"] == "localhost"
    assert asked["attestation"] == "none"
    assert asked["authenticatorSelection"]["residentKey"] == "required"
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    assert [decode(one["id"]) for one in asked["excludeCredentials"]] == [device.credential_id]
    # All passkeys of an account go by one handle.
    assert decode(asked["user"]["id"]) == device.handle
    asked = options_to_sign_in(Browser(app))
    assert (asked["rpId"], asked["userVerification"], asked["allowCredentials"]) == ("localhost", "required", [])


def test_a_passkey_is_renamed_and_removed_by_forms_alone(app: Flask, app_driver: AppDriver) -> None:
    browser, device = with_passkey(app)
    path = f"/account/passkeys/{passkey_of(app_driver).id}"
    assert browser.post(path, {"passkey_name": "  Blue   key "}).status_code == 303
    assert names(browser) == ["Blue key"]
    refused = browser.post(path, {"passkey_name": "<b>"})
    assert refused.status_code == 422
    (fault,) = field_errors(refused).values()
    assert "can't contain" in fault
    assert parse(refused).select_one("details[open] [name=passkey_name]")["value"] == "<b>"
    assert "Blue key" in browser.get(f"{path}/remove").text
    wrong = browser.post(f"{path}/remove", {"password": WRONG})
    assert field_errors(wrong) == {"password": "This is not your current password. Check it and try again."}
    assert browser.post(f"{path}/remove", {"password": PASSWORD}).status_code == 303
    assert told_on_account(browser) == "The passkey “Blue key” is removed."
    assert names(browser) == []
    answer = sign_in(Browser(app), device)
    assert answer.status_code == 422
    assert "may have been removed" in told(answer)


def test_nobody_changes_another_account_s_passkey(app: Flask, app_driver: AppDriver) -> None:
    with_passkey(app)
    sams = sign_in_with(app, email=SAM)
    before = everything(app)
    for path in (f"/account/passkeys/{passkey_of(app_driver).id}", "/account/passkeys/no-id"):
        for action in ("", "/remove"):
            assert sams.post(path + action, {"passkey_name": "Mine", "password": PASSWORD}).status_code in {404, 405}
    assert everything(app) == before


def test_the_password_comes_first_and_wrong_ones_count(app: Flask) -> None:
    browser = sign_in_with(app)
    for _ in range(10):
        refused = browser.post("/account/passkeys/options", NEW | {"passkey_password": WRONG}, htmx=True)
        assert refused.status_code == 422
        assert field_errors(refused) == {
            "passkey_password": "This is not your current password. Check it and try again."
        }
        assert parse(refused).select_one("[name=passkey_name]")["value"] == NAME
    refused = browser.post("/account/passkeys/options", NEW, htmx=True)
    assert refused.status_code == 429
    assert "Too many attempts" in field_errors(refused)["passkey_password"]


def test_what_is_no_name_is_refused_before_the_device_is_asked(app: Flask) -> None:
    browser = sign_in_with(app)
    for name in ("", "x" * 101, "<b>", "Key\0"):
        refused = browser.post("/account/passkeys/options", NEW | {"passkey_name": name}, htmx=True)
        assert refused.status_code == 422, name
        assert field_errors(refused).keys() == {"passkey_name"}, name


@pytest.mark.both_databases
def test_a_passkey_belongs_to_one_account_alone(app: Flask) -> None:
    _browser, device = with_passkey(app)
    sams = sign_in_with(app, email=SAM)
    answer = add(sams, device)
    assert answer.status_code == 422
    assert told(answer) == "This passkey belongs to an account already, so it wasn't added."
    assert parse(answer).select_one("#passkey_name")["value"] == NAME
    assert names(sams) == []


@pytest.mark.both_databases
def test_two_accounts_that_bring_the_same_one_at_once(app: Flask) -> None:
    device = Authenticator()
    browsers = [sign_in_with(app, email=email) for email in (ADA, SAM)]
    made = [device.make(options_to_add(browser)) for browser in browsers]

    def adding(browser: Browser, credential: str) -> Callable[[], int]:
        form = {"passkey_name": NAME, "credential": credential}
        return lambda: browser.post("/account/passkeys", form).status_code

    answers = at_once([adding(browser, one) for browser, one in zip(browsers, made, strict=True)])
    assert answers.count(422) == 1, answers
    assert sorted(len(names(browser)) for browser in browsers) == [0, 1]


# Answers that are no good


# Who may not


def test_nothing_of_it_for_who_came_through_a_shell_or_is_nobody(app: Flask, nobody: Browser) -> None:
    register(app, HARBOUR)
    handed = Browser(app)
    assert hand_over(handed, signed(says(aud=SITE))).status_code == 303
    for path in ("", "/options", "/00000000-0000-0000-0000-000000000000/remove"):
        assert handed.post(f"/account/passkeys{path}", NEW).status_code == 404
        assert nobody.post(f"/account/passkeys{path}", NEW).location.startswith("/login")


def test_the_owner_is_told_by_mail(app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer) -> None:
    browser, _device = with_passkey(app)
    outbox.flush()
    (added,) = mail_server.to(ADA)
    browser.post(f"/account/passkeys/{passkey_of(app_driver).id}/remove", {"password": PASSWORD})
    outbox.flush()
    _added, removed = mail_server.to(ADA)
    for mail, word in ((added, "added"), (removed, "removed")):
        assert word in mail.text
        assert word in mail.html


# Lost, and gone with the account


@pytest.mark.both_databases
def test_who_has_lost_the_passkey_recovers_by_a_code_or_an_operator(app: Flask, app_driver: AppDriver) -> None:
    owner = sign_in_with(app)
    page = add(owner, Authenticator())
    codes = codes_on(page)
    assert len(codes) == 10
    assert "Your passkey is added." in words(parse(page).main)
    # A second one makes no new codes.
    assert add(owner, Authenticator()).status_code == 303
    lost = password_given(app)
    assert give(lost, codes[0]).status_code == 303
    assert is_signed_in(lost)
    first, second = (one.id for one in app_driver.do(passkeys_of, app_driver.user(ADA).id))
    assert lost.post(f"/account/passkeys/{first}/remove", {"code": codes[1]}).status_code == 303
    count = app_driver.do(lambda: db.session.query(RecoveryCode).count())
    assert count == 8
    # The last one takes the codes that are left with it.
    assert lost.post(f"/account/passkeys/{second}/remove", {"password": PASSWORD}).status_code == 303
    assert app_driver.do(lambda: db.session.query(RecoveryCode).count()) == 0
    assert Browser(app).sign_in(ADA, PASSWORD).location != "/login/second-factor"

    _browser, device = with_passkey(app)
    done = run(app, "user", "reset-second-factor", "--email", ADA, "--yes")
    assert done.exit_code == 0, done.output
    assert "opens no account here" in told(sign_in(Browser(app), device))
    assert Browser(app).sign_in(ADA, PASSWORD).location != "/login/second-factor"


@pytest.mark.both_databases
def test_it_goes_with_the_account(app: Flask, app_driver: AppDriver) -> None:
    browser, _device = with_passkey(app, email=SAM)
    options_to_add(browser)
    done = run(app, "user", "erase", "--email", SAM, "--yes")
    assert done.exit_code == 0, done.output
    assert app_driver.do(lambda: (db.session.query(Passkey).count(), db.session.query(PasskeyChallenge).count())) == (
        0,
        0,
    )
    assert places_of(app, NAME) == set()
