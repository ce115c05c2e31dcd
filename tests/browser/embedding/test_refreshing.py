"""What refreshes itself, comes late or does not come, inside a page of the same origin."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.embedding.conftest import Show
from tests.support.app_driver import AppDriver
from tests.support.embedding import Inside
from tests.support.host_shell import PAGE

pytestmark = pytest.mark.browser


def test_two_elements_in_one_page_keep_each_other_up_to_date(show: Show, clients: None) -> None:
    _host, person = show()
    person.open(PAGE)
    person.element.evaluate(
        """(first) => {
          const second = first.cloneNode();
          second.setAttribute("surface", "table");
          first.after(second);
        }"""
    )
    tab, table = (Inside(person.element.nth(n), person.page) for n in range(2))
    for inside in (tab, table):
        expect(inside.rows).to_have_count(3)
    table.row("Nordwind").get_by_role("button", name="Remove", exact=True).click()
    expect(tab.dialog).to_be_hidden()
    table.dialog.get_by_role("button", name="Remove").click()
    for inside in (tab, table):
        expect(inside.rows).to_have_count(2)
    # The page says which part it wants to see, and moves the element.
    tab.place.evaluate("(element) => element.setAttribute('view', '?company_name=berg')")
    expect(tab.rows).to_have_count(1)
    expect(table.rows).to_have_count(2)
    tab.place.evaluate("(element) => document.body.append(element)")
    expect(person.element.nth(1).locator("tr[data-client-id]")).to_have_count(1)


def test_an_answer_that_comes_too_late_takes_nothing_away(show: Show, clients: None) -> None:
    host, person = show()
    person.open(PAGE)
    expect(person.inline.rows).to_have_count(3)
    # One for which there is no session is asked for; while it does not answer the page wants the first again.
    person.expects(401)
    host.hold("/embed/table")
    with person.page.expect_request("**/embed/table"):
        person.element.evaluate(
            """(element) => {
              element.removeAttribute("handover");
              element.setAttribute("portal", "nowhere");
              element.setAttribute("surface", "table");
            }"""
        )
    person.element.evaluate(
        """(element) => {
          element.setAttribute("surface", "tab");
          element.setAttribute("portal", "harbour");
        }"""
    )
    expect(person.inline.rows).to_have_count(3)
    with person.page.expect_response("**/embed/table"):
        host.release()
    person.waits_a_moment()
    expect(person.inline.rows).to_have_count(3)
    assert person.told("session-ended") == []


def test_what_could_not_be_loaded_is_told_and_loaded_at_the_next_try(show: Show, clients: None) -> None:
    _host, person = show()
    person.expects("ERR_FAILED")
    for script in ("**/static/*selection*", "**/vendor/htmx*"):
        person.context.route(script, lambda route: route.abort())
        if script == "**/static/*selection*":
            person.open(PAGE)
        else:
            person.element.evaluate("(element) => element.reload()")
        expect(person.element.get_by_role("alert").filter(has_text="cannot be shown just now")).to_be_visible()
        person.context.unroute(script)
    person.element.evaluate("(element) => element.reload()")
    person.waits_until(lambda: person.told("ready") == [None])
    expect(person.inline.rows).to_have_count(3)


@pytest.mark.parametrize("htmx", ["2.0.11", "4.0.1"])
def test_what_is_pressed_while_the_table_fetches_itself_is_done_and_seen(
    htmx: str, show: Show, app_driver: AppDriver, crowd: list[str]
) -> None:
    host, person = show(htmx=htmx)
    person.open(PAGE)
    expect(person.inline.rows).to_have_count(25)
    person.looks_away()

    table = person.inline.place.locator("#imported-clients")

    def fetch() -> None:
        """Let the table ask for itself, as it does now and then; there is something new."""
        # What htmx 2 has swapped in listens only some moments later.
        expect(person.page.locator(".htmx-added")).to_have_count(0)
        with person.page.expect_request("**/table?*"):
            table.dispatch_event("live-tick", {"bubbles": False})

    # Its answer comes while another page of it is asked for.
    app_driver.remove(app_driver.client(crowd[1]).id)
    host.hold("/imported-clients")
    person.inline.place.get_by_role("link", name="Next page").click()
    with person.page.expect_response("**/table?*"):
        fetch()
    host.release()
    expect(person.inline.row("Company 01")).to_have_count(1)
    person.waits_until(lambda: any("after=" in view for view in person.told("navigate")))

    # It comes when somebody has turned back already.
    app_driver.remove(app_driver.client(crowd[2]).id)
    host.hold("/table")
    fetch()
    person.inline.place.get_by_role("link", name="Previous page").click()
    expect(person.inline.row("Company 30")).to_have_count(1)
    with person.page.expect_response("**/table?*"):
        host.release()
    expect(person.page.locator(".htmx-request")).to_have_count(0)
    expect(person.inline.row("Company 30")).to_have_count(1)

    # It is older than what was done meanwhile.
    app_driver.remove(app_driver.client(crowd[3]).id)
    host.hold("/table")
    fetch()
    person.inline.row("Company 30").get_by_role("button", name="Remove", exact=True).click()
    # The dialog has the same address.
    with person.page.expect_response(lambda answer: answer.request.method == "POST"):
        person.inline.dialog.get_by_role("button", name="Remove").click()
    host.release()
    expect(person.inline.row("Company 30")).to_have_count(0)

    # It comes while a search is on its way.
    app_driver.remove(app_driver.client(crowd[4]).id)
    host.hold("/imported-clients")
    with person.page.expect_request("**/imported-clients?q=*"):
        person.inline.place.get_by_role("searchbox", name="Search name or email").fill("Company 2")
    with person.page.expect_response("**/table?*"):
        fetch()
    expect(table).not_to_contain_class("htmx-request")
    host.release()
    expect(person.inline.rows).to_have_count(10)
