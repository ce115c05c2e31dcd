"""Somebody adds a passkey and signs in with it, in a real browser whose authenticator is Chromium's own virtual one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import CDPSession, expect

from app.models import Role
from tests.browser.table_parts import told
from tests.browser.test_required_factor_journey import forget_confirmation
from tests.conftest import HARBOUR
from tests.integration.portals.team import NORA, SAM, TEAM
from tests.support import axe
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser as HeadlessBrowser
from tests.support.chromium import Person
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.live import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("own_windows")]

ADA = "ada@harbour.test"
WRONG = "not the password of anybody"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """By its name, since there are no passkeys for IP addresses."""
    server = LiveServer()
    server.url = f"http://localhost:{server.port}"
    yield server
    server.stop()


class Device:
    """The device at which a person sits. It says yes by itself, unless the person does not unlock it."""

    def __init__(self, person: Person) -> None:
        self._cdp: CDPSession = person.context.new_cdp_session(person.page)
        self._cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        self._id = self._cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]

    def is_unlocked(self, yes: bool) -> None:
        self._cdp.send("WebAuthn.setUserVerified", {"authenticatorId": self._id, "isUserVerified": yes})


@pytest.fixture
def ada(somebody: Callable[[], Person], admin: HeadlessBrowser) -> Person:
    person = somebody()
    person.is_signed_in_as(admin)
    return person


def test_a_passkey_from_adding_to_removing(ada: Person) -> None:
    device = Device(ada)
    page = ada.page
    ada.open("/account")
    form = page.locator("#new-passkey")
    fault = form.locator("[data-passkey-fault]")
    page.get_by_text("Add a passkey", exact=True).click()
    # A wrong password is said at its field, and nothing typed is lost.
    form.get_by_label("Name of the passkey").fill("Ada's laptop")
    form.get_by_label("Your password", exact=True).fill(WRONG)
    ada.expects(422)
    ada.press("Add passkey")
    expect(form.locator("#passkey_password-error")).to_contain_text("This is not your current password.")
    expect(form.get_by_label("Name of the passkey")).to_have_value("Ada's laptop")
    # She does not unlock it.
    device.is_unlocked(False)
    form.get_by_label("Your password", exact=True).fill(PASSWORD)
    ada.press("Add passkey")
    expect(fault).to_contain_text("No passkey was added: the request was cancelled, or took too long.")
    device.is_unlocked(True)
    ada.press("Add passkey")
    expect(page.get_by_text("Your passkey is added.")).to_be_visible()
    assert page.locator(".recovery-codes code").count() == 10
    page.get_by_role("link", name="I've kept them").click()
    passkey = page.locator("[data-passkey-id]")
    expect(passkey).to_contain_text("Ada's laptop")
    assert axe.violations(page) == []
    # The same device has one already.
    page.get_by_text("Add a passkey", exact=True).click()
    form.get_by_label("Your password", exact=True).fill(PASSWORD)
    ada.press("Add passkey")
    expect(fault).to_have_text("This device already has a passkey for your account.")

    # With a password, it is the second step.
    ada.context.clear_cookies()
    device.is_unlocked(False)
    ada.open("/login?next=/account")
    page.get_by_label("Email").fill(ADA)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    ada.press("Sign in")
    expect(page.get_by_text("Use your passkey to finish signing in.")).to_be_visible()
    assert axe.violations(page) == []
    ada.press("Sign in with a passkey")
    expect(page.locator("#passkey-fault")).to_contain_text("No passkey was used")
    device.is_unlocked(True)
    ada.press("Sign in with a passkey")
    expect(page).to_have_url(f"{ada.url}/account")

    # Without one, it is all that she needs.
    ada.context.clear_cookies()
    device.is_unlocked(False)
    ada.open(f"/login?next=/portals/{HARBOUR}/settings/accounts")
    page.get_by_label("Email").fill(ADA)
    ada.press("Sign in with a passkey")
    expect(page.locator("#passkey-fault")).to_contain_text("No passkey was used")
    expect(page.get_by_label("Email")).to_have_value(ADA)
    assert axe.violations(page) == []
    device.is_unlocked(True)
    ada.press("Sign in with a passkey")
    expect(page).to_have_url(f"{ada.url}/portals/{HARBOUR}/settings/accounts")

    # The field of the address offers it too. Chromium's virtual authenticator takes such an offer at once.
    ada.context.clear_cookies()
    ada.open("/login?next=/account")
    expect(page).to_have_url(f"{ada.url}/account")

    # Removed here, it is still on the device.
    passkey.get_by_text("Rename", exact=True).click()
    passkey.get_by_label("Name of this passkey").fill("My laptop")
    ada.press("Rename passkey")
    passkey = page.locator("[data-passkey-id]", has_text="My laptop")
    passkey.get_by_role("link", name="Remove").click()
    page.get_by_label("Current password", exact=True).fill(PASSWORD)
    assert axe.violations(page) == []
    ada.press("Remove passkey")
    expect(page.get_by_text("The passkey “My laptop” is removed.")).to_be_visible()
    expect(passkey).to_have_count(0)
    ada.context.clear_cookies()
    ada.expects(422)
    ada.open("/login")
    expect(page.locator("#passkey-fault")).to_contain_text("This passkey opens no account here")
    page.get_by_label("Email").fill(ADA)
    ada.press("Sign in with a passkey")
    expect(page.locator("#passkey-fault")).to_contain_text("This passkey opens no account here")
    expect(page.get_by_label("Email")).to_have_value(ADA)


def add_passkey(ada: Person) -> None:
    ada.open("/account")
    ada.page.get_by_text("Add a passkey", exact=True).click()
    ada.page.locator("#new-passkey").get_by_label("Your password", exact=True).fill(PASSWORD)
    ada.press("Add passkey")
    expect(ada.page.get_by_text("Your passkey is added.")).to_be_visible()


def test_a_sensitive_change_asks_for_it_again(ada: Person, app_driver: AppDriver) -> None:
    """In a dialog that comes with htmx, on the page between, and in a form that holds a password."""
    axe.make_ready(ada.context)
    device = Device(ada)
    add_passkey(ada)
    page, dialog = ada.page, ada.dialog
    use = dialog.get_by_role("button", name="Use a passkey")

    forget_confirmation(app_driver)
    ada.open(TEAM)
    sam = page.locator(f"tr[data-member-id='{app_driver.user(SAM).id}']")
    sam.get_by_role("button", name="Make client admin").click()
    expect(dialog).to_have_accessible_name("Confirm that it's you")
    expect(use).to_be_focused()
    expect(dialog.get_by_text("This needs a browser that supports passkeys")).to_be_hidden()
    assert axe.violations(page, "dialog") == []
    device.is_unlocked(False)
    use.click()
    expect(dialog.get_by_role("alert").filter(has_text="No passkey was used")).to_be_visible()
    device.is_unlocked(True)
    use.click()
    expect(told(ada)).to_have_text("Sam Lund is now a client admin.")
    assert app_driver.role(SAM) is Role.CLIENT_ADMIN

    # On the page between, which carries what was typed.
    forget_confirmation(app_driver)
    page.get_by_label("Email").fill(NORA)
    ada.press("Invite")
    expect(page.get_by_role("heading", name="Confirm that it's you")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").click()
    expect(told(ada)).to_contain_text(f"{NORA} is invited.")

    # A browser that knows no passkeys offers none.
    forget_confirmation(app_driver)
    plain = ada.context.new_page()
    plain.add_init_script("delete window.PublicKeyCredential")
    plain.goto("/account")
    asking = plain.locator("form[action$='/account/password']")
    expect(asking.get_by_text("This needs a browser that supports passkeys")).to_be_visible()
    expect(asking.locator("[data-use-passkey]")).to_be_hidden()
    plain.close()

    # Nothing that was typed is lost where the device is not unlocked.
    ada.open("/account")
    form = page.locator("form[action$='/account/password']")
    form.get_by_label("Current password").fill(PASSWORD)
    form.get_by_label("New password").fill(OTHER_PASSWORD)
    device.is_unlocked(False)
    form.get_by_role("button", name="Use a passkey").click()
    expect(form.get_by_role("alert").filter(has_text="No passkey was used")).to_be_visible()
    expect(form.get_by_label("New password")).to_have_value(OTHER_PASSWORD)
    assert axe.violations(page) == []
    device.is_unlocked(True)
    form.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_text("Your new password is saved.")).to_be_visible()


def test_a_browser_without_passkeys_is_told_so(ada: Person) -> None:
    ada.context.add_init_script("delete window.PublicKeyCredential")
    ada.open("/account")
    ada.page.get_by_text("Add a passkey", exact=True).click()
    expect(ada.page.get_by_text("To add a passkey, use a browser that supports passkeys")).to_be_visible()
    expect(ada.page.get_by_role("button", name="Add passkey")).to_be_hidden()
    ada.context.clear_cookies()
    ada.open("/login")
    expect(ada.page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    expect(ada.page.get_by_role("button", name="Sign in with a passkey")).to_be_hidden()


def test_at_another_name_of_the_site_the_right_one_is_named(ada: Person, server: LiveServer) -> None:
    """Where somebody opens the page by another name than the one that passkeys are bound to."""
    ada.open(f"http://other.localhost:{server.port}/login")
    ada.press("Sign in with a passkey")
    expect(ada.page.locator("#passkey-fault")).to_have_text(
        f"Passkeys work only at http://localhost:{server.port}. Open this page there."
    )
