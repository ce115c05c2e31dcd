"""The table shows many clients at once, and its head and its rows hold what an admin needs, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import NORDWIND, gather
from tests.browser.table_parts import filter_button
from tests.support.app_driver import AppDriver
from tests.support.chromium import Person
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

LONG_NAME = " ".join(["Nordwind"] * 11)
REPLY = "550 5.1.1 there has never been anybody of this name at this address, nor will there be"


def test_a_laptop_shows_at_least_twelve_whole_rows_under_a_head_that_stays(ada: Person, app_driver: AppDriver) -> None:
    gather(app_driver, 48)
    ada.looks(1280)
    ada.page.set_viewport_size({"width": 1280, "height": 900})
    ada.page.reload()
    expect(ada.result_count).to_have_text("1–25 of 48")
    heights = [row.bounding_box()["height"] for row in ada.rows.all()]
    assert 40 <= min(heights) <= max(heights) <= 44
    assert sum(box(row)["y"] + box(row)["height"] <= 900 for row in ada.rows.all()) >= 12
    assert not ada.scrolls_sideways()

    ada.rows.last.scroll_into_view_if_needed()
    head = ada.page.get_by_role("columnheader", name="Company Name", exact=True)
    expect(head).to_be_in_viewport(ratio=1)
    ada.rows.last.get_by_role("checkbox").check()
    expect(ada.selection).to_be_in_viewport(ratio=1)
    # What has the focus is not behind the head.
    ada.rows.nth(3).get_by_role("link").focus()
    assert box(ada.place)["y"] >= box(head)["y"] + box(head)["height"]


def test_a_phone_shows_the_first_client_without_scrolling(clients: None, ada: Person) -> None:
    ada.looks(375)
    ada.page.set_viewport_size({"width": 375, "height": 800})
    expect(ada.rows.first).to_be_in_viewport(ratio=1)
    assert box(filter_button(ada))["y"] == box(ada.page.locator("#add-client"))["y"]


def test_a_failed_row_says_why_in_one_line_and_leads_to_the_cure(
    ada: Person, app_driver: AppDriver, mail_server: MailServer
) -> None:
    mail_server.refuse[NORDWIND] = REPLY
    app_driver.invite(NORDWIND, LONG_NAME)
    ada.page.reload()
    reply = ada.cell(NORDWIND, "status").locator(".reason")
    expect(reply).to_have_text(f"Mail server's reply: {REPLY}")
    assert reply.get_attribute("title") == f"Mail server's reply: {REPLY}"
    name = ada.cell(NORDWIND, "company_name").get_by_role("link")
    assert name.get_attribute("title") == LONG_NAME
    for cut in (reply, name):
        assert cut.evaluate("e => e.scrollWidth > e.clientWidth && e.clientHeight < 30")
    expect(ada.button(NORDWIND, "Remove")).to_have_accessible_description(LONG_NAME)

    ada.cell(NORDWIND, "status").get_by_role("button", name="Edit and resend").click()
    expect(ada.dialog.get_by_label("Email Address")).to_have_value(NORDWIND)
    ada.page.keyboard.press("Escape")
    expect(ada.cell(NORDWIND, "status").get_by_role("button", name="Edit and resend")).to_be_focused()


def test_an_empty_table_offers_both_ways_to_begin(ada: Person) -> None:
    expect(ada.page.locator(".filter-tabs")).to_have_count(0)
    expect(ada.page.get_by_role("columnheader")).to_have_count(0)
    ada.page.get_by_role("button", name="Import from CSV").click()
    expect(ada.dialog).to_have_accessible_name("Import from CSV")
    ada.page.keyboard.press("Escape")
    expect(ada.page.get_by_role("button", name="Import from CSV")).to_be_focused()
    ada.page.get_by_role("button", name="Add a client").click()
    ada.type_client("Nordwind", NORDWIND)
    ada.dialog.get_by_role("button", name="Save").click()
    expect(ada.addresses).to_have_text([NORDWIND])
    expect(ada.result_count).to_have_text("1–1 of 1")
    # What had the focus is gone.
    expect(ada.place).to_be_visible()


def box(place: Locator) -> dict[str, float]:
    found = place.bounding_box()
    assert found is not None
    return dict(found)
