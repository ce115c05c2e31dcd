"""A portal requires a second factor: the banner, an open page when the time is over, and setting one up, in Chromium.

Then a sensitive change asks for it once more.
"""

from __future__ import annotations

from datetime import timedelta

import pyotp
import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from app.core.clock import now
from app.db.transactions import transaction
from app.models import LoginSession, Membership, Portal, Role
from tests.browser.table_parts import told
from tests.integration.accounts.phone import PAGE
from tests.integration.portals.team import SAM, TEAM
from tests.support import axe
from tests.support.app_driver import AppDriver
from tests.support.chromium import Person
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.browser


def let_days_pass(app_driver: AppDriver, days: int) -> None:
    """Let what the fourteen days are counted from have been so much earlier."""
    at = now() - timedelta(days=days)

    def change() -> None:
        with transaction() as session:
            session.execute(update(Portal).values(second_factor_required_at=at))
            session.execute(update(Membership).values(created_at=at))

    app_driver.do(change)


def forget_confirmation(app_driver: AppDriver) -> None:
    def change() -> None:
        with transaction() as session:
            session.execute(update(LoginSession).values(confirmed_at=now() - timedelta(minutes=16)))

    app_driver.do(change)


@pytest.mark.usefixtures("own_windows")
def test_the_walk_from_the_banner_to_the_second_factor(ada: Person, app_driver: AppDriver) -> None:
    axe.make_ready(ada.context)
    ada.open(TEAM)
    ada.page.get_by_label("Require a second factor of client admins and staff").check()
    ada.page.locator("#second-factor-form").get_by_role("button", name="Save").click()
    expect(told(ada)).to_contain_text("A second factor is required now.")
    sam = ada.page.locator(f"tr[data-member-id='{app_driver.user(SAM).id}']")
    expect(sam).to_have_attribute("data-second-factor", "no")
    expect(sam).to_contain_text("No · due in")
    banner = ada.page.locator("#second-factor-due")
    expect(banner).to_contain_text("After that you can't open this portal without it.")
    assert axe.violations(ada.page, "html") == []

    # The time is over while the page is open: the next press does nothing, and leads away.
    ada.expects(403)
    let_days_pass(app_driver, 15)
    sam.get_by_role("button", name="Make client admin").click()
    ada.page.wait_for_url(f"**{PAGE}")
    expect(ada.page.get_by_role("status")).to_contain_text("Harbour Tours requires a second factor of its team.")
    assert app_driver.role(SAM) is Role.STAFF
    ada.page.get_by_label("Current password").fill(PASSWORD)
    ada.press("Set up authenticator app")
    key = "".join((ada.page.locator("code.key").text_content() or "").split())
    ada.page.get_by_label("Code from your app").fill(pyotp.TOTP(key).now())
    ada.press("Turn on")
    expect(ada.page.locator(".recovery-codes code")).to_have_count(10)
    recovery = ada.page.locator(".recovery-codes code").first.inner_text()
    ada.open(TEAM)
    expect(banner).to_have_count(0)

    # Later, a change of a role asks once more, in a dialog, and goes on.
    forget_confirmation(app_driver)
    sam.get_by_role("button", name="Make client admin").click()
    expect(ada.dialog).to_have_accessible_name("Confirm that it's you")
    code = ada.dialog.get_by_label("Code from your app")
    expect(code).to_be_focused()
    assert axe.violations(ada.page, "dialog") == []
    code.fill(recovery)
    ada.dialog.get_by_role("button", name="Confirm and continue").click()
    expect(told(ada)).to_have_text("Sam Lund is now a client admin.")
    assert app_driver.role(SAM) is Role.CLIENT_ADMIN
    sam.get_by_role("button", name="Make staff").click()
    expect(sam).to_have_attribute("data-role", "staff")
