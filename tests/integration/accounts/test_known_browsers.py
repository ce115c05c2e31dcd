"""A browser in which a person has signed in before has limits of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask

from app.core.clock import now
from tests.conftest import Outbox
from tests.integration.accounts.guessing import SAM, WRONG, fail_ten_times, reset_password
from tests.integration.accounts.signing_in import ADA
from tests.support.browser import Browser, parse
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.smtp import MailServer


def test_a_known_browser_has_ten_failures_of_its_own(app: Flask) -> None:
    known, other = Browser(app), Browser(app)
    for browser in (known, other):
        assert browser.sign_in(ADA, PASSWORD).status_code == 303
        browser.post("/logout")
    fail_ten_times(app, "127.0.0.1")
    assert [known.sign_in(ADA, WRONG).status_code for _ in range(10)] == [422] * 10
    assert known.sign_in(ADA, PASSWORD).status_code == 429
    assert other.sign_in(ADA, PASSWORD).status_code == 303
    with time_machine.travel(now() + timedelta(minutes=16)):
        assert known.sign_in(ADA, PASSWORD).status_code == 303


def test_a_browser_is_known_to_each_account_that_signed_in_there_and_to_no_other(app: Flask) -> None:
    shared = Browser(app)
    for email in (ADA, SAM):
        assert shared.sign_in(email, PASSWORD).status_code == 303
        shared.post("/logout")
    for email in (ADA, SAM, "olaf@alpine.test"):
        fail_ten_times(app, "127.0.0.1", email)
    assert [shared.sign_in(email, PASSWORD).status_code for email in (ADA, SAM)] == [303, 303]
    assert shared.sign_in("olaf@alpine.test", PASSWORD).status_code == 429


def test_a_token_is_genuine_and_of_the_present_password_or_worth_nothing(
    app: Flask, reconfigured: Callable[..., Flask], outbox: Outbox, mail_server: MailServer
) -> None:
    known = Browser(app)
    assert known.sign_in(ADA, PASSWORD).status_code == 303
    cookie = known.client.get_cookie("known_browser")
    assert cookie is not None
    token = cookie.value
    fail_ten_times(app, "127.0.0.1")

    def is_known(value: str, app: Flask = app) -> bool:
        browser = Browser(app)
        browser.client.set_cookie("known_browser", value)
        return browser.sign_in(ADA, PASSWORD).status_code == 303

    user_id, browser_id, signature = token.split(".")
    assert is_known(token)
    for forged in (
        "",
        "~",
        "x",
        f"{user_id}.{browser_id}.",
        f"{user_id}.other.{signature}",
        token[:-1],
        f"~.~{'x' * 3000}",
    ):
        assert not is_known(forged), forged
    # The key may be rotated.
    newer = {"SECRET_KEY": "another key for tests and nothing else"}
    former = str(app.config["SECRET_KEY"])
    assert not is_known(token, reconfigured(**newer))
    assert is_known(token, reconfigured(**newer, SECRET_KEY_FALLBACKS=former))

    reset_password(Browser(app), outbox, mail_server)
    fail_ten_times(app, "127.0.0.1")
    stolen = Browser(app)
    stolen.client.set_cookie("known_browser", token)
    assert stolen.sign_in(ADA, OTHER_PASSWORD).status_code == 429


@pytest.mark.parametrize("base_url, is_secure", [("http://clients.test", False), ("https://clients.test", True)])
def test_the_cookie_of_a_known_browser_is_kept_as_the_sessions_is(
    reconfigured: Callable[..., Flask], base_url: str, is_secure: bool
) -> None:
    client = reconfigured(PUBLIC_BASE_URL=base_url).test_client()
    mounted = "https://localhost/clients"
    token = parse(client.get("/login", base_url=mounted)).select_one("[name=csrf_token]")
    assert token is not None
    typed = {"email": ADA, "password": PASSWORD, "csrf_token": token["value"]}
    signed_in = client.post("/login", data=typed, base_url=mounted)
    (cookie,) = [one for one in signed_in.headers.getlist("Set-Cookie") if one.startswith("known_browser=")]
    flags = {flag.strip() for flag in cookie.split(";")[1:] if "Expires" not in flag}
    assert flags == {"HttpOnly", "Path=/clients", "SameSite=Lax", "Max-Age=31536000"} | (
        {"Secure"} if is_secure else set()
    )
