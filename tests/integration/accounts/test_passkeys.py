"""The passkeys of one's own account, and signing in with one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from app.accounts.disabling import disable_account
from app.accounts.security.passkeys import passkeys_of
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import AuditEvent, AuditKind, Passkey, PasskeyChallenge, RecoveryCode, User
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
    password_given,
    send,
    sign_in,
    told,
    with_passkey,
)
from tests.integration.accounts.phone import codes_on, give
from tests.integration.accounts.signing_in import ADA, is_signed_in, later
from tests.integration.cli.running import run
from tests.support.app_driver import AppDriver
from tests.support.authenticator import Authenticator, decode
from tests.support.browser import Browser, field_errors, parse, words
from tests.support.databases import everything, on_sqlite
from tests.support.factories import PASSWORD
from tests.support.remains import places_of
from tests.support.shell import hand_over, register, says, signed
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

SAM = "sam@harbour.test"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PUBLIC_BASE_URL": SITE}


def passkey_of(app_driver: AppDriver, email: str = ADA) -> Passkey:
    user_id = app_driver.user(email).id
    found: Passkey = app_driver.do(lambda: db.session.scalars(db.select(Passkey).filter_by(user_id=user_id)).one())
    return found


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


@on_sqlite
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


@on_sqlite
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


@on_sqlite
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


@on_sqlite
@pytest.mark.parametrize("name", ["", "x" * 101, "<b>", "Key\0"])
def test_what_is_no_name_is_refused_before_the_device_is_asked(app: Flask, name: str) -> None:
    browser = sign_in_with(app)
    refused = browser.post("/account/passkeys/options", NEW | {"passkey_name": name}, htmx=True)
    assert refused.status_code == 422
    assert field_errors(refused).keys() == {"passkey_name"}


def test_a_passkey_belongs_to_one_account_alone(app: Flask) -> None:
    _browser, device = with_passkey(app)
    sams = sign_in_with(app, email=SAM)
    answer = add(sams, device)
    assert answer.status_code == 422
    assert told(answer) == "This passkey belongs to an account already, so it wasn't added."
    assert parse(answer).select_one("#passkey_name")["value"] == NAME
    assert names(sams) == []


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


def test_an_answer_counts_once_also_at_the_very_same_moment(app: Flask) -> None:
    _browser, device = with_passkey(app)
    first = Browser(app)
    credential = device.sign(options_to_sign_in(first))
    others = [first.twin() for _ in range(4)]

    def sending(browser: Browser) -> Callable[[], int]:
        return lambda: browser.post("/login/passkey", {"credential": credential}).status_code

    assert sorted(at_once([sending(other) for other in others])) == [303, 422, 422, 422]
    replayed = send(first.twin(), credential)
    assert told(replayed) == "That took too long, or was sent before. Please try again."


def test_a_challenge_is_good_for_one_purpose_in_one_browser_for_five_minutes(app: Flask, app_driver: AppDriver) -> None:
    browser, device = with_passkey(app)
    here, elsewhere = Browser(app), Browser(app)
    options_to_sign_in(elsewhere)
    late = "That took too long, or was sent before."
    # Another browser's, that of an addition, and one of nobody.
    for asked in (options_to_sign_in(here), options_to_add(browser), {"challenge": "AAAA"}):
        assert told(send(elsewhere, device.sign(asked))).startswith(late)
    credential = device.sign(options_to_sign_in(here))
    with later(301):
        assert told(send(here, credential)).startswith(late)
    asked = options_to_add(browser)
    new = Authenticator()
    for challenge in (options_to_sign_in(browser)["challenge"], options_to_add(browser)["challenge"]):
        with later(301):
            made = new.make(asked | {"challenge": challenge})
            answer = browser.twin().post("/account/passkeys", {"passkey_name": NAME, "credential": made})
            assert told(answer).startswith("No passkey was added: that took too long")
    made = new.make(asked)
    for status in (303, 422):
        assert browser.post("/account/passkeys", {"passkey_name": NAME, "credential": made}).status_code == status
    assert not is_signed_in(elsewhere)


@on_sqlite
def test_an_answer_for_another_site_or_without_the_person_is_refused(app: Flask) -> None:
    browser, device = with_passkey(app)
    here = Browser(app)
    stranger = Authenticator(credential_id=device.credential_id, handle=device.handle)
    wrong = [
        device.sign(options_to_sign_in(here), origin="https://localhost.evil.test"),
        device.sign(options_to_sign_in(here), type="webauthn.create"),
        device.sign(options_to_sign_in(here), verified=False),
        stranger.sign(options_to_sign_in(here)),
    ]
    device.site = "evil.test"
    wrong.append(device.sign(options_to_sign_in(here)))
    for credential in wrong:
        answer = send(here, credential)
        assert answer.status_code == 422
        assert told(answer).startswith("This passkey couldn't be verified. Open the sign-in page at http://localhost")
    assert not is_signed_in(here)
    evil = Authenticator(origin="https://evil.test")
    answer = add(browser, evil)
    assert told(answer).startswith("No passkey was added: what your browser sent couldn't be verified.")
    assert names(browser) == [NAME]


@on_sqlite
def test_a_sign_count_that_goes_back_is_refused(app: Flask, app_driver: AppDriver) -> None:
    _browser, device = with_passkey(app, Authenticator(sign_count=7))
    device.sign_count = 8
    assert sign_in(Browser(app), device).status_code == 303
    for count in (8, 3, 0):
        device.sign_count = count
        answer = sign_in(Browser(app), device)
        assert answer.status_code == 422
        assert "someone may have copied it" in told(answer)
    assert passkey_of(app_driver).sign_count == 8
    device.sign_count = 2**32 - 1
    assert sign_in(Browser(app), device).status_code == 303


GARBAGE = [
    "",
    "null",
    "[]",
    "{",
    "\0",
    "[" * 50_000,
    r'{"id": "\ud83d", "rawId": "\ud83d", "type": "public-key", "response": {}}',
    '{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"A","signature":"A","userHandle":"A"}}',
    '{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"WzFd","attestationObject":"oWNmbXQ"}}',
    '{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"eyJ0eXBlIjoid2ViYXV0aG4uZ2V0IiwiY2hhbGxlbmdlIjoxLCJvcmlnaW4iOiIifQ",'
    '"authenticatorData":"AA","signature":"AA"}}',
    "x" * 250_000,
]


@on_sqlite
def test_garbage_is_answered_with_a_sentence(app: Flask) -> None:
    browser, device = with_passkey(app)
    here = Browser(app)
    genuine = device.sign(options_to_sign_in(here))
    made = Authenticator().make(options_to_add(browser))
    signed_wrongly = [genuine.replace('"signature": "', '"signature": "AAAA'), genuine.replace("public-key", "key")]
    made_wrongly = [made.replace('"attestationObject": "', '"attestationObject": "o2'), made.replace("-key", "-x")]
    for number, garbage in enumerate([*GARBAGE, *signed_wrongly, *made_wrongly]):
        here.client.environ_base["REMOTE_ADDR"] = f"198.51.100.{number}"
        for answer in (
            send(here, garbage),
            browser.post("/account/passkeys", {"passkey_name": NAME, "credential": garbage}),
        ):
            assert answer.status_code == 422
            assert "couldn't be verified" in told(answer)
    assert here.post("/login/passkey", {"credential": "x" * 400_000}).status_code == 413
    assert here.post("/login/passkey").status_code == 422
    # What a passkey has signed is on no page, also where a form is refused with what was typed.
    refused = here.post("/login/passkey", {"credential": genuine, "email": ADA}, csrf=False)
    assert refused.status_code == 400
    assert ADA in refused.text
    assert "clientDataJSON" not in refused.text


def test_wrong_ones_count_as_wrong_passwords_do(app: Flask) -> None:
    _browser, device = with_passkey(app)
    here = Browser(app)
    for _ in range(10):
        assert send(here, device.sign(options_to_sign_in(here), origin="https://evil.test")).status_code == 422
    answer = sign_in(here, device)
    assert answer.status_code == 429
    assert "Too many attempts" in told(answer)
    # The owner's own network is another.
    elsewhere = Browser(app)
    elsewhere.client.environ_base["REMOTE_ADDR"] = "198.51.100.9"
    assert sign_in(elsewhere, device).status_code == 303


# Who may not


@on_sqlite
def test_a_disabled_account_is_as_one_that_is_not_there(app: Flask, app_driver: AppDriver) -> None:
    _browser, device = with_passkey(app, email=SAM)
    app_driver.do(disable_account, SAM)
    answer = sign_in(Browser(app), device)
    assert answer.status_code == 422
    assert "opens no account here" in told(answer)


@on_sqlite
def test_nothing_of_it_for_who_came_through_a_shell_or_is_nobody(app: Flask, nobody: Browser) -> None:
    register(app, HARBOUR)
    handed = Browser(app)
    assert hand_over(handed, signed(says(aud=SITE))).status_code == 303
    for path in ("", "/options", "/00000000-0000-0000-0000-000000000000/remove"):
        assert handed.post(f"/account/passkeys{path}", NEW).status_code == 404
        assert nobody.post(f"/account/passkeys{path}", NEW).location.startswith("/login")


@on_sqlite
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


@on_sqlite
@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://clients.harbour.test", "https://[::1]"])
def test_where_browsers_make_no_passkeys_none_is_offered(reconfigured: Callable[..., Flask], url: str) -> None:
    app = reconfigured(PUBLIC_BASE_URL=url)
    browser = Browser(app)
    login = browser.get("/login")
    assert "passkey" not in login.text
    assert browser.post("/login/passkey/options").status_code == 404
    assert browser.post("/login/passkey").status_code == 404
    if url.startswith("https"):
        return
    browser = sign_in_with(app)
    page = parse(browser.get("/account"))
    assert "Passkeys can't be added here" in words(page.main)
    assert page.select("[data-passkey]") == []
    assert browser.post("/account/passkeys/options", NEW).status_code == 404


def test_expired_challenges_go(app: Flask, app_driver: AppDriver) -> None:
    options_to_sign_in(Browser(app))
    with later(301):
        options_to_sign_in(Browser(app))
        assert run_job(app, "prune")
        assert app_driver.do(lambda: db.session.scalar(db.select(db.func.count()).select_from(PasskeyChallenge))) == 1
    assert app_driver.do(lambda: db.session.scalar(db.select(User.passkey_handle).filter_by(email=ADA))) is None


# Lost, and gone with the account


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
