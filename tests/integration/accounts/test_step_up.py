"""Sensitive changes ask whoever has a second factor for it, once in fifteen minutes, and keep what was typed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.models import Role
from tests.conftest import HARBOUR
from tests.integration.accounts.owner import CHANGE, sign_in_with
from tests.integration.accounts.phone import Phone, Protected, at_middle_of_step, protected
from tests.integration.accounts.signing_in import ADA, is_signed_in
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, parse, words
from tests.support.factories import OTHER_PASSWORD, PASSWORD, counted_as, make_member
from tests.support.shell import hand_over, register, says, signed

TEAM = f"/portals/{HARBOUR}/settings/team"
WEBHOOKS = f"/portals/{HARBOUR}/settings/webhooks"
EMAIL = f"/portals/{HARBOUR}/settings/email"
NEW = {"email": "new@harbour.test", "role": "staff"}


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(at_middle_of_step(), tick=False) as clock:
        yield clock


@pytest.fixture
def ada(app: Flask) -> Protected:
    """Ada, who has just set up an authenticator app in this browser."""
    return protected(app)


def later(clock: time_machine.Traveller, **delta: float) -> None:
    clock.shift(timedelta(**delta))


def hidden(page: TestResponse) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for field in parse(page).select("#step-up-form input[type=hidden]"):
        fields.setdefault(field["name"], []).append(field["value"])
    return fields


def go_on(browser: Browser, page: TestResponse, code: str) -> TestResponse:
    """Answer the page between by its own form."""
    form = parse(page).select_one("#step-up-form")
    return browser.post(form["action"], hidden(page) | {"step_up_code": code})


def test_the_page_between_keeps_what_was_typed_and_goes_on(
    app_driver: AppDriver, ada: Protected, clock: time_machine.Traveller
) -> None:
    browser, phone = ada.browser, ada.phone
    # Set up just now, so nobody is asked yet.
    assert browser.post(TEAM, NEW).status_code == 303
    later(clock, minutes=15)
    asked = browser.post(TEAM, NEW | {"email": "<next>@harbour.test"})
    assert (asked.status_code, words(parse(asked).h1)) == (200, "Confirm that it's you")
    assert hidden(asked)["email"] == ["<next>@harbour.test"]
    assert "<next>" not in asked.text
    wrong = go_on(browser, asked, "000000")
    assert wrong.status_code == 422
    assert field_errors(wrong).keys() == {"step_up_code"}
    assert hidden(wrong) == hidden(asked)
    # The view itself refuses what was typed, and shows it.
    answer = go_on(browser, wrong, phone.code())
    assert parse(answer).select_one("#email")["value"] == "<next>@harbour.test"
    assert browser.post(TEAM, NEW | {"email": "next@harbour.test"}).location == TEAM
    later(clock, minutes=14, seconds=59)
    assert browser.post(TEAM, NEW | {"email": "third@harbour.test"}).location == TEAM
    later(clock, seconds=1)
    assert parse(browser.post(TEAM, NEW)).select_one("#step-up-form")
    # A code is used only once, here as at sign-in.
    fields = {"step_up_code": phone.code()}
    assert browser.post(TEAM, NEW | {"email": "fourth@harbour.test"} | fields).location == TEAM
    later(clock, seconds=1)
    assert sign_in_with_code(app_driver.app, phone) == 422


def sign_in_with_code(app: Flask, phone: Phone) -> int:
    browser = Browser(app)
    assert browser.post("/login", {"email": ADA, "password": PASSWORD}).status_code == 303
    browser.forget_csrf_token()
    return browser.post("/login/second-factor", {"code": phone.code()}).status_code


@pytest.mark.parametrize(
    "path, fields",
    [
        (TEAM, NEW),
        ("{team}/{sam}/role", {"role": "client_admin"}),
        ("{team}/{sam}/remove", {}),
        (WEBHOOKS, {"url": "http://127.0.0.1:9/hook", "events": ["client.invited", "client.joined"]}),
    ],
)
def test_each_guarded_post_asks_first(
    app_driver: AppDriver,
    ada: Protected,
    clock: time_machine.Traveller,
    path: str,
    fields: dict[str, object],
) -> None:
    path = path.format(team=TEAM, sam=app_driver.user("sam@harbour.test").id)
    later(clock, minutes=16)
    before = app_driver.dump()
    asked = ada.browser.post(path, fields)
    assert parse(asked).select_one("#step-up-form")["action"] == path
    kept = {name: texts for name, texts in hidden(asked).items() if name in fields}
    assert kept == {name: [text] if isinstance(text, str) else text for name, text in fields.items()}
    assert app_driver.dump() == before
    done = go_on(ada.browser, asked, ada.phone.code())
    assert done.status_code in {200, 303}
    assert parse(done).select_one("#step-up-form") is None
    assert app_driver.dump() != before


def test_with_htmx_it_is_a_dialog(ada: Protected, clock: time_machine.Traveller, app_driver: AppDriver) -> None:
    later(clock, minutes=16)
    path = f"{TEAM}/{app_driver.user('sam@harbour.test').id}/role"
    # A password that somebody adds stands in no page, whatever the form.
    asked = ada.browser.post(path, {"role": "client_admin", "password": PASSWORD}, htmx=True)
    assert PASSWORD not in asked.text
    assert (asked.status_code, asked.headers["HX-Retarget"]) == (200, "#dialog-content")
    assert "<html" not in asked.text
    assert go_on(ada.browser, asked, ada.phone.code()).location == TEAM


@pytest.mark.parametrize(
    "path, fields",
    [
        ("/account/password", CHANGE),
        ("/account/delete", {"current_password": PASSWORD}),
        (EMAIL, {"server": "deployment", "reply_to": "desk@harbour.test", "password": OTHER_PASSWORD}),
    ],
)
def test_a_form_with_a_password_asks_in_itself(
    app_driver: AppDriver, ada: Protected, clock: time_machine.Traveller, path: str, fields: dict[str, str]
) -> None:
    app_driver.do(make_member, HARBOUR, "ben@harbour.test", "Ben Dahl", Role.CLIENT_ADMIN)
    page = "/account" if path == "/account/password" else path
    assert parse(ada.browser.get(page)).select_one("input[name=step_up_code]") is None
    later(clock, minutes=16)
    assert parse(ada.browser.get(page)).select_one("input[name=step_up_code]")
    for code in ("", "000000"):
        refused = ada.browser.post(path, fields | {"step_up_code": code})
        assert refused.status_code == 422
        assert field_errors(refused).keys() == {"step_up_code"}
        assert PASSWORD not in refused.text
        assert OTHER_PASSWORD not in refused.text
    assert ada.browser.post(path, fields | {"step_up_code": ada.phone.code()}).status_code == 303


def test_a_recovery_code_does_too_and_wrong_ones_are_limited(
    app: Flask, ada: Protected, clock: time_machine.Traveller
) -> None:
    later(clock, minutes=16)
    with counted_as(app, 9):
        assert ada.browser.post(TEAM, NEW | {"step_up_code": "000000"}).status_code == 422
    assert ada.browser.post(TEAM, NEW | {"step_up_code": "000000"}).status_code == 422
    limited = ada.browser.post(TEAM, NEW | {"step_up_code": ada.phone.code()})
    assert (limited.status_code, "Retry-After" in limited.headers) == (429, True)
    assert hidden(limited)["email"] == [NEW["email"]]
    later(clock, minutes=16)
    assert ada.browser.post(TEAM, NEW | {"step_up_code": ada.codes[0]}).status_code == 303


def test_who_has_no_second_factor_is_not_asked(app: Flask, clock: time_machine.Traveller) -> None:
    browser = sign_in_with(app)
    later(clock, minutes=16)
    assert browser.post(TEAM, NEW).location == TEAM


def test_people_of_a_shell_are_never_asked(app: Flask, ada: Protected, clock: time_machine.Traveller) -> None:
    register(app, HARBOUR)
    later(clock, minutes=16)
    browser = Browser(app)
    token = signed(says(sub="ada-1", email=ADA, name="Ada Berg", role="client_admin"))
    assert hand_over(browser, token).status_code == 303
    assert browser.post(TEAM, NEW).location == TEAM
    assert browser.post(EMAIL, {"server": "deployment", "reply_to": ""}).status_code == 303


def test_a_session_that_ended_at_the_question_leads_to_sign_in(
    app_driver: AppDriver, ada: Protected, clock: time_machine.Traveller
) -> None:
    later(clock, minutes=16)
    asked = ada.browser.post(TEAM, NEW)
    app_driver.end_sessions()
    assert go_on(ada.browser, asked, ada.phone.code()).location.startswith("/login")
    assert not is_signed_in(ada.browser)
