"""Settings → Invitations: what holds for a portal's invitees, and each admin's own notice of who joins."""

from __future__ import annotations

import pytest

from app.extensions import db
from app.models import JoinNotice, Membership, Portal, Role
from tests.conftest import ALPINE, HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import PASSWORD, make_member

PAGE = f"/portals/{HARBOUR}/settings/invitations"
ADA, BEN = "ada@harbour.test", "ben@harbour.test"


def checked(browser: Browser) -> set[str]:
    return {field.get("id") or "" for field in parse(browser.get(PAGE)).select("form.settings input[checked]")}


def choice(browser: Browser) -> str:
    (found,) = parse(browser.get(PAGE)).select("input[name=join_notice][checked]")
    return str(found["value"])


def kept(app_driver: AppDriver, email: str = ADA) -> tuple[bool, bool, JoinNotice | None]:
    user_id = app_driver.user(email).id

    def read() -> tuple[bool, bool, JoinNotice | None]:
        portal = db.session.get_one(Portal, HARBOUR)
        notice = db.session.get_one(Membership, (HARBOUR, user_id)).join_notice
        return portal.sends_reminders, portal.gives_fresh_links, notice

    found: tuple[bool, bool, JoinNotice | None] = app_driver.do(read)
    return found


def test_at_first_there_are_fresh_links_and_neither_reminders_nor_notices(
    admin: Browser, app_driver: AppDriver
) -> None:
    assert kept(app_driver) == (False, True, None)
    assert {"sends_reminders", "gives_fresh_links"} & checked(admin) == {"gives_fresh_links"}
    assert choice(admin) == "off"


def test_saving_says_so_and_is_seen(admin: Browser, app_driver: AppDriver) -> None:
    saved = admin.post(PAGE, {"sends_reminders": "1", "join_notice": "daily"})
    assert (saved.status_code, saved.location) == (303, PAGE)
    assert words(parse(admin.get(PAGE)).select_one("#page-status")) == "Saved."
    assert kept(app_driver) == (True, False, JoinNotice.DAILY)
    assert {"sends_reminders", "gives_fresh_links"} & checked(admin) == {"sends_reminders"}
    assert choice(admin) == "daily"
    admin.post(PAGE, {"gives_fresh_links": "1", "join_notice": "off"})
    assert kept(app_driver) == (False, True, None)


def test_the_notice_is_each_admins_own(admin: Browser, nobody: Browser, app_driver: AppDriver) -> None:
    app_driver.do(make_member, HARBOUR, BEN, "Ben Holm", Role.CLIENT_ADMIN)
    nobody.sign_in(BEN, PASSWORD)
    nobody.post(PAGE, {"join_notice": "at_once"})
    admin.post(PAGE, {"join_notice": "daily", "sends_reminders": "1"})
    assert kept(app_driver, BEN) == (True, False, JoinNotice.AT_ONCE)
    assert kept(app_driver, ADA) == (True, False, JoinNotice.DAILY)
    assert choice(nobody) == "at_once"


def test_what_is_saved_again_does_not_begin_the_day_anew(admin: Browser, app_driver: AppDriver) -> None:
    admin.post(PAGE, {"join_notice": "daily"})
    before = app_driver.dump()
    admin.post(PAGE, {"join_notice": "daily"})
    assert app_driver.dump() == before


@pytest.mark.parametrize("wrong", ["weekly", "", "None"])
def test_an_unknown_choice_is_told_and_nothing_saved(admin: Browser, app_driver: AppDriver, wrong: str) -> None:
    before = app_driver.dump()
    refused = admin.post(PAGE, {"join_notice": wrong, "sends_reminders": "1"})
    assert refused.status_code == 422
    assert words(parse(refused).select_one("#join_notice-error"))
    assert app_driver.dump() == before


def test_only_client_admins_of_the_portal_see_and_change_it(
    staff: Browser, stranger: Browser, joined_client: Browser, nobody: Browser, admin: Browser, app_driver: AppDriver
) -> None:
    before = app_driver.dump()
    for browser, status in [(staff, 403), (joined_client, 403), (stranger, 404)]:
        assert browser.get(PAGE).status_code == status
        assert browser.post(PAGE, {"join_notice": "daily"}).status_code == status
    assert nobody.get(PAGE).status_code == 302
    assert admin.post(PAGE, {"join_notice": "daily"}, csrf=False).status_code == 400
    assert app_driver.dump() == before
    assert PAGE not in staff.get(ic(HARBOUR)).text
    assert PAGE in admin.get(ic(HARBOUR)).text


def test_another_portal_keeps_its_own(admin: Browser, stranger: Browser) -> None:
    admin.post(PAGE, {"sends_reminders": "1", "join_notice": "daily"})
    page = parse(stranger.get(f"/portals/{ALPINE}/settings/invitations"))
    assert page.select_one("#sends_reminders[checked]") is None
    assert page.select_one("#gives_fresh_links[checked]") is not None
