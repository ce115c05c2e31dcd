"""A passkey as the second step, after the password."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from app.db.transactions import transaction
from app.extensions import db
from app.models import Passkey, User
from tests.integration.accounts.nora import NORA, OWN, verification_link
from tests.integration.accounts.passkeys import (
    SITE,
    options_of_second_step,
    options_to_add,
    options_to_sign_in,
    password_given,
    send,
    send_second,
    told,
    with_passkey,
)
from tests.integration.accounts.signing_in import ADA, is_signed_in, later
from tests.support.app_driver import AppDriver
from tests.support.authenticator import Authenticator, decode
from tests.support.browser import Browser, parse
from tests.support.factories import PASSWORD, counted_as
from tests.support.together import at_once

SAM = "sam@harbour.test"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PUBLIC_BASE_URL": SITE}


def passkeys(app_driver: AppDriver) -> int:
    return app_driver.do(lambda: db.session.scalar(db.select(db.func.count()).select_from(Passkey))) or 0


def test_after_the_password_the_passkey_is_asked_for(app: Flask) -> None:
    _browser, device = with_passkey(app)
    browser = password_given(app)
    assert not is_signed_in(browser)
    page = parse(browser.get("/login/second-factor?next=/account"))
    assert page.select_one("[data-passkey=get]")
    assert page.select("[name=code]") == []
    asked = options_of_second_step(browser)
    assert [decode(one["id"]) for one in asked["allowCredentials"]] == [device.credential_id]
    answer = send_second(browser, device.sign(asked), next="/account")
    assert (answer.status_code, answer.location) == (303, "/account")
    assert is_signed_in(browser)


@pytest.mark.both_databases
def test_an_answer_of_the_second_step_counts_once(app: Flask) -> None:
    _browser, device = with_passkey(app)
    browser = password_given(app)
    credential = device.sign(options_of_second_step(browser))
    others = [browser.twin() for _ in range(3)]

    def sending(other: Browser) -> Callable[[], str]:
        return lambda: other.post("/login/second-factor/passkey", {"credential": credential}).location or ""

    answers = sorted(at_once([sending(other) for other in others]))
    assert len([one for one in answers if one.startswith("/portals")]) == 1, answers


def test_what_is_no_passkey_of_the_account_is_refused_and_nothing_is_lost(app: Flask) -> None:
    browser, device = with_passkey(app)
    _sam, sams = with_passkey(app, email=SAM)
    # In the same browser, a challenge to add another one, and one to Sam.
    to_add = options_to_add(browser)
    assert browser.sign_in(SAM, PASSWORD).location == "/login/second-factor"
    to_sam = options_of_second_step(browser)
    assert browser.sign_in(ADA, PASSWORD).location == "/login/second-factor"
    late, other = "That took too long, or was sent before.", "This passkey isn't one of this account's"
    refused = [
        (sams.sign(options_of_second_step(browser)), other),
        (device.sign(to_add), late),
        (device.sign(to_sam), late),
        (device.sign(options_to_sign_in(browser)), late),
        (device.sign(options_of_second_step(password_given(app))), late),
        (
            device.sign(options_of_second_step(browser), origin="https://evil.test"),
            "This passkey couldn't be verified.",
        ),
        ("garbage", "This passkey couldn't be verified."),
    ]
    for credential, sentence in refused:
        answer = send_second(browser, credential)
        assert answer.status_code == 422
        assert told(answer).startswith(sentence)
    credential = device.sign(options_of_second_step(browser))
    with later(301):
        assert told(send_second(browser.twin(), credential)).startswith(late)
    # An answer to this step does not do for the first one.
    assert told(send(browser, device.sign(options_of_second_step(browser)))).startswith(late)
    answer = send_second(browser, device.sign(options_of_second_step(browser)))
    assert answer.status_code == 303


def test_wrong_ones_are_limited(app: Flask) -> None:
    browser, device = with_passkey(app)
    browser.post("/logout")
    browser.forget_csrf_token()
    assert browser.sign_in(ADA, PASSWORD).location == "/login/second-factor"
    with counted_as(app, 9):
        assert send_second(browser, "garbage").status_code == 422
    assert send_second(browser, "garbage").status_code == 422
    answer = send_second(browser, device.sign(options_of_second_step(browser)))
    assert answer.status_code == 429
    assert "Too many attempts" in told(answer)
    # Another browser has a count of its own.
    other = password_given(app)
    assert send_second(other, device.sign(options_of_second_step(other))).status_code == 303


def test_without_a_password_before_it_there_is_no_second_step(app: Flask, nobody: Browser) -> None:
    _browser, device = with_passkey(app)
    asked = nobody.post("/login/second-factor/passkey/options", {"next": "/account"}, htmx=True)
    assert asked.headers["HX-Redirect"] == "/login?next=/account&again="
    answer = send_second(nobody, device.sign(options_to_sign_in(nobody)), next="/account")
    assert (answer.status_code, answer.location) == (303, "/login?next=/account&again=")


def test_at_another_address_only_recovery_codes_are_left(app: Flask, reconfigured: Callable[..., Flask]) -> None:
    with_passkey(app)
    moved = reconfigured(PUBLIC_BASE_URL="http://127.0.0.1:8000")
    browser = password_given(moved)
    page = browser.get("/login/second-factor")
    assert "Your passkeys can't be used at this address any more." in " ".join(page.text.split())
    assert parse(page).select("[data-passkey]") == []


def test_who_proves_the_address_keeps_no_passkey_of_who_registered_it(
    app: Flask, app_driver: AppDriver, stranger: Browser
) -> None:
    user_id = app_driver.user(NORA).id

    def plant() -> None:
        with transaction() as session:
            session.add(Passkey(user_id=user_id, credential_id=b"x", public_key=b"y", sign_count=0, name="Mallory's"))
            session.execute(db.update(User).where(User.id == user_id).values(passkey_handle=b"handle"))

    app_driver.do(plant)
    assert Browser(app).post(verification_link(app_driver), OWN).status_code == 303
    assert passkeys(app_driver) == 0
    assert app_driver.user(NORA).passkey_handle is None


def test_an_authenticator_that_counts_is_followed_in_both_steps(app: Flask) -> None:
    _browser, device = with_passkey(app, Authenticator(sign_count=1))
    browser = password_given(app)
    device.sign_count = 2
    assert send_second(browser, device.sign(options_of_second_step(browser))).status_code == 303
    for asking, sending in ((options_of_second_step, send_second), (options_to_sign_in, send)):
        other = password_given(app)
        answer = sending(other, device.sign(asking(other)))
        assert answer.status_code == 422
        assert "someone may have copied it" in told(answer)
