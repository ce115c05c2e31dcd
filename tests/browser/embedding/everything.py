"""Everything that a client admin does in the tab, with what is refused on the way."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import NamedTemporaryFile

from playwright.sync_api import Locator, expect

from tests.browser.conftest import CROWD, NORDWIND
from tests.support.embedding import Inside, Visitor
from tests.support.smtp import MailServer
from tests.unit.imports.workbooks import xlsx

TOO_LARGE = b"company_name,email\n" + b"x" * (3 * 1024 * 1024)
BAD_FILE = b"company_name,email\nGood Ltd,good@crowd.test\nBad Ltd,nobody\n"
GOOD_FILE = b"company_name,email\nImported One,one@import.test\nImported Two,two@import.test\n"
BAD_WORKBOOK = xlsx([["company_name", "email"], ["Bad Ltd", "nobody"]])
DOWNLOADS = ["import-errors.csv", "import-with-problems.xlsx", "imported-clients.csv", "imported-clients-template.csv"]


def do_everything(person: Visitor, inside: Inside, mail_server: MailServer) -> None:
    """In a portal with a crowd."""
    person.expects(422)
    person.expects(413)
    expect(inside.rows).to_have_count(25)
    add(inside)
    mail_server.wait_for(NORDWIND)
    turn_the_page_and_sort(inside)
    filter_for_nordwind(inside)
    inside.row("Nordwind").get_by_role("button", name="Resend Invite").click()
    expect(told(inside)).to_have_text("Invitation to Nordwind resent.")
    mail_server.wait_for(NORDWIND, count=2)
    tick_while_the_table_refreshes_itself(inside)
    remove(inside)
    download(person, inside)
    bring_in(person, inside)
    look_into_a_history(inside)
    take_an_import_back(inside)
    # Whatever was swapped took the place of what was there.
    for part in ("#clients-view", "#imported-clients", "#recent-imports"):
        expect(inside.place.locator(part)).to_have_count(1)


def told(inside: Inside) -> Locator:
    """What the page says of the last action."""
    return inside.place.locator("#page-status [data-told]")


def add(inside: Inside) -> None:
    inside.choose("Manual Add")
    expect(inside.dialog.get_by_label("Company Name")).to_be_focused()
    inside.dialog.get_by_role("button", name="Save").click()
    summary = inside.dialog.locator("[data-error-summary]")
    expect(summary).to_be_focused()
    summary.get_by_role("link", name="Company Name").click()
    expect(inside.dialog.get_by_label("Company Name")).to_be_focused()
    inside.page.keyboard.type("Nordwind")
    inside.dialog.get_by_role("button", name="Save").click()
    expect(inside.dialog.get_by_label("Email Address")).to_be_focused()
    inside.page.keyboard.type(NORDWIND)
    inside.dialog.get_by_role("button", name="Save").click()
    expect(inside.dialog).to_be_hidden()
    expect(inside.rows.first).to_contain_text(NORDWIND)


def turn_the_page_and_sort(inside: Inside) -> None:
    next_page = inside.place.get_by_role("link", name="Next page")
    next_page.evaluate("(link) => link.replaceWith(link.cloneNode(true))")  # of which htmx does not know yet
    next_page.click()
    expect(inside.rows).to_have_count(CROWD + 1 - 25)
    inside.place.get_by_role("link", name="Company Name").click()
    expect(inside.rows.first).to_contain_text("Company 01")


def filter_for_nordwind(inside: Inside) -> None:
    inside.press("Filter")
    filters = inside.place.get_by_role("form", name="Filter", exact=True)
    filters.get_by_label("Company Name").fill("nordw")
    inside.page.keyboard.press("Enter")
    expect(inside.rows).to_have_count(1)
    expect(inside.place.locator("#filter")).to_be_focused()
    expect(inside.place.get_by_role("link", name="Remove filter")).to_have_count(1)


def tick_while_the_table_refreshes_itself(inside: Inside) -> None:
    inside.row("Nordwind").get_by_role("checkbox").check()
    expect(inside.row("Nordwind")).to_contain_text("Link expires")
    expect(inside.place.get_by_role("form", name="Selected clients")).to_contain_text("1 selected")


def remove(inside: Inside) -> None:
    inside.row("Nordwind").get_by_role("button", name="Remove", exact=True).click()
    expect(inside.dialog.get_by_role("link", name="Cancel")).to_be_focused()
    inside.dialog.get_by_role("button", name="Remove client").click()
    expect(inside.rows).to_have_count(0)
    expect(told(inside)).to_have_text("Nordwind removed.")
    inside.place.get_by_role("link", name="Clear", exact=True).click()
    expect(inside.rows).to_have_count(25)


def download(person: Visitor, inside: Inside) -> None:
    inside.place.get_by_role("link", name="Export CSV").click()
    inside.place.get_by_role("link", name="Download CSV Template").click()
    person.waits_until(lambda: len(person.downloads) == 2)


def bring_in(person: Visitor, inside: Inside) -> None:
    inside.choose("Bulk Invite")
    with NamedTemporaryFile(suffix=".csv") as too_large:
        too_large.write(TOO_LARGE)
        too_large.flush()
        inside.upload(Path(too_large.name))
        expect(inside.dialog.locator("[data-import-errors]")).to_contain_text("3 MiB")
    inside.upload(BAD_FILE)
    expect(inside.dialog.locator("[data-error-line='3']")).to_be_visible()
    inside.dialog.get_by_role("button", name="Download error report").click()
    person.waits_until(lambda: len(person.downloads) == 3)
    inside.upload(BAD_WORKBOOK)
    expect(inside.dialog.locator("[data-error-line='2']")).to_be_visible()
    inside.dialog.get_by_role("button", name="Download my file with problems marked").click()
    person.waits_until(lambda: len(person.downloads) == 4)
    assert [re.sub(r"[-\d]{11}", "", name) for name in sorted(person.downloads)] == DOWNLOADS
    inside.upload(GOOD_FILE)
    expect(inside.dialog).to_have_accessible_name("2 clients imported")
    inside.dialog.get_by_role("link", name="Close").click()
    expect(inside.place.locator("#result-count")).to_contain_text(str(CROWD + 2))
    expect(told(inside)).to_have_text("2 clients imported. Their invitations are on the way.")


def take_an_import_back(inside: Inside) -> None:
    """In the list, which takes the place of the table and gives it back."""
    inside.place.get_by_role("link", name="Imports").click()
    listed = inside.place.locator("#imports-table tr[data-import-id]")
    expect(listed).to_have_count(1)
    inside.place.get_by_role("button", name="Take back").click()
    inside.dialog.get_by_role("button", name="Remove 2 clients").click()
    expect(told(inside)).to_have_text("2 clients removed.")
    expect(listed).to_contain_text("Taken back by")
    inside.place.get_by_role("link", name="Back to the clients").click()
    expect(inside.rows).to_have_count(25)
    # Add Client now stands under the pointer.
    inside.page.mouse.move(0, 0)


def look_into_a_history(inside: Inside) -> None:
    inside.place.get_by_role("link", name="Company 01").click()
    expect(inside.place.locator("dialog#panel")).to_be_visible()
    inside.page.keyboard.press("Escape")
    expect(inside.place.locator("dialog#panel")).to_be_hidden()
