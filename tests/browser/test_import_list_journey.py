"""The list of imports in a real browser: it is searched, narrows the table to one, and one is taken back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import ic
from tests.support.chromium import Person
from tests.support.factories import import_file, invite
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

NORDWIND = "info@nordwind.test"
BERGHOF = "post@berghof.test"
CORDOBA = "hola@cordoba.test"


@pytest.fixture
def imported(ada: Person, app_driver: AppDriver, mail_server: MailServer) -> Iterator[Page]:
    """The tab after an import of two and one of one, beside a client added by hand."""
    with mail_server.answering_nobody():
        app_driver.do(import_file, HARBOUR, NORDWIND, BERGHOF)
        app_driver.do(import_file, HARBOUR, "late@import.test")
        app_driver.do(invite, HARBOUR, CORDOBA)
        ada.page.reload()
        expect(ada.rows).to_have_count(4)
        yield ada.page


def test_an_import_is_found_shown_in_the_table_and_taken_back(ada: Person, imported: Page) -> None:
    page = imported
    listed = page.locator("#imports-table tr[data-import-id]")
    page.get_by_role("link", name="Imports").click()
    expect(listed).to_have_count(2)
    expect(page.get_by_role("heading", name="Imports")).to_be_focused()
    expect(page).to_have_url(re.compile(f"{ic(HARBOUR)}/imports$"))

    search = page.get_by_role("searchbox", name="Search file or admin")
    search.press_sequentially("nobody")
    expect(listed).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/imports\?q=nobody$"))
    expect(search).to_be_focused()
    search.fill("ADA")
    expect(listed).to_have_count(2)
    page.reload()
    expect(listed).to_have_count(2)
    expect(search).to_have_value("ADA")

    # The older one, of two.
    listed.last.get_by_role("link", name="show its clients").click()
    expect(ada.rows).to_have_count(2)
    expect(page.locator("#chip-import_id")).to_contain_text("Import: clients.csv")
    expect(page.locator("#table-caption")).to_be_focused()
    page.go_back()
    expect(listed).to_have_count(2)

    listed.last.get_by_role("button", name="Take back").click()
    expect(ada.dialog).to_have_accessible_name("Take back clients.csv?")
    expect(ada.dialog.get_by_role("link", name="Cancel")).to_be_focused()
    ada.press("Remove 2 clients")
    expect(page.locator("#page-status")).to_contain_text("2 clients removed.")
    expect(ada.dialog).to_be_hidden()
    expect(listed.last).to_contain_text("Taken back by Ada Berg")
    expect(listed.last).to_contain_text("2 removed")
    expect(listed.get_by_role("button", name="Take back")).to_have_count(1)
    expect(page.get_by_role("heading", name="Imports")).to_be_focused()

    page.get_by_role("link", name="Back to the clients").click()
    expect(ada.rows).to_have_count(2)
    expect(ada.row(CORDOBA)).to_be_visible()


def test_somebody_who_joins_meanwhile_wins_over_the_question(
    ada: Person, imported: Page, app_driver: AppDriver
) -> None:
    imported.get_by_role("link", name="Imports").click()
    button = imported.get_by_role("button", name="Take back").first
    button.click()
    expect(ada.dialog).to_be_visible()
    app_driver.remove(app_driver.client("late@import.test").id)
    ada.expects(409)
    ada.press("Remove 1 client")
    expect(ada.dialog).to_contain_text("there is nothing to take back")
    expect(imported.get_by_role("button", name="Take back")).to_have_count(1)
