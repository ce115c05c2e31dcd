"""The table as a place to work, in a real browser: filters, order, pages, rows that live, and how all of it looks."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Locator, Request, expect

from app.core.clock import now
from tests.browser.conftest import BERGHOF, CORDOBA, CROWD, NORDWIND, gather, join
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import ic
from tests.support.chromium import SECONDS, Person
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

PHONE = 375
AT_THE_TAB = re.compile(f"{ic(HARBOUR)}$")


# Filters


def test_a_filter_is_a_draft_until_done_and_then_it_is_in_the_address_for_everybody(
    clients: None, ada: Person, bert: Person, app_driver: AppDriver
) -> None:
    join(app_driver, BERGHOF)
    expect(ada.row(BERGHOF)).to_contain_text("Joined")
    ada.press("Filter")
    expect(ada.filters).to_be_visible()
    ada.filters.get_by_label("Invite Sent").check()
    ada.filters.get_by_label("Company Name").fill("RDOB")
    ada.filters.get_by_label("Email").fill("HOLA@")
    expect(ada.rows).to_have_count(3)
    expect(ada.page).to_have_url(AT_THE_TAB)
    expect(ada.result_count).to_have_text("3 clients")
    expect(ada.chips).to_have_count(0)

    ada.filters.get_by_role("button", name="Done").click()
    expect(ada.addresses).to_have_text([CORDOBA])
    expect(ada.filters).to_be_hidden()
    expect(filter_button(ada)).to_be_focused()
    expect(ada.result_count).to_have_text("1 client matches")
    expect(ada.chips).to_have_text([re.compile("^Invite Sent"), re.compile("RDOB"), re.compile("HOLA@")])
    expect(ada.page).to_have_url(re.compile(r"\?status=invite_sent&company_name=RDOB&email=HOLA(@|%40)$"))

    bert.open(ada.page.url)
    expect(bert.addresses).to_have_text([CORDOBA])
    expect(bert.chips).to_have_count(3)
    bert.press("Filter")
    expect(bert.filters.get_by_label("Invite Sent")).to_be_checked()
    expect(bert.filters.get_by_label("Joined")).not_to_be_checked()
    expect(bert.filters.get_by_label("Company Name")).to_have_value("RDOB")
    expect(bert.filters.get_by_label("Email")).to_have_value("HOLA@")


def test_a_chip_takes_one_filter_away_and_clear_takes_all(clients: None, ada: Person) -> None:
    filter_by(ada, "o", status="Invite Sent", email="info")
    expect(ada.chips).to_have_count(3)
    expect(ada.addresses).to_have_text([NORDWIND])
    ada.page.get_by_role("link", name="Remove filter Email: info").click()
    expect(ada.chips).to_have_count(2)
    expect(ada.addresses).to_have_text([CORDOBA, BERGHOF, NORDWIND])
    expect(ada.result_count).to_have_text("3 clients match")
    expect(filter_button(ada)).to_be_focused()

    ada.page.get_by_role("link", name="Clear", exact=True).click()
    expect(ada.chips).to_have_count(0)
    expect(ada.page).to_have_url(AT_THE_TAB)
    expect(filter_button(ada)).to_be_focused()


def test_what_was_cleared_is_not_ticked_in_the_panel_any_more(clients: None, ada: Person) -> None:
    filter_by(ada, "berg", status="Joined")
    expect(ada.page.get_by_text("No client matches")).to_be_visible()
    ada.page.get_by_role("link", name="Clear", exact=True).click()
    expect(ada.rows).to_have_count(3)
    ada.press("Filter")
    expect(ada.filters.get_by_label("Joined")).not_to_be_checked()
    expect(ada.filters.get_by_label("Company Name")).to_have_value("")
    ada.filters.get_by_role("button", name="Done").click()
    expect(ada.filters).to_be_hidden()
    expect(ada.rows).to_have_count(3)


def test_back_goes_to_the_view_before_and_everything_works_there(clients: None, ada: Person) -> None:
    filter_by(ada, "berg")
    expect(ada.addresses).to_have_text([BERGHOF])
    sort_link(ada, "Email").click()
    expect(ada.page).to_have_url(re.compile("sort=email"))
    ada.page.go_back()
    expect(ada.page).to_have_url(re.compile(r"\?company_name=berg$"))
    expect(ada.addresses).to_have_text([BERGHOF])
    expect(header(ada, "Email")).to_have_attribute("aria-sort", "none")
    ada.page.go_back()
    expect(ada.page).to_have_url(AT_THE_TAB)
    expect(ada.rows).to_have_count(3)
    expect(ada.chips).to_have_count(0)
    ada.press("Filter")
    expect(ada.filters.get_by_label("Company Name")).to_have_value("")
    ada.page.keyboard.press("Escape")

    # What the scripts do, they do on the page that came back as well.
    expect(theme_switch(ada)).to_be_visible()
    ada.button(BERGHOF, "Remove").click()
    expect(ada.dialog).to_be_visible()
    ada.page.keyboard.press("Escape")
    expect(ada.dialog).to_be_hidden()
    expect(ada.page.locator("#dialog-content")).to_be_empty()
    expect(ada.button(BERGHOF, "Remove")).to_be_focused()
    ada.button(BERGHOF, "Remove").click()
    ada.dialog.get_by_role("button", name="Remove").click()
    expect(ada.row(BERGHOF)).to_have_count(0)
    ada.page.go_forward()
    expect(ada.page).to_have_url(re.compile(r"\?company_name=berg$"))
    expect(ada.page.get_by_text("No client matches")).to_be_visible()


def test_each_number_above_the_table_is_a_filter(
    clients: None, ada: Person, app_driver: AppDriver, mail_server: MailServer
) -> None:
    mail_server.refuse["full@mailbox.test"] = "550 no such user"
    app_driver.invite("full@mailbox.test", "Full")
    app_driver.let_link_lapse(app_driver.client(NORDWIND).id, now() - timedelta(days=1))
    join(app_driver, BERGHOF)
    expect(number(ada, "failed")).to_contain_text("1")
    expect(number(ada, "joined")).to_contain_text("1")
    for name, shown in [
        ("invited", ["full@mailbox.test", CORDOBA, NORDWIND]),
        ("waiting", []),
        ("failed", ["full@mailbox.test"]),
        ("expired", [NORDWIND]),
        ("joined", [BERGHOF]),
        ("attention", ["full@mailbox.test", NORDWIND]),
    ]:
        expect(number(ada, name).locator("strong")).to_have_text(str(len(shown)))
        number(ada, name).click()
        expect(number(ada, name)).to_have_attribute("aria-current", "true")
        expect(number(ada, name)).to_be_focused()
        expect(ada.addresses).to_have_text(shown)
        expect(ada.chips).to_have_count(1)
        expect(ada.page.locator("[aria-current=true][id^=glance-]")).to_have_count(1)
    expect(ada.chips).to_have_text([re.compile("^Needs attention")])
    expect(ada.page).to_have_url(re.compile(r"\?health=attention$"))


def test_the_last_weeks_are_a_picture_and_a_table(clients: None, ada: Person, app_driver: AppDriver) -> None:
    join(app_driver, BERGHOF)
    ada.page.get_by_role("link", name="Last 12 weeks").click()
    expect(ada.dialog).to_have_accessible_name("Last 12 weeks")
    expect(ada.dialog.get_by_role("img")).to_be_visible()
    expect(ada.dialog.locator("rect")).to_have_count(24)
    ada.dialog.get_by_text("The numbers", exact=True).click()
    expect(ada.dialog.get_by_role("row")).to_have_count(13)
    expect(ada.dialog.get_by_role("row").nth(1).get_by_role("cell")).to_have_text(["3", "1"])
    ada.page.keyboard.press("Escape")
    expect(ada.page.get_by_role("link", name="Last 12 weeks")).to_be_focused()


# Order and pages


@pytest.mark.parametrize("by_keyboard", [False, True])
def test_a_header_sorts_and_says_how(clients: None, ada: Person, by_keyboard: bool) -> None:
    name = header(ada, "Company Name")
    expect(name).to_have_attribute("aria-sort", "none")
    for order, addresses in [
        ("ascending", [BERGHOF, CORDOBA, NORDWIND]),
        ("descending", [NORDWIND, CORDOBA, BERGHOF]),
        ("ascending", [BERGHOF, CORDOBA, NORDWIND]),
    ]:
        if by_keyboard:
            ada.tab_to(sort_link(ada, "Company Name"))
            ada.page.keyboard.press("Enter")
        else:
            sort_link(ada, "Company Name").click()
        expect(name).to_have_attribute("aria-sort", order)
        expect(ada.addresses).to_have_text(addresses)
        expect(sort_link(ada, "Company Name")).to_be_focused()
    sort_link(ada, "Email Last Sent").click()
    expect(header(ada, "Email Last Sent")).to_have_attribute("aria-sort", "ascending")
    expect(name).to_have_attribute("aria-sort", "none")
    expect(ada.page).to_have_url(re.compile("sort=email_last_sent"))


def test_pages_keep_the_view_and_the_focus(crowd: list[str], clients: None, ada: Person, bert: Person) -> None:
    filter_by(ada, "company")
    sort_link(ada, "Company Name").click()
    expect(ada.addresses).to_have_text(crowd[:25])
    expect(ada.result_count).to_have_text(f"{CROWD} clients match")
    expect(ada.page.get_by_role("link", name="Previous page")).to_have_count(0)

    ada.page.get_by_role("link", name="Next page").click()
    expect(ada.addresses).to_have_text(crowd[25:])
    expect(ada.page).to_have_url(re.compile(r"\?company_name=company&sort=company_name&after="))
    expect(ada.page.get_by_role("link", name="Next page")).to_have_count(0)
    expect(ada.page.get_by_role("link", name="Previous page")).to_be_focused()
    bert.open(ada.page.url)
    expect(bert.addresses).to_have_text(crowd[25:])
    ada.page.reload()
    expect(ada.addresses).to_have_text(crowd[25:])

    ada.tab_to(ada.page.get_by_role("link", name="Previous page"), presses=120)
    ada.page.keyboard.press("Enter")
    expect(ada.addresses).to_have_text(crowd[:25])
    expect(ada.page).to_have_url(re.compile(r"\?company_name=company&sort=company_name&before="))
    expect(ada.page.get_by_role("link", name="Next page")).to_be_focused()

    ada.page.get_by_role("navigation", name="Pages").get_by_role("link", name="50").click()
    expect(ada.addresses).to_have_text(crowd)
    expect(ada.page).to_have_url(re.compile(r"\?company_name=company&sort=company_name&size=50$"))


def test_whoever_empties_a_page_sees_the_nearest_one(ada: Person, bert: Person, app_driver: AppDriver) -> None:
    crowd = gather(app_driver, 75)
    for person in (ada, bert):
        person.open(f"{ic(HARBOUR)}?sort=company_name")
        expect(person.addresses).to_have_text(crowd[:25])
    for shown in (crowd[25:50], crowd[50:]):
        ada.page.get_by_role("link", name="Next page").click()
        expect(ada.addresses).to_have_text(shown)

    remove_the_page(ada)
    expect(ada.addresses).to_have_text(crowd[25:50])
    expect(ada.result_count).to_have_text("50 clients")
    expect(ada.page.get_by_text("This is the last page now.")).to_be_visible()
    expect(ada.page.get_by_role("link", name="Next page")).to_have_count(0)

    # Else her table has followed before she presses anything.
    ada.looks_away()
    remove_the_page(bert)
    expect(bert.addresses).to_have_text(crowd[25:50])
    ada.page.get_by_role("link", name="Previous page").click()
    expect(ada.result_count).to_have_text("25 clients")
    expect(ada.addresses).to_have_text(crowd[25:50])
    expect(ada.page.get_by_role("navigation", name="Pages")).to_have_count(0)


# Rows that live


@pytest.mark.parametrize("open_meanwhile", ["nothing", "menu", "filters", "dialog"])
def test_a_mail_that_was_sent_is_seen_without_a_reload_and_nobody_loses_the_place(
    ada: Person, app_driver: AppDriver, mail_server: MailServer, open_meanwhile: str
) -> None:
    with mail_server.answering_nobody():
        for company_name, email in [("Nordwind", NORDWIND), ("Berghof", BERGHOF)]:
            app_driver.invite(email, company_name)
        ada.page.reload()
        ada.page.evaluate("window.isTheSamePage = true")
        ada.tick(BERGHOF)
        place = go_to_work(ada, open_meanwhile)
        expect(place).to_be_focused()
        assert ada.row(NORDWIND).get_attribute("data-delivery") in {"queued", "sending"}
    for email in (NORDWIND, BERGHOF):
        expect(ada.row(email)).to_have_attribute("data-delivery", "sent")
        expect(ada.cell(email, "status")).to_contain_text("Handed to the mail server; link expires in 7 days")
    expect(place).to_be_focused()
    expect(place).to_be_visible()
    if open_meanwhile in {"filters", "dialog"}:
        expect(place).to_have_value("half a wo")
    expect(ada.row(BERGHOF).locator("[type=checkbox]")).to_be_checked()
    assert ada.page.evaluate("window.isTheSamePage")


def test_who_looks_at_nothing_special_is_not_taken_anywhere(clients: None, ada: Person, app_driver: AppDriver) -> None:
    """The focus that was given back once is not given back again at every refresh."""
    ada.button(NORDWIND, "Remove").click()
    expect(ada.dialog).to_be_visible()
    ada.page.keyboard.press("Escape")
    expect(ada.button(NORDWIND, "Remove")).to_be_focused()
    ada.heading.click()
    expect(ada.place).to_have_count(0)
    join(app_driver, BERGHOF)
    expect(ada.row(BERGHOF)).to_contain_text("Joined")
    expect(ada.place).to_have_count(0)


def test_a_client_that_joins_turns_to_joined_and_the_focus_stays_in_its_row(
    clients: None, ada: Person, app_driver: AppDriver
) -> None:
    ada.button(BERGHOF, "Resend Invite").focus()
    join(app_driver, BERGHOF)
    expect(ada.cell(BERGHOF, "status")).to_have_text(re.compile("^Joined"), timeout=10 * SECONDS)
    expect(ada.row(BERGHOF).get_by_role("button")).to_have_count(0)
    expect(ada.cell(BERGHOF, "company_name").get_by_role("link")).to_be_focused()
    expect(number(ada, "joined").locator("strong")).to_have_text("1")


def test_news_are_asked_for_only_while_there_is_something_to_wait_for_and_somebody_who_looks(
    clients: None, ada: Person, app_driver: AppDriver
) -> None:
    for email in (NORDWIND, CORDOBA):
        join(app_driver, email)
    ada.page.clock.install()
    ada.page.reload()
    asked: list[Request] = []
    ada.page.on("request", lambda request: asked.append(request) if "/table?" in request.url else None)

    # Events come in their order: what had been asked for in the dark would be in the list by then.
    ada.looks_away()
    ada.page.clock.run_for(20 * SECONDS)
    ada.looks_again()
    with ada.page.expect_response(re.compile("/table")) as answer:
        ada.page.clock.run_for(2 * SECONDS)
    assert answer.value.status == 204
    assert len(asked) == 1

    join(app_driver, BERGHOF)
    ada.page.clock.run_for(2 * SECONDS)
    ada.page.clock.run_for(1 * SECONDS)
    expect(ada.row(BERGHOF)).to_contain_text("Joined")
    expect(ada.page.locator("[data-live]")).to_have_count(0)
    asked.clear()
    ada.page.clock.run_for(20 * SECONDS)
    with ada.page.expect_response(re.compile("/table")):
        ada.page.evaluate("document.body.dispatchEvent(new Event('clients-changed'))")
    assert len(asked) == 1


def test_a_page_that_nobody_has_touched_for_ten_minutes_asks_more_slowly(clients: None, ada: Person) -> None:
    ada.page.clock.install()
    ada.page.reload()
    asked: list[Request] = []
    ada.page.on("request", lambda request: asked.append(request) if "/table?" in request.url else None)
    with ada.page.expect_response(re.compile("/table")):
        ada.page.clock.fast_forward(10 * 60 * SECONDS)
    expect(ada.page.locator(".htmx-request")).to_have_count(0)
    asked.clear()
    ada.page.clock.run_for(29 * SECONDS)
    assert asked == []
    with ada.page.expect_response(re.compile("/table")):
        ada.page.clock.run_for(1 * SECONDS)
    expect(ada.page.locator(".htmx-request")).to_have_count(0)
    with ada.page.expect_response(re.compile("/table")):
        ada.page.mouse.move(100, 100)
    expect(ada.page.locator(".htmx-request")).to_have_count(0)
    with ada.page.expect_response(re.compile("/table")):
        ada.page.clock.run_for(2 * SECONDS)


def test_nothing_looks_as_if_it_were_pressed_while_news_are_asked_for(clients: None, ada: Person) -> None:
    ada.tick(NORDWIND)
    ada.page.clock.install()
    with ada.page.expect_request("**/table?*"):
        ada.page.route("**/table?*", lambda _: None)
        ada.page.clock.run_for(2 * SECONDS)
    expect(ada.page.locator("#imported-clients.htmx-request")).to_have_count(1)
    for button in [*ada.selection.get_by_role("button").all(), ada.button(NORDWIND, "Remove")]:
        assert button.evaluate("button => getComputedStyle(button).opacity") == "1"


# How it looks


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
    ada.selection.get_by_role("button", name="Clear").click()

    ada.button(NORDWIND, "Resend Invite").click()
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
    ada.page.get_by_role("link", name="Last 12 weeks").click()
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


def remove_the_page(person: Person) -> None:
    """Remove all clients of the page that is shown."""
    person.page.locator("#select-page").check()
    person.selection.get_by_role("button", name="Remove").click()
    person.dialog.get_by_role("button", name="Remove 25").click()
    expect(person.page.locator("#page-status")).to_contain_text("25 clients removed.")


def filter_by(person: Person, company_name: str, status: str | None = None, email: str = "") -> None:
    person.press("Filter")
    if status:
        person.filters.get_by_label(status).check()
    person.filters.get_by_label("Company Name").fill(company_name)
    person.filters.get_by_label("Email").fill(email)
    person.filters.get_by_role("button", name="Done").click()
    expect(person.filters).to_be_hidden()
    expect(person.page).to_have_url(re.compile(f"company_name={company_name}"))


def go_to_work(person: Person, what: str) -> Locator:
    """Open something, and begin there; the place where the focus is then."""
    if what == "nothing":
        person.button(BERGHOF, "Resend Invite").focus()
        return person.button(BERGHOF, "Resend Invite")
    if what == "menu":
        person.press("Add Client")
        person.page.keyboard.press("Tab")
        return person.menu.get_by_role("link", name="Manual Add")
    if what == "filters":
        person.press("Filter")
        place = person.filters.get_by_label("Company Name")
    else:
        person.choose("Manual Add")
        place = person.dialog.get_by_label("Company Name")
    place.press_sequentially("half a wo")
    return place


def filter_button(person: Person) -> Locator:
    return person.page.get_by_role("button", name="Filter", exact=True)


def theme_switch(person: Person) -> Locator:
    return person.page.get_by_role("button", name="Light or dark")


def header(person: Person, name: str) -> Locator:
    return person.page.get_by_role("columnheader", name=name, exact=True)


def sort_link(person: Person, name: str) -> Locator:
    return header(person, name).get_by_role("link")


def number(person: Person, name: str) -> Locator:
    return person.page.locator(f"[data-glance={name}] a")


def style(place: Locator, name: str) -> str:
    return str(place.evaluate("(element, name) => getComputedStyle(element)[name]", name))


def background(person: Person) -> str:
    return style(person.page.locator("body"), "backgroundColor")
