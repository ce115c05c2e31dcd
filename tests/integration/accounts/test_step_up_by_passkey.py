"""Whoever has a passkey shows it before a sensitive change; what was typed is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from tests.conftest import HARBOUR
from tests.integration.accounts.owner import CHANGE
from tests.integration.accounts.passkeys import SITE, with_passkey
from tests.support.authenticator import Authenticator
from tests.support.browser import Browser, parse, words

TEAM = f"/portals/{HARBOUR}/settings/team"
NEW = {"email": "new@harbour.test", "role": "staff"}


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PUBLIC_BASE_URL": SITE}


@pytest.fixture
def late(app: Flask) -> Iterator[tuple[Browser, Authenticator]]:
    """Ada, who has added a passkey, and sixteen minutes have passed."""
    with time_machine.travel(0, tick=False) as clock:
        clock.move_to("2026-03-01T12:00:00+00:00")
        browser, device = with_passkey(app)
        clock.shift(timedelta(minutes=16))
        yield browser, device


def fields(page: TestResponse) -> dict[str, str]:
    found = parse(page).select("#step-up-passkey input[type=hidden]")
    return {field["name"]: field.get("value", "") for field in found}


def signed(browser: Browser, device: Authenticator, page: TestResponse) -> str:
    address = parse(page).select_one("#step-up-passkey")["data-options"]
    options: dict[str, Any] = json.loads(browser.post(address, htmx=True).text)
    return device.sign(options)


def test_a_passkey_takes_the_place_of_a_code(late: tuple[Browser, Authenticator]) -> None:
    browser, device = late
    asked = browser.post(TEAM, NEW, htmx=True)
    assert parse(asked).select_one("#step-up-passkey") is None
    # From the dialog it leads to a page, where the script is.
    page = browser.post(TEAM, NEW | {"step_up_page": "1", "step_up_code": ""})
    assert (page.status_code, fields(page)["email"]) == (200, NEW["email"])
    answer = signed(browser, device, page)
    refused = browser.post(TEAM, fields(page) | {"credential": "nothing"})
    assert refused.status_code == 422
    assert "couldn't be verified" in words(parse(refused).select_one("#passkey-fault"))
    assert fields(refused)["email"] == NEW["email"]
    assert "nothing" not in fields(refused).values()
    done = browser.post(TEAM, fields(page) | {"credential": answer})
    assert (done.status_code, done.location) == (303, TEAM)
    assert browser.post(TEAM, NEW | {"email": "next@harbour.test"}).location == TEAM


def test_before_a_form_with_a_password_it_is_shown_on_a_page(late: tuple[Browser, Authenticator]) -> None:
    browser, device = late
    account = browser.get("/account")
    (link,) = parse(account).select('a[href^="/account/confirm"]')
    page = browser.get(link["href"])
    answer = signed(browser, device, page)
    action = parse(page).select_one("#step-up-passkey")["action"]
    done = browser.post(action, fields(page) | {"credential": answer})
    assert (done.status_code, done.location) == (303, "/account")
    assert parse(browser.get("/account")).select_one("input[name=step_up_code]") is None
    assert browser.post("/account/password", CHANGE).status_code == 303
    assert browser.get(link["href"]).location == "/account"
