"""Ada sets up an authenticator app, signs in with it, loses it and uses a recovery code, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.conftest import HARBOUR
from tests.integration.accounts.phone import Phone
from tests.integration.accounts.signing_in import ADA
from tests.support import axe
from tests.support.chromium import Person
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.browser

LANDING = f"**/portals/{HARBOUR}/settings/accounts"


def can_be_used(person: Person) -> None:
    """Axe finds nothing wrong by day and by night, and nothing scrolls sideways, not even in the narrowest window."""
    for width, by_night in ((1280, False), (375, True), (320, True)):
        person.looks(width, "dark" if by_night else "light")
        assert not person.scrolls_sideways(), width
        if width != 320:
            assert axe.violations(person.page) == []
    person.looks(1280)


def field(person: Person, label: str) -> Locator:
    return person.page.get_by_label(label, exact=True)


def give_password(person: Person) -> None:
    person.open("/login")
    field(person, "Email").fill(ADA)
    field(person, "Password").fill(PASSWORD)
    person.press("Sign in")
    expect(person.heading).to_have_text("One more step")


def test_an_app_is_set_up_and_lost(ada: Person, somebody: Callable[[], Person]) -> None:
    ada.open("/account")
    ada.page.get_by_role("link", name="Set up authenticator app").click()
    can_be_used(ada)
    field(ada, "Current password").fill(PASSWORD)
    ada.press("Set up authenticator app")
    expect(ada.page.get_by_role("img", name="QR code with the key for your authenticator app")).to_be_visible()
    ada.page.get_by_text("Can't scan? Type the key").click()
    can_be_used(ada)
    phone = Phone(ada.page.locator("code.key").inner_text().replace(" ", ""))
    ada.expects(422)
    field(ada, "Code from your app").fill("000000")
    ada.press("Turn on")
    expect(ada.page.get_by_text("This code isn't right.")).to_be_visible()
    expect(field(ada, "Code from your app")).to_be_focused()
    ada.page.keyboard.type(phone.code())
    ada.page.keyboard.press("Enter")
    expect(ada.heading).to_have_text("Your recovery codes")
    can_be_used(ada)
    expect(ada.page.get_by_role("button", name="Print")).to_be_visible()
    codes = ada.page.locator(".recovery-codes code").all_inner_texts()
    with ada.page.expect_download() as download:
        ada.press("Download as text")
    assert Path(download.value.path()).read_text().split("\n\n")[1].split() == codes
    ada.page.get_by_role("link", name="I've kept them").click()
    can_be_used(ada)

    # In another browser, with the phone.
    other = somebody()
    give_password(other)
    expect(field(other, "Code from your app")).to_be_focused()
    can_be_used(other)
    other.page.keyboard.type(phone.code(30))
    other.page.keyboard.press("Enter")
    other.page.wait_for_url(LANDING)

    # The phone is lost. A recovery code signs in, and the app is removed by another one.
    last = somebody()
    give_password(last)
    last.page.get_by_role("link", name="Use a recovery code instead").click()
    can_be_used(last)
    field(last, "Recovery code").fill(codes[0])
    last.press("Sign in")
    last.page.wait_for_url(LANDING)
    last.open("/account")
    last.page.get_by_role("link", name="Manage second factor").click()
    expect(last.page.get_by_text("9 recovery codes are left.")).to_be_visible()
    can_be_used(last)
    last.page.get_by_role("link", name="Remove authenticator app").click()
    can_be_used(last)
    field(last, "Or a code").fill(codes[1])
    last.press("Remove authenticator app")
    expect(last.page.get_by_role("status")).to_contain_text("The authenticator app is removed.")
    again = somebody()
    again.sign_in(ADA)
    again.page.wait_for_url(LANDING)
