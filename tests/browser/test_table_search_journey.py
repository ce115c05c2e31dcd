"""The search field of the table finds by name and address while somebody types, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.browser.conftest import BERGHOF, CORDOBA, NORDWIND
from tests.conftest import HARBOUR
from tests.support.browser import ic
from tests.support.chromium import Person

pytestmark = pytest.mark.browser

AT_THE_TAB = re.compile(f"{ic(HARBOUR)}$")


def test_it_finds_while_typing_and_stands_in_the_address(clients: None, ada: Person, bert: Person) -> None:
    search(ada).press_sequentially("hola")
    expect(ada.addresses).to_have_text([CORDOBA])
    expect(search(ada)).to_be_focused()
    expect(ada.page).to_have_url(re.compile(r"\?q=hola$"))
    expect(ada.result_count).to_have_text("1–1 of 1")
    search(ada).fill("BERG")
    expect(ada.addresses).to_have_text([BERGHOF])
    expect(ada.page).to_have_url(re.compile(r"\?q=BERG$"))

    bert.open(ada.page.url)
    expect(bert.addresses).to_have_text([BERGHOF])
    expect(search(bert)).to_have_value("BERG")

    # Typing on was one search: Back leads to what was shown before it.
    ada.page.go_back()
    expect(ada.page).to_have_url(AT_THE_TAB)
    expect(ada.rows).to_have_count(3)
    expect(search(ada)).to_have_value("")


def test_the_filter_panel_adds_to_it_and_a_chip_takes_it_away(clients: None, ada: Person) -> None:
    search(ada).fill("test")
    expect(ada.chips).to_have_text([re.compile("^Search: test")])
    ada.press("Filter")
    ada.filters.get_by_label("Email").fill("hola")
    ada.filters.get_by_role("button", name="Done").click()
    expect(ada.addresses).to_have_text([CORDOBA])
    expect(ada.page).to_have_url(re.compile(r"\?q=test&email=hola$"))
    ada.page.get_by_role("link", name="Remove filter Search: test").click()
    expect(ada.page).to_have_url(re.compile(r"\?email=hola$"))
    expect(search(ada)).to_have_value("")
    # Also what was only typed, and goes with the other filters.
    search(ada).fill("nobody")
    ada.page.get_by_role("link", name="Clear", exact=True).click()
    expect(ada.rows).to_have_count(3)
    expect(search(ada)).to_have_value("")


def test_what_is_typed_while_an_answer_is_on_its_way_stays(clients: None, ada: Person) -> None:
    held: list[Route] = []
    ada.page.route("**/imported-clients?q=n", lambda route: held.append(route))
    search(ada).press_sequentially("n")
    with ada.page.expect_request("**/imported-clients?q=n"):
        pass
    search(ada).press_sequentially("ordwind")
    expect(ada.addresses).to_have_text([NORDWIND])
    for route in held:
        # Taken back, since somebody has typed on.
        route.abort()
    expect(search(ada)).to_have_value("nordwind")
    expect(search(ada)).to_be_focused()
    expect(ada.page.locator("#page-alert")).to_be_empty()
    expect(ada.page.locator("#connection")).to_be_hidden()


def test_a_search_that_is_not_answered_goes_on_by_itself(clients: None, ada: Person) -> None:
    ada.expects(502)
    ada.page.route("**/imported-clients?q=**", lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"))
    search(ada).press_sequentially("hola")
    expect(ada.page.locator("#connection")).to_contain_text("This page keeps trying.")
    expect(ada.rows).to_have_count(3)
    expect(search(ada)).to_have_value("hola")
    expect(search(ada)).to_be_focused()
    ada.page.unroute_all()
    expect(ada.addresses).to_have_text([CORDOBA])
    expect(search(ada)).to_be_focused()
    expect(ada.page.locator("#connection")).to_be_hidden()


def search(person: Person) -> Locator:
    return person.page.get_by_role("searchbox", name="Search name or email")
