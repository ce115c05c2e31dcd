"""Posts to the links of our mails: so many of one link, and of all of them together, from one network."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import process_time

import pytest
import time_machine
from flask import Flask
from sqlalchemy import insert
from werkzeug.test import TestResponse

from app.core.links import LinkClaim, LinkKind, make_token
from app.db import rate_limits
from app.db.transactions import transaction
from app.models import RateLimitHit
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, path_of, words
from tests.support.factories import counted_as, make_user

NORD = "info@nordwind.test"
WEAK = {"name": "Nora Wind", "password": "short"}
STRONG = {"name": "Nora Wind", "password": "a long enough passphrase"}
HERE, ELSEWHERE = "203.0.113.7", "203.0.113.8"


class Caller:
    """A browser that calls from an address."""

    def __init__(self, app: Flask, address: str = HERE) -> None:
        self._browser = Browser(app)
        self._browser.client.environ_base["REMOTE_ADDR"] = address

    def post(self, path: str, form: dict[str, str] | None = None) -> TestResponse:
        return self._browser.post(path, form or {})

    def get(self, path: str) -> TestResponse:
        return self._browser.get(path)


@pytest.fixture
def caller(app: Flask) -> Caller:
    return Caller(app)


@pytest.fixture
def link(app_driver: AppDriver) -> str:
    return path_of(app_driver.link(app_driver.invite(NORD)))


def have_posted(app_driver: AppDriver, times: int, network: str = HERE) -> None:
    """Let a network have posted to all sorts of links half an hour ago."""
    key = rate_limits.Limit("posts-of-all-links", 300, timedelta(hours=1)).key(network)

    def write() -> None:
        with transaction() as session:
            hit = {"key": key, "at": datetime.now(UTC) - timedelta(minutes=30)}
            session.execute(insert(RateLimitHit), [hit] * times)

    app_driver.do(write)


@pytest.mark.both_databases
def test_twenty_posts_of_one_link_and_then_the_form_says_when_again_and_keeps_the_name(
    caller: Caller, link: str
) -> None:
    assert [caller.post(link, WEAK).status_code for _ in range(21)] == [422] * 20 + [429]
    refused = caller.post(link, STRONG)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 901
    page = parse(refused)
    assert "please try again in 15 min." in words(page.select_one("[role=alert]"))
    assert page.select_one("input[name=name]")["value"] == "Nora Wind"
    assert page.select_one("input[name=password]").get("value") is None
    assert caller.get(link).status_code == 200
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=16)):
        assert caller.post(link, STRONG).status_code == 303


def test_nobody_else_is_hindered(app: Flask, caller: Caller, link: str, app_driver: AppDriver) -> None:
    other_link = path_of(app_driver.link(app_driver.invite("post@berghof.test")))
    with counted_as(app, 20):
        assert caller.post(link, WEAK).status_code == 422
    assert caller.post(link, WEAK).status_code == 429
    assert caller.post(other_link, STRONG).status_code == 303
    assert Caller(app, ELSEWHERE).post(link, STRONG).status_code == 303


def test_an_ipv6_network_is_one_caller(app: Flask, link: str) -> None:
    with counted_as(app, 19):
        assert Caller(app, "2001:db8:1:2::1").post(link, WEAK).status_code == 422
    assert Caller(app, "2001:db8:1:2::2").post(link, WEAK).status_code == 422
    assert Caller(app, "2001:db8:1:2:ffff::1").post(link, WEAK).status_code == 429
    assert Caller(app, "2001:db8:1:3::1").post(link, WEAK).status_code == 422


def test_its_sub_actions_are_posts_of_the_link_as_well(app: Flask, caller: Caller, link: str) -> None:
    with counted_as(app, 10):
        assert caller.post(f"{link}/decline").status_code == 303
        assert caller.post(f"{link}/fresh").status_code == 303
    assert [caller.post(f"{link}{action}", WEAK).status_code for action in ("", "/decline", "/fresh")] == [429] * 3


@pytest.mark.parametrize("kind", [LinkKind.VERIFICATION, LinkKind.PASSWORD_RESET])
def test_links_of_accounts_are_limited_alike(app: Flask, caller: Caller, app_driver: AppDriver, kind: LinkKind) -> None:
    user_id = app_driver.do(make_user, NORD, "Nora Wind", verified=False)
    user = app_driver.user(NORD)
    generation = user.verification_generation if kind is LinkKind.VERIFICATION else user.reset_generation
    path = f"/{kind}/{app_driver.do(make_token, kind, LinkClaim(str(user_id), generation))}"
    chosen = "new_password" if kind is LinkKind.VERIFICATION else "password"
    with counted_as(app, 19):
        assert caller.post(path, {chosen: "short"}).status_code == 422
    assert caller.post(path, {chosen: "short"}).status_code == 422
    refused = caller.post(path, {"name": "Nora Wind", chosen: STRONG["password"]})
    assert refused.status_code == 429
    page = parse(refused)
    assert "please try again in 15 min." in words(page.select_one("[role=alert]"))
    assert page.select_one("input[name=name]")["value"] == "Nora Wind"
    assert page.select_one(f"input[name={chosen}]").get("value") is None


def test_all_links_together_and_what_is_no_link(app: Flask, caller: Caller, app_driver: AppDriver, link: str) -> None:
    have_posted(app_driver, 299 - 25)
    # No link, so none that twenty posts would be the most of.
    with counted_as(app, 24):
        assert caller.post("/invitations/never.made", STRONG).status_code == 404
    assert caller.post("/invitations/never.made", STRONG).status_code == 404
    assert caller.post(link, WEAK).status_code == 422
    for path in (link, "/invitations/never.made", "/verify-email/never.made", "/password-reset/never.made"):
        refused = caller.post(path, STRONG)
        assert refused.status_code == 429
        assert "please try again in 30 min." in words(parse(refused))
    have_posted(app_driver, 300, ELSEWHERE)
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=31)):
        assert caller.post(link, STRONG).status_code == 303


def test_a_refusal_costs_nothing(app: Flask, caller: Caller, link: str) -> None:
    with counted_as(app, 20):
        caller.post(link, WEAK)
    began = process_time()
    for n in range(10):
        # Judged, each of these takes a second.
        assert caller.post(link, {"name": "Nora", "password": f"{n}" + "aB1$xY" * 20}).status_code == 429
    assert process_time() - began < 5


def test_to_ask_for_a_reset_is_no_post_of_a_link(caller: Caller, app_driver: AppDriver) -> None:
    have_posted(app_driver, 300)
    assert caller.post("/password-reset", {"email": NORD}).status_code == 303


def test_neighbours_in_the_network_do_not_keep_an_owner_from_choosing_a_new_password(
    caller: Caller, app_driver: AppDriver, link: str
) -> None:
    user_id = app_driver.do(make_user, NORD, "Nora Wind")
    reset = (
        f"/{LinkKind.PASSWORD_RESET}/{app_driver.do(make_token, LinkKind.PASSWORD_RESET, LinkClaim(str(user_id), 0))}"
    )
    have_posted(app_driver, 300)
    assert caller.post(link, STRONG).status_code == 429
    assert caller.post(f"{reset}x", STRONG).status_code == 429
    assert caller.post(reset, STRONG).status_code == 303


def test_one_network_of_a_mail_provider_unsubscribes_for_all_its_users(
    app: Flask, caller: Caller, app_driver: AppDriver, link: str
) -> None:
    client_id = app_driver.client(NORD).id
    token = app_driver.do(make_token, LinkKind.STOP_REMINDERS, LinkClaim(f"harbour.{client_id.hex}", 0))
    path = f"/{LinkKind.STOP_REMINDERS}/{token}"
    have_posted(app_driver, 300)
    assert caller.post(f"{path}x").status_code == 429
    with counted_as(app, 19):
        assert caller.post(path).status_code == 200
    assert [caller.post(path).status_code for _ in range(2)] == [200, 429]
    assert caller.get(path).status_code == 200
