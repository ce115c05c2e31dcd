"""A passkey, in place of a code, where a sensitive change asks for the second factor again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.models import Role
from tests.conftest import HARBOUR
from tests.integration.accounts.owner import CHANGE
from tests.integration.accounts.passkeys import (
    SITE,
    options_of_step_up,
    options_to_add,
    options_to_sign_in,
    with_passkey,
)
from tests.integration.accounts.phone import PAGE, at_middle_of_step, begin, codes_on
from tests.integration.accounts.signing_in import ADA
from tests.integration.accounts.test_step_up import EMAIL, NEW, TEAM, hidden
from tests.support.app_driver import AppDriver
from tests.support.authenticator import Authenticator, decode
from tests.support.browser import Browser, field_errors, parse, words
from tests.support.factories import PASSWORD, counted_as, make_member
from tests.support.shell import hand_over, register, says, signed

SAM = "sam@harbour.test"
APP = "authenticator app"
WRONG = "This passkey couldn't be verified."
LATE = "That took too long, or was sent before."


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PUBLIC_BASE_URL": SITE}


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(at_middle_of_step(), tick=False) as clock:
        yield clock


@pytest.fixture
def ada(app: Flask, clock: time_machine.Traveller) -> tuple[Browser, Authenticator]:
    """Ada, whose only second factor is a passkey that she has not shown for long."""
    found = with_passkey(app)
    clock.shift(timedelta(minutes=16))
    return found


def signs(browser: Browser, device: Authenticator) -> dict[str, str]:
    """What the form that asks then sends: the field of the code is there, and empty."""
    return {"step_up_code": "", "step_up_credential": device.sign(options_of_step_up(browser))}


def set_up_app(browser: Browser) -> None:
    """In an account that has recovery codes already."""
    phone = begin(browser)
    assert browser.post(f"{PAGE}/confirm", {"code": phone.code()}).status_code == 303


def offers(page: TestResponse) -> bool:
    return parse(page).select_one("[data-step-up] [data-use-passkey]") is not None


def sentence(page: TestResponse) -> str:
    """What is wrong, at the only field that anything is wrong with."""
    errors = field_errors(page)
    assert errors.keys() == {"step_up_code"}, errors
    return errors["step_up_code"]


def hint(page: TestResponse) -> str:
    return words(parse(page).select_one("#step_up_code-hint"))


def test_the_page_between_takes_a_passkey_and_keeps_what_was_typed(ada: tuple[Browser, Authenticator]) -> None:
    browser, device = ada
    for htmx in (False, True):
        asked = browser.post(TEAM, NEW, htmx=htmx)
        assert offers(asked)
        assert APP not in asked.text
        assert hint(asked) == "Use your passkey, or enter one of your recovery codes."
        assert bool(parse(asked).select("script[src*=passkeys]")) is not htmx
    options = options_of_step_up(browser)
    assert [decode(one["id"]) for one in options["allowCredentials"]] == [device.credential_id]
    empty = browser.post(TEAM, hidden(asked) | {"step_up_code": ""})
    assert sentence(empty) == "Use your passkey, or enter a code."
    kept = hidden(empty)
    assert (kept["email"], kept["step_up_credential"]) == ([NEW["email"]], [""])
    assert browser.post(TEAM, kept | signs(browser, device)).location == TEAM
    # For the next fifteen minutes.
    assert browser.post(TEAM, NEW | {"email": "third@harbour.test"}).location == TEAM


@pytest.mark.parametrize(
    "path, fields",
    [
        ("/account/password", CHANGE),
        ("/account/delete", {"current_password": PASSWORD}),
        (EMAIL, {"server": "deployment", "reply_to": "desk@harbour.test"}),
    ],
)
def test_a_form_with_a_password_takes_one(
    app_driver: AppDriver, ada: tuple[Browser, Authenticator], path: str, fields: dict[str, str]
) -> None:
    browser, device = ada
    app_driver.do(make_member, HARBOUR, "ben@harbour.test", "Ben Dahl", Role.CLIENT_ADMIN)
    page = browser.get("/account" if path == "/account/password" else path)
    assert offers(page)
    assert parse(page).select_one("script[src*=passkeys]")
    assert "From your authenticator app" not in page.text
    refused = browser.post(path, fields | signs(browser, device) | {"step_up_credential": "garbage"})
    assert (refused.status_code, sentence(refused).startswith(WRONG)) == (422, True)
    assert {field["value"] for field in parse(refused).select("[name=step_up_credential]")} == {""}
    assert browser.post(path, fields | signs(browser, device)).status_code == 303


def test_what_is_no_answer_to_this_question_is_refused_and_nothing_is_lost(
    app: Flask, ada: tuple[Browser, Authenticator], clock: time_machine.Traveller
) -> None:
    browser, device = ada
    other_browser, sams = with_passkey(app, email=SAM)
    to_sign_in, to_add = options_to_sign_in(browser), options_to_add(browser)
    refused = [
        (device.sign(to_sign_in), LATE),
        (device.sign(to_add), LATE),
        (device.sign(options_of_step_up(other_browser)), LATE),
        (sams.sign(options_of_step_up(browser)), "This passkey isn't one of this account's"),
        (device.sign(options_of_step_up(browser), origin="https://evil.test"), WRONG),
        (device.sign(options_of_step_up(browser), verified=False), WRONG),
        ("garbage", WRONG),
        ("\x00{}", WRONG),
        ("[" * 5000, WRONG),
    ]
    for credential, told in refused:
        answer = browser.post(TEAM, NEW | {"step_up_code": "", "step_up_credential": credential})
        assert answer.status_code == 422
        assert sentence(answer).startswith(told), (credential, answer.text)
        assert hidden(answer)["email"] == [NEW["email"]]
        assert hidden(answer)["step_up_credential"] == [""]
    old = signs(browser, device)
    clock.shift(timedelta(minutes=5))
    assert sentence(browser.post(TEAM, NEW | old)).startswith(LATE)
    # What it signs here signs nobody in.
    here = device.sign(options_of_step_up(browser))
    assert browser.twin().post("/login/passkey", {"credential": here}).status_code == 422


def test_an_answer_counts_once(ada: tuple[Browser, Authenticator], clock: time_machine.Traveller) -> None:
    browser, device = ada
    sent = signs(browser, device)
    assert browser.post(TEAM, NEW | sent).location == TEAM
    clock.shift(timedelta(minutes=15))
    answer = browser.post(TEAM, NEW | {"email": "next@harbour.test"} | sent)
    assert sentence(answer).startswith(LATE)


def test_wrong_ones_are_limited(app: Flask, ada: tuple[Browser, Authenticator], clock: time_machine.Traveller) -> None:
    browser, device = ada
    garbage = {"step_up_code": "", "step_up_credential": "garbage"}
    with counted_as(app, 9):
        assert browser.post(TEAM, NEW | garbage).status_code == 422
    assert browser.post(TEAM, NEW | garbage).status_code == 422
    limited = browser.post(TEAM, NEW | signs(browser, device))
    assert (limited.status_code, "Retry-After" in limited.headers) == (429, True)
    assert hidden(limited)["email"] == [NEW["email"]]
    clock.shift(timedelta(minutes=16))
    assert browser.post(TEAM, NEW | signs(browser, device)).location == TEAM


def test_a_copied_one_is_refused(app: Flask, clock: time_machine.Traveller) -> None:
    browser, device = with_passkey(app, Authenticator(sign_count=5))
    clock.shift(timedelta(minutes=16))
    answer = browser.post(TEAM, NEW | signs(browser, device))
    assert "someone may have copied it" in sentence(answer)
    device.sign_count = 6
    assert browser.post(TEAM, NEW | signs(browser, device)).location == TEAM


def test_whoever_has_both_is_told_of_both(app: Flask, clock: time_machine.Traveller) -> None:
    browser, device = with_passkey(app)
    set_up_app(browser)
    clock.shift(timedelta(minutes=16))
    asked = browser.post(TEAM, NEW)
    assert hint(asked) == "Or use your passkey, or one of your recovery codes."
    assert words(parse(asked).select_one("label[for=step_up_code]")) == "Code from your app"
    assert APP in hint(browser.get(EMAIL))
    assert browser.post(TEAM, NEW | signs(browser, device)).location == TEAM


def test_a_recovery_code_does_too_and_pages_promise_no_app(app: Flask, clock: time_machine.Traveller) -> None:
    browser, _device = with_passkey(app)
    codes = codes_on(browser.post("/account/second-factor/recovery-codes", {"password": PASSWORD}))
    clock.shift(timedelta(minutes=16))
    wrong = browser.post(TEAM, NEW | {"step_up_code": "000000"})
    assert sentence(wrong).startswith("This recovery code isn't right.")
    assert browser.post(TEAM, NEW | {"step_up_code": codes[0]}).location == TEAM
    path = "/account/second-factor/recovery-codes"
    page = browser.get(path)
    assert APP not in page.text
    assert words(parse(page).select_one("label[for=code]")) == "Or a recovery code"
    refused = browser.post(path, {"code": "000000"})
    assert field_errors(refused)["code"].startswith("This recovery code isn't right.")
    set_up_app(browser)
    assert APP in browser.get(path).text


def test_where_passkeys_no_longer_work_only_recovery_codes_are_left(
    ada: tuple[Browser, Authenticator], reconfigured: Callable[..., Flask]
) -> None:
    browser, device = ada
    sent = signs(browser, device)
    browser.client.application = reconfigured(PUBLIC_BASE_URL="http://127.0.0.1:8000")
    asked = browser.post(TEAM, NEW)
    assert not offers(asked)
    assert hint(asked).startswith("Your passkeys can't be used at this address any more.")
    assert sentence(browser.post(TEAM, NEW | sent)).startswith("Your passkeys can't be used")
    assert browser.post("/account/passkeys/step-up/options", htmx=True).status_code == 404


def test_people_of_a_shell_see_nothing_of_it(
    app: Flask, ada: tuple[Browser, Authenticator], clock: time_machine.Traveller
) -> None:
    register(app, HARBOUR)
    browser = Browser(app)
    token = signed(says(sub="ada-1", email=ADA, name="Ada Berg", role="client_admin", aud=SITE))
    assert hand_over(browser, token).status_code == 303
    page = browser.get(EMAIL)
    assert "passkey" not in page.text
    assert browser.post("/account/passkeys/step-up/options", htmx=True).status_code == 404
    assert browser.post(TEAM, NEW).location == TEAM
