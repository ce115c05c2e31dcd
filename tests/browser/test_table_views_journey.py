"""A view of the table is made of filters, an order and a page, and stands in the address, in a real browser."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Locator, expect

from app.core.clock import now
from tests.browser.conftest import BERGHOF, CORDOBA, CROWD, NORDWIND, gather, join
from tests.browser.table_parts import filter_button, number, theme_switch
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import ic
from tests.support.chromium import Person
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

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
    expect(ada.result_count).to_have_text("1–3 of 3")
    expect(ada.chips).to_have_count(0)

    ada.filters.get_by_role("button", name="Done").click()
    expect(ada.addresses).to_have_text([CORDOBA])
    expect(ada.filters).to_be_hidden()
    expect(filter_button(ada)).to_be_focused()
    expect(ada.result_count).to_have_text("1–1 of 1")
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
    expect(ada.result_count).to_have_text("1–3 of 3")
    expect(filter_button(ada)).to_be_focused()

    ada.page.get_by_role("link", name="Clear", exact=True).click()
    expect(ada.chips).to_have_count(0)
    expect(ada.page).to_have_url(AT_THE_TAB)
    expect(filter_button(ada)).to_be_focused()


def test_what_was_cleared_is_not_ticked_in_the_panel_any_more(clients: None, ada: Person) -> None:
    filter_by(ada, "berg", status="Joined")
    expect(ada.page.get_by_text("No clients match")).to_be_visible()
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
    expect(ada.page.get_by_text("No clients match")).to_be_visible()


def test_each_filter_tab_counts_and_filters(
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
        expect(number(ada, name).locator(".number")).to_have_text(str(len(shown)))
        number(ada, name).click()
        expect(number(ada, name)).to_have_attribute("aria-current", "true")
        expect(number(ada, name)).to_be_focused()
        expect(ada.addresses).to_have_text(shown)
        expect(ada.chips).to_have_count(1)
        expect(ada.page.locator("[aria-current=true][id^=tab-]")).to_have_count(1)
    expect(ada.chips).to_have_text([re.compile("^Needs attention")])
    expect(ada.page).to_have_url(re.compile(r"\?health=attention$"))


def test_the_last_weeks_are_a_picture_and_a_table(clients: None, ada: Person, app_driver: AppDriver) -> None:
    join(app_driver, BERGHOF)
    ada.page.get_by_role("link", name="Activity").click()
    expect(ada.dialog).to_have_accessible_name("Activity in the last 12 weeks")
    expect(ada.dialog.get_by_role("img")).to_be_visible()
    expect(ada.dialog.locator("rect")).to_have_count(24)
    ada.dialog.get_by_text("Show as table", exact=True).click()
    expect(ada.dialog.get_by_role("row")).to_have_count(13)
    expect(ada.dialog.get_by_role("row").nth(1).get_by_role("cell")).to_have_text(["3", "1"])
    ada.page.keyboard.press("Escape")
    expect(ada.page.get_by_role("link", name="Activity")).to_be_focused()


# Order and pages


def test_a_header_sorts_and_says_how(clients: None, ada: Person) -> None:
    name = header(ada, "Company Name")
    orders = [
        ("ascending", [BERGHOF, CORDOBA, NORDWIND]),
        ("descending", [NORDWIND, CORDOBA, BERGHOF]),
        # Of no column: the newest first, as it was in the beginning.
        ("other", [CORDOBA, BERGHOF, NORDWIND]),
    ]
    for by_keyboard, (order, addresses) in [(False, one) for one in orders] + [(True, one) for one in orders]:
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
    expect(ada.result_count).to_have_text(f"1–25 of {CROWD}")
    expect(ada.page.get_by_role("link", name="Previous page")).to_have_count(0)

    ada.page.get_by_role("link", name="Next page").click()
    expect(ada.addresses).to_have_text(crowd[25:])
    expect(ada.page).to_have_url(re.compile(r"\?company_name=company&sort=company_name&after="))
    expect(ada.page.get_by_role("link", name="Next page")).to_have_count(0)
    expect(ada.page.locator("#table-caption")).to_be_focused()
    expect(header(ada, "Company Name")).to_be_in_viewport()
    bert.open(ada.page.url)
    expect(bert.addresses).to_have_text(crowd[25:])
    ada.page.reload()
    expect(ada.addresses).to_have_text(crowd[25:])

    ada.tab_to(ada.page.get_by_role("link", name="Previous page"), presses=120)
    ada.page.keyboard.press("Enter")
    expect(ada.addresses).to_have_text(crowd[:25])
    expect(ada.page).to_have_url(re.compile(r"\?company_name=company&sort=company_name&before="))
    expect(ada.page.locator("#table-caption")).to_be_focused()

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
    expect(ada.result_count).to_have_text("26–50 of 50")
    expect(ada.page.get_by_text("This is now the last page.")).to_be_visible()
    expect(ada.page.get_by_role("link", name="Next page")).to_have_count(0)

    # Else her table has followed before she presses anything.
    ada.looks_away()
    remove_the_page(bert)
    expect(bert.addresses).to_have_text(crowd[25:50])
    ada.page.get_by_role("link", name="Previous page").click()
    expect(ada.result_count).to_have_text("1–25 of 25")
    expect(ada.addresses).to_have_text(crowd[25:50])
    expect(ada.page.get_by_role("navigation", name="Pages")).to_have_count(0)


def remove_the_page(person: Person) -> None:
    """Remove all clients of the page that is shown."""
    person.page.locator("#select-page").check()
    person.selection.get_by_role("button", name="Remove").click()
    person.dialog.get_by_role("button", name="Remove 25 clients").click()
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


def header(person: Person, name: str) -> Locator:
    return person.page.get_by_role("columnheader", name=name, exact=True)


def sort_link(person: Person, name: str) -> Locator:
    return header(person, name).get_by_role("link")
