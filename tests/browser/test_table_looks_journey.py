"""The table can be read and used on a phone, light and dark, with more contrast and with forced colours."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import CORDOBA, NORDWIND
from tests.browser.table_parts import filter_button, number, theme_switch
from tests.support.chromium import Person
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

PHONE = 375


@pytest.mark.parametrize("width", [PHONE, 320])
def test_on_a_phone_rows_are_cards_and_every_button_can_be_reached(
    clients: None, ada: Person, mail_server: MailServer, width: int
) -> None:
    ada.looks(width)
    assert not ada.scrolls_sideways()
    cell = ada.cell(NORDWIND, "email_last_sent")
    assert "Email Last Sent" in cell.evaluate("cell => getComputedStyle(cell, '::before').content")
    ada.tick(NORDWIND, CORDOBA)
    expect(ada.selection).to_be_visible()
    assert not ada.scrolls_sideways()
    for button in [
        *(ada.button(email, name) for email in (NORDWIND, CORDOBA) for name in ("Resend Invite", "Remove")),
        *ada.selection.get_by_role("button").all(),
        filter_button(ada),
        theme_switch(ada),
    ]:
        button.click(trial=True)
    # What is said over the page does not hide what can be done with the ticked rows.
    ada.button(NORDWIND, "Resend Invite").click()
    expect(ada.page.locator("#page-status > [popover]")).to_be_visible()
    for button in ada.selection.get_by_role("button").all():
        button.click(trial=True)
    ada.selection.get_by_role("button", name="Clear").click()

    mail_server.wait_for(NORDWIND, count=2)
    ada.open_history(NORDWIND)
    expect(ada.panel).to_contain_text(NORDWIND)
    expect(ada.panel.get_by_role("button", name="Close")).to_be_in_viewport(ratio=1)
    ada.page.keyboard.press("Escape")
    ada.press("Filter")
    expect(ada.filters.get_by_role("button", name="Done")).to_be_in_viewport(ratio=1)
    assert not ada.scrolls_sideways()


def test_light_or_dark_is_chosen_with_a_button_and_stays(ada: Person) -> None:
    ada.looks(1280, "light")
    light = background(ada)
    theme_switch(ada).click()
    dark = background(ada)
    assert dark != light
    ada.page.reload()
    assert background(ada) == dark
    ada.looks(1280, "dark")
    assert background(ada) == dark
    theme_switch(ada).click()
    assert background(ada) == light
    ada.open("/portals")
    assert background(ada) == light


def test_who_wants_more_contrast_gets_it(clients: None, ada: Person) -> None:
    note = ada.row(NORDWIND).locator(".note").first
    text, box = ada.cell(NORDWIND, "company_name"), ada.page.locator(".table-box")
    assert style(note, "color") != style(text, "color")
    pale = style(box, "borderTopColor")
    ada.page.emulate_media(contrast="more")
    assert style(note, "color") == style(text, "color")
    assert style(box, "borderTopColor") != pale


def test_with_forced_colours_what_is_chosen_is_still_seen(clients: None, ada: Person) -> None:
    ada.page.emulate_media(forced_colors="active")
    number(ada, "joined").click()
    expect(number(ada, "joined")).to_have_attribute("aria-current", "true")
    tabs = ada.page.get_by_role("navigation", name="Accounts")
    for chosen, other in [
        (number(ada, "joined"), number(ada, "invited")),
        (tabs.get_by_role("link", name="Imported Clients"), tabs.get_by_role("link", name="All", exact=True)),
    ]:
        assert style(chosen, "backgroundColor") != style(other, "backgroundColor")
    number(ada, "invited").click()
    expect(ada.rows).to_have_count(3)
    badge, bulk_bar = ada.row(NORDWIND).locator(".badge"), ada.selection
    ada.tick(NORDWIND)
    for bordered in (badge, bulk_bar, ada.chips.first, filter_button(ada)):
        assert style(bordered, "borderTopStyle") == "solid"
    filter_button(ada).focus()
    ada.page.keyboard.press("Tab")
    assert style(ada.place, "outlineStyle") == "solid"
    ada.page.get_by_role("link", name="Activity").click()
    expect(ada.dialog).to_be_visible()
    invited, joined = ada.dialog.locator(".legend span").all()
    swatch = "span => getComputedStyle(span, '::before').backgroundColor"
    assert invited.evaluate(swatch) != joined.evaluate(swatch)


def test_nothing_moves_for_who_wants_it_still(clients: None, ada: Person) -> None:
    durations = "[...document.querySelectorAll('*')].flatMap(e => { const s = getComputedStyle(e);"
    durations += " return [s.transitionDuration, s.animationDuration] })"
    moving = f"{durations}.filter(duration => duration !== '0s').length"
    assert ada.page.evaluate(moving) == 0
    ada.page.emulate_media(reduced_motion="no-preference")
    assert ada.page.evaluate(moving) > 0


def style(place: Locator, name: str) -> str:
    return str(place.evaluate("(element, name) => getComputedStyle(element)[name]", name))


def background(person: Person) -> str:
    return style(person.page.locator("body"), "backgroundColor")
