"""What signs in as a passkey, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from app.accounts.disabling import disable_account
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import PasskeyChallenge, User
from tests.integration.accounts.owner import sign_in_with
from tests.integration.accounts.passkeys import (
    NAME,
    NEW,
    SITE,
    add,
    names,
    options_to_add,
    options_to_sign_in,
    passkey_of,
    send,
    sign_in,
    told,
    with_passkey,
)
from tests.integration.accounts.signing_in import ADA, is_signed_in, later
from tests.support.app_driver import AppDriver
from tests.support.authenticator import Authenticator
from tests.support.browser import Browser, parse, words
from tests.support.factories import counted_as
from tests.support.together import at_once

SAM = "sam@harbour.test"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PUBLIC_BASE_URL": SITE}


@pytest.mark.both_databases
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
    with counted_as(app, 9):
        assert send(here, device.sign(options_to_sign_in(here), origin="https://evil.test")).status_code == 422
    assert send(here, device.sign(options_to_sign_in(here), origin="https://evil.test")).status_code == 422
    answer = sign_in(here, device)
    assert answer.status_code == 429
    assert "Too many attempts" in told(answer)
    # The owner's own network is another.
    elsewhere = Browser(app)
    elsewhere.client.environ_base["REMOTE_ADDR"] = "198.51.100.9"
    assert sign_in(elsewhere, device).status_code == 303


def test_a_disabled_account_is_as_one_that_is_not_there(app: Flask, app_driver: AppDriver) -> None:
    _browser, device = with_passkey(app, email=SAM)
    app_driver.do(disable_account, SAM)
    answer = sign_in(Browser(app), device)
    assert answer.status_code == 422
    assert "opens no account here" in told(answer)


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


@pytest.mark.both_databases
def test_expired_challenges_go(app: Flask, app_driver: AppDriver) -> None:
    options_to_sign_in(Browser(app))
    with later(301):
        options_to_sign_in(Browser(app))
        assert run_job(app, "prune")
        assert app_driver.do(lambda: db.session.scalar(db.select(db.func.count()).select_from(PasskeyChallenge))) == 1
    assert app_driver.do(lambda: db.session.scalar(db.select(User.passkey_handle).filter_by(email=ADA))) is None
