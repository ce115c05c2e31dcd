"""A portal requires a second factor of its team: two weeks to set one up, and then no page without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine
from flask import Flask

from app.models import AuditKind, Role
from app.portals.service import grant_role
from tests.conftest import HARBOUR, Outbox
from tests.integration.accounts.owner import sign_in_with
from tests.integration.accounts.phone import PAGE as SET_UP
from tests.integration.accounts.phone import at_middle_of_step, set_up
from tests.integration.audit.trail import lines
from tests.integration.portals.team import ADA, CARLA, SAM, TEAM, prose
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import make_member
from tests.support.shell import hand_over, register, says, signed
from tests.support.smtp import MailServer

REQUIRE = f"{TEAM}/second-factor"
SUBJECT = "Harbour Tours now requires a second factor"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(at_middle_of_step(), tick=False) as clock:
        yield clock


@pytest.fixture
def require(app: Flask) -> Callable[..., Browser]:
    """Ada switches it on or off. Returns her browser."""

    def switch(*, on: bool = True) -> Browser:
        browser = sign_in_with(app)
        answer = browser.post(REQUIRE, {"require_second_factor": "1"} if on else {})
        assert (answer.status_code, answer.location) == (303, TEAM)
        return browser

    return switch


def banner(browser: Browser) -> str:
    """What the page of the clients says of it."""
    found = parse(browser.get(ic(HARBOUR))).select_one("#second-factor-due")
    return words(found) if found else ""


def shut_out(browser: Browser) -> bool:
    return bool(browser.get(ic(HARBOUR)).location == SET_UP)


def test_two_weeks_a_banner_and_then_the_set_up_alone(
    app: Flask,
    app_driver: AppDriver,
    require: Callable[..., Browser],
    clock: time_machine.Traveller,
    outbox: Outbox,
    mail_server: MailServer,
) -> None:
    admin = require()
    staff = sign_in_with(app, email=SAM)
    assert words(parse(admin.get(TEAM)).select_one("#page-status p")) == "A second factor is required now."
    for browser in (admin, staff):
        assert "This portal requires a second factor of its team." in banner(browser)
        assert parse(browser.get(ic(HARBOUR))).select_one("#second-factor-due a")["href"] == SET_UP
    told = [line for line in lines(app_driver) if line.kind is AuditKind.SECOND_FACTOR_REQUIRED]
    assert [(line.actor, line.change) for line in told] == [(ADA, {"require_second_factor": [False, True]})]
    outbox.flush()
    mails = [mail for mail in mail_server.mails if mail.message["Subject"] == SUBJECT]
    assert sorted(mail.recipient for mail in mails) == [ADA, SAM]
    assert "Set one up by" in prose(mails[0])
    assert mails[0].link.endswith("/account/second-factor")
    # Pressed again, it is no news, and nobody gets more time.
    admin.post(REQUIRE, {"require_second_factor": "1"})
    clock.shift(timedelta(days=14, minutes=-1))
    assert not shut_out(sign_in_with(app, email=SAM))
    clock.shift(timedelta(minutes=2))

    staff = sign_in_with(app, email=SAM)
    for path in (ic(HARBOUR), f"{ic(HARBOUR)}/export.csv", f"/portals/{HARBOUR}/settings/accounts"):
        assert (staff.get(path).status_code, staff.get(path).location) == (303, SET_UP)
    fragment = staff.get(f"{ic(HARBOUR)}/table", htmx=True)
    assert (fragment.status_code, fragment.headers["HX-Redirect"], fragment.data) == (403, SET_UP, b"")
    assert "Harbour Tours requires a second factor" in words(parse(staff.get(SET_UP)).select_one("#page-status"))
    assert staff.get("/portals").status_code == 200
    # An admin, too, who required it and has none: by nothing they post is it off again.
    late = sign_in_with(app)
    assert late.post(REQUIRE, {}).location == SET_UP
    assert parse(sign_in_with(app, email=CARLA).get("/portals")).select_one("main")

    set_up(staff)
    assert staff.get(ic(HARBOUR)).status_code == 200
    assert banner(staff) == ""


def test_the_team_page_says_who_has_one(
    app: Flask, app_driver: AppDriver, require: Callable[..., Browser], clock: time_machine.Traveller
) -> None:
    admin = sign_in_with(app)
    assert factors(admin, app_driver) == {ADA: ("no", "No"), SAM: ("no", "No")}
    require()
    set_up(sign_in_with(app, email=SAM))
    shown = factors(admin, app_driver)
    assert shown[SAM] == ("yes", "Yes")
    assert shown[ADA][1] == "No · due in 2 weeks"
    assert parse(admin.get(TEAM)).select_one("#require_second_factor").has_attr("checked")
    require(on=False)
    assert factors(admin, app_driver)[ADA] == ("no", "No")
    assert not parse(admin.get(TEAM)).select_one("#require_second_factor").has_attr("checked")
    # Required anew, everybody has two weeks again.
    clock.shift(timedelta(days=5))
    require()
    clock.shift(timedelta(days=13))
    assert not shut_out(sign_in_with(app))
    clock.shift(timedelta(days=1, minutes=1))
    assert shut_out(sign_in_with(app))


def factors(browser: Browser, app_driver: AppDriver) -> dict[str, tuple[str, str]]:
    rows = parse(browser.get(TEAM)).select("tr[data-member-id]")
    return {
        words(row.select_one("[data-col=email]")): (
            row["data-second-factor"],
            words(row.select_one("[data-col=second_factor]")),
        )
        for row in rows
    }


def test_who_gets_the_role_later_gets_two_weeks_from_then(
    app: Flask, app_driver: AppDriver, require: Callable[..., Browser], clock: time_machine.Traveller
) -> None:
    require()
    admin = sign_in_with(app)
    set_up(admin)
    clock.shift(timedelta(days=10))
    app_driver.do(make_member, HARBOUR, "ben@harbour.test", "Ben Dahl", Role.STAFF)
    # Carla has been a client all along.
    app_driver.do(make_staff, CARLA)
    clock.shift(timedelta(days=14, minutes=-1))
    for email in ("ben@harbour.test", CARLA):
        assert not shut_out(sign_in_with(app, email=email))
    assert shut_out(sign_in_with(app, email=SAM))
    # Another role of the team gives no more time.
    app_driver.do(make_admin, CARLA)
    clock.shift(timedelta(minutes=2))
    for email in ("ben@harbour.test", CARLA):
        assert shut_out(sign_in_with(app, email=email))


def make_staff(email: str) -> None:
    grant_role(HARBOUR, email, Role.STAFF)


def make_admin(email: str) -> None:
    grant_role(HARBOUR, email, Role.CLIENT_ADMIN)


def test_people_of_a_shell_are_never_asked(
    app: Flask,
    app_driver: AppDriver,
    require: Callable[..., Browser],
    clock: time_machine.Traveller,
    outbox: Outbox,
    mail_server: MailServer,
) -> None:
    register(app, HARBOUR)
    assert hand_over(Browser(app)).status_code == 303
    require()
    outbox.flush()
    told = [mail.recipient for mail in mail_server.mails if mail.message["Subject"] == SUBJECT]
    assert "hanna@shell.test" not in told
    clock.shift(timedelta(days=15))
    browser = Browser(app)
    token = signed(says())
    assert hand_over(browser, token).status_code == 303
    page = browser.get(ic(HARBOUR))
    assert page.status_code == 200
    assert parse(page).select_one("#second-factor-due") is None


def test_it_is_for_client_admins_to_decide(app: Flask) -> None:
    staff = sign_in_with(app, email=SAM)
    assert staff.post(REQUIRE, {"require_second_factor": "1"}).status_code == 403
    assert banner(staff) == ""
