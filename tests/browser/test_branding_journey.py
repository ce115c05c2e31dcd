"""A portal gets its branding, in a real browser: draft, preview, publish, and what a client then sees."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, expect

from tests.browser.conftest import NORDWIND
from tests.conftest import HARBOUR
from tests.support.chromium import Person
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

BRANDING = f"/portals/{HARBOUR}/settings/branding"
PURPLE = "rgb(122, 31, 92)"


def test_an_admin_gives_the_portal_its_branding_and_clients_see_it_once_it_is_published(
    ada: Person, somebody: Callable[[], Person], mail_server: MailServer
) -> None:
    ada.open(BRANDING)
    expect(ada.page.locator("iframe.of-mail.in-light")).to_be_visible()
    ada.page.get_by_label("Picture").set_input_files(
        FilePayload(name="logo.png", mimeType="image/png", buffer=a_logo())
    )
    ada.press("Upload the logo")
    expect(ada.page.get_by_alt_text("The logo as it is now")).to_be_visible()

    # What is typed shows by itself, in light and dark.
    ada.page.get_by_label("Colour", exact=True).fill("#7a1f5c")
    ada.page.get_by_label("Greeting").fill("Welcome aboard, {company}!")
    expect(ada.page.get_by_text("Saved as a draft")).to_be_visible()
    shown = ada.page.frame_locator("iframe.of-mail.in-light")
    expect(shown.get_by_text("Welcome aboard, Nordwind Travel!")).to_be_visible()
    expect(shown.get_by_role("link", name="Accept the invitation")).to_have_css("background-color", PURPLE)
    ada.page.get_by_text("Registration page", exact=True).click()
    ada.page.get_by_text("Dark", exact=True).click()
    page = ada.page.frame_locator("iframe.of-page.in-dark")
    expect(page.get_by_role("button", name="Register")).to_have_css("background-color", PURPLE)
    expect(page.locator("main")).to_be_visible()
    expect(page.get_by_alt_text("Harbour Tours")).to_be_visible()

    ada.press("Publish")
    expect(ada.page.get_by_text("Published.")).to_be_visible()
    expect(ada.page.get_by_text("This is a draft")).to_have_count(0)

    ada.open_imported_clients(HARBOUR)
    ada.choose("Manual Add")
    ada.type_client("Nordwind Reisen", NORDWIND)
    ada.press("Save")
    mail = mail_server.wait_for(NORDWIND)
    assert "Welcome aboard, Nordwind Reisen!" in mail.text
    assert "cid:" in mail.html

    client = somebody()
    client.open(mail.link)
    expect(client.page.get_by_alt_text("Harbour Tours")).to_be_visible()
    expect(client.page.get_by_text("Welcome aboard, Nordwind Reisen!")).to_be_visible()
    expect(client.page.get_by_role("button", name="Register")).to_have_css("background-color", PURPLE)


def test_a_colour_that_is_picked_is_the_colour_that_is_typed(ada: Person) -> None:
    ada.open(BRANDING)
    ada.page.get_by_label("Pick the colour").fill("#123456")
    expect(ada.page.get_by_label("Colour", exact=True)).to_have_value("#123456")
    expect(ada.page.get_by_text("Saved as a draft")).to_be_visible()
    ada.page.get_by_label("Colour", exact=True).fill("#654321")
    expect(ada.page.get_by_label("Pick the colour")).to_have_value("#654321")


def test_what_cannot_be_shown_is_said_above_the_preview_while_one_types(ada: Person) -> None:
    ada.open(BRANDING)
    ada.expects(422)
    ada.page.get_by_label("Greeting").fill("Dear {firma}")
    expect(ada.page.get_by_text(re.compile("{firma} is no placeholder"))).to_be_visible()
    expect(ada.page.get_by_label("Greeting")).to_be_focused()
    expect(ada.page.get_by_label("Greeting")).to_have_value("Dear {firma}")


def a_logo() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (300, 100), "#7a1f5c").save(file, "PNG")
    return file.getvalue()
