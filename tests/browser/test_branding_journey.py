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
    choose_logo(ada, a_logo())
    expect(ada.page.get_by_alt_text("Current logo")).to_be_visible()

    # What is typed shows by itself, in light and dark.
    ada.page.get_by_label("Colour", exact=True).fill("#7a1f5c")
    ada.page.get_by_label("Greeting").fill("Welcome aboard, {company}!")
    expect(ada.page.get_by_text("Draft saved")).to_be_visible()
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
    expect(ada.page.get_by_text("No unpublished changes")).to_be_visible()

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
    expect(ada.page.get_by_text("Draft saved")).to_be_visible()
    ada.page.get_by_label("Colour", exact=True).fill("#654321")
    expect(ada.page.get_by_label("Pick the colour")).to_have_value("#654321")


def test_what_cannot_be_shown_is_said_beside_its_field_while_one_types(ada: Person) -> None:
    ada.open(BRANDING)
    ada.expects(422)
    greeting = ada.page.get_by_label("Greeting")
    greeting.fill("Dear {firma}")
    expect(greeting).to_have_accessible_description(re.compile("{firma} isn't a placeholder"))
    expect(greeting).to_have_attribute("aria-invalid", "true")
    expect(ada.page.get_by_role("status").filter(has_text="Not saved yet")).to_be_visible()
    expect(greeting).to_be_focused()
    expect(greeting).to_have_value("Dear {firma}")
    greeting.fill("Dear {company}")
    expect(ada.page.get_by_role("status").filter(has_text="Draft saved")).to_be_visible()
    expect(greeting).to_have_accessible_description("")
    expect(greeting).not_to_have_attribute("aria-invalid", "true")
    ada.press("Discard")
    expect(greeting).to_have_value("")


def test_a_logo_is_uploaded_when_it_is_chosen_and_nothing_typed_is_lost(ada: Person) -> None:
    ada.open(BRANDING)
    expect(ada.page.get_by_role("button", name="Upload logo")).to_be_hidden()
    ada.page.get_by_label("Name", exact=True).fill("Harbour & Friends")
    choose_logo(ada, a_logo())
    expect(ada.page.get_by_alt_text("Current logo")).to_be_visible()
    expect(ada.page.frame_locator("iframe.of-mail.in-light").get_by_alt_text("Harbour & Friends")).to_be_visible()
    expect(ada.page.get_by_label("Name", exact=True)).to_have_value("Harbour & Friends")
    # Enter saves what was typed. It neither publishes nor resets.
    ada.page.get_by_label("Subject").fill("Willkommen an Bord")
    ada.page.keyboard.press("Enter")
    expect(ada.page.get_by_role("status").filter(has_text="Draft saved. Only client admins")).to_be_visible()
    expect(ada.page.get_by_label("Subject")).to_have_value("Willkommen an Bord")
    ada.expects(422)
    choose_logo(ada, b"no picture")
    logo = ada.page.get_by_label("Replace the logo")
    expect(logo).to_have_accessible_description(re.compile("can't be read as a picture"))
    ada.press("Remove logo")
    expect(ada.page.get_by_alt_text("Current logo")).to_have_count(0)
    expect(ada.page.get_by_label("Upload a logo")).to_be_focused()


def test_publish_and_the_preview_are_in_view_wherever_one_is_in_the_form(ada: Person) -> None:
    ada.open(BRANDING)
    publish, preview = ada.page.get_by_role("button", name="Publish"), ada.page.get_by_role("heading", name="Preview")
    for field in ("Name", "Greeting"):
        ada.page.get_by_label(field, exact=True).scroll_into_view_if_needed()
        expect(publish).to_be_in_viewport(ratio=1)
        expect(preview).to_be_in_viewport(ratio=1)


def test_on_a_phone_the_sections_stand_in_one_row_with_the_current_one_in_view(ada: Person) -> None:
    ada.page.set_viewport_size({"width": 375, "height": 800})
    for section in ("invitations", "branding", "email", "webhooks", "embedding"):
        ada.open(f"/portals/{HARBOUR}/settings/{section}")
        sections = ada.page.get_by_role("navigation", name="Settings")
        expect(sections.locator("[aria-current=page]"), section).to_be_in_viewport(ratio=1)
        links = sections.get_by_role("link")
        tops = links.evaluate_all("links => links.map((link) => link.getBoundingClientRect().top)")
        assert len(tops) == 8, section
        assert len(set(tops)) == 1, section
        assert ada.page.evaluate("scrollY") == 0, section
        assert not ada.scrolls_sideways(), section


@pytest.mark.usefixtures("own_windows")
def test_what_is_to_be_pasted_elsewhere_is_copied(ada: Person) -> None:
    ada.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ada.open(f"/portals/{HARBOUR}/settings/embedding")
    ada.press("Copy")
    expect(ada.page.get_by_role("status").filter(has_text="Copied")).to_be_visible()
    assert f'portal="{HARBOUR}"' in ada.page.evaluate("navigator.clipboard.readText()")


def choose_logo(person: Person, picture: bytes) -> None:
    person.page.locator("#logo").set_input_files(FilePayload(name="logo.png", mimeType="image/png", buffer=picture))


def a_logo() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (300, 100), "#7a1f5c").save(file, "PNG")
    return file.getvalue()
