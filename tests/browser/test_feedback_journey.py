"""Whatever a person does is answered: that it is being done, that it was done, and where the focus is afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from playwright.sync_api import Locator, Route, expect

from tests.browser.conftest import BERGHOF, CORDOBA, NORDWIND
from tests.browser.table_parts import question
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import ic
from tests.support.chromium import Person
from tests.support.live import LiveServer, answering
from tests.support.proxy import Mode, Proxy

pytestmark = pytest.mark.browser

FILE = b"company_name,email\r\nDelta,post@delta.test\r\nEcho,post@echo.test\r\n"


@pytest.fixture
def site(server: LiveServer, app: Flask, proxy: Proxy) -> Iterator[Proxy]:
    """The application, which people reach through the proxy only."""
    with answering(server, app):
        yield proxy


def told(person: Person) -> Locator:
    return person.page.locator("#page-status [data-told]")


def choose(person: Person, content: bytes) -> None:
    person.dialog.get_by_label("CSV file").set_input_files(
        {"name": "clients.csv", "mimeType": "text/csv", "buffer": content}
    )


@contextmanager
def unanswered(person: Person, proxy: Proxy, box: str) -> Iterator[None]:
    """While the answer to a post is held back, a line at the top of the box says so."""
    line = person.page.locator("[data-waiting]")
    proxy.hold()
    yield
    expect(line).to_have_count(1)
    expect(person.page.locator(f"{box}[data-waiting]")).to_have_count(1)
    expect(person.page.locator("[aria-busy=true]")).to_have_count(1)
    proxy.release()
    expect(line).to_have_count(0)
    expect(person.page.locator("[aria-busy=true]")).to_have_count(0)


# What was done, and that it is being done


def test_every_action_says_what_it_did_but_for_manual_add(clients: None, ada: Person, app_driver: AppDriver) -> None:
    ada.button(NORDWIND, "Resend Invite").click()
    expect(told(ada)).to_have_text("Invitation to Nordwind resent.")
    # It can be sent away, and then the focus is where it was.
    ada.tab_to(ada.page.get_by_role("button", name="Dismiss"))
    ada.page.keyboard.press("Enter")
    expect(told(ada)).to_have_count(0)
    expect(ada.button(NORDWIND, "Resend Invite")).to_be_focused()
    # A second press within seconds is the first.
    ada.button(NORDWIND, "Resend Invite").click()
    expect(told(ada)).to_have_text("Invitation to Nordwind resent.")
    assert app_driver.client(NORDWIND).generation == 2
    ada.button(BERGHOF, "Remove").click()
    expect(ada.dialog).to_have_accessible_name("Remove Berghof?")
    expect(ada.dialog).to_contain_text(BERGHOF)
    ada.dialog.get_by_role("button", name="Remove client").click()
    expect(told(ada)).to_have_text("Berghof removed.")
    # For both, an address that is there already and one that is not.
    for email in (NORDWIND, "neu@kunde.test"):
        ada.choose("Manual Add")
        ada.type_client("Neukunde", email)
        ada.press("Save")
        expect(ada.dialog).to_be_hidden()
        expect(told(ada)).to_have_count(0)
    ada.open_history(CORDOBA)
    ada.panel.get_by_role("button", name="Edit and resend").click()
    question(ada).get_by_label("Company Name").fill("Córdoba Viajes")
    ada.press("Save and resend")
    expect(told(ada)).to_have_text("Córdoba Viajes saved and invitation resent.")
    expect(told(ada)).to_be_visible()
    ada.page.keyboard.press("Escape")
    ada.choose("Bulk Invite")
    expect(ada.dialog.get_by_label("CSV file")).to_be_focused()
    choose(ada, FILE)
    ada.press("Import")
    expect(ada.dialog).to_have_accessible_name("2 clients imported")
    ada.dialog.get_by_role("link", name="Close").click()
    expect(told(ada)).to_have_text("2 clients imported. Their invitations are on the way.")
    # What is done next makes it untrue.
    ada.tick(NORDWIND)
    expect(told(ada)).to_have_count(0)


def test_without_javascript_the_next_page_says_it(clients: None, ada: Person, app_driver: AppDriver) -> None:
    """The browser posts as one does that runs no script, and follows."""
    token = ada.page.locator("meta[name=csrf-token]").get_attribute("content") or ""
    client = app_driver.client(NORDWIND).id
    for path, form, sentence in [
        (f"{client}/resend", {}, "Invitation to Nordwind resent."),
        (f"{client}/correct", {"company_name": "Nord", "email": NORDWIND}, "Nord saved and invitation resent."),
        (f"{client}/remove", {}, "Nord removed."),
    ]:
        page = ada.context.request.post(f"{ada.url}{ic(HARBOUR)}/{path}", form={"csrf_token": token, **form}).text()
        assert sentence in page


def test_what_takes_longer_says_that_it_is_being_done(clients: None, ada: Person, proxy: Proxy) -> None:
    ada.choose("Manual Add")
    ada.type_client("Neukunde", "neu@kunde.test")
    with unanswered(ada, proxy, "#dialog"):
        ada.page.keyboard.press("Enter")
        ada.page.keyboard.press("Enter")
        expect(ada.dialog.get_by_role("button", name="Saving…")).to_be_visible()
    expect(ada.dialog).to_be_hidden()
    with unanswered(ada, proxy, "body"):
        ada.button(NORDWIND, "Resend Invite").click()
    # After a refusal, or where nothing comes back, the button is what it was.
    ada.expects(422)
    ada.expects("ERR_EMPTY_RESPONSE")
    ada.expects("ERR_CONNECTION_RESET")
    ada.choose("Bulk Invite")
    with unanswered(ada, proxy, "#dialog"):
        ada.press("Import")
        expect(ada.dialog.get_by_role("button", name="Importing…")).to_be_visible()
    expect(ada.dialog.get_by_role("button", name="Import", exact=True)).to_be_visible()
    choose(ada, FILE)
    with proxy.doing(Mode.LOSE, method="POST"), unanswered(ada, proxy, "#dialog"):
        ada.press("Import")
    expect(ada.dialog.get_by_role("alert").first).to_contain_text("We don't know whether this was done")
    expect(ada.dialog.get_by_role("button", name="Import", exact=True)).to_be_visible()
    assert proxy.count("POST", ic(HARBOUR)) == 1
    # A page that is not htmx's, either; it says what was wrong first of all.
    ada.open(f"/portals/{HARBOUR}/settings/email")
    ada.page.get_by_label("Replies go to").fill("nobody")
    held: list[Route] = []
    ada.page.route("**/session", lambda route: held.append(route))
    save = ada.page.get_by_role("button", name="Save", exact=True)
    save.evaluate("(button) => { button.click(); button.click(); }")
    # It is asked first who is signed in.
    expect(ada.page.locator("body[data-waiting]")).to_have_count(1)
    expect(ada.page.locator("form[aria-busy=true]")).to_have_count(1)
    held[0].continue_()
    expect(ada.page).to_have_title(re.compile("^Error: "))
    expect(ada.page.get_by_label("Replies go to")).to_be_focused()
    assert proxy.count("POST", "/settings/email") == 1


# Who is signed out


def test_a_session_that_has_ended_is_told_and_one_comes_back_to_the_same_view(
    crowd: list[str], ada: Person, app_driver: AppDriver
) -> None:
    ada.expects(401)
    view = f"{ada.url}{ic(HARBOUR)}?company_name=company&sort=-company_name"

    # A page that asks by itself finds it out. So does a way to another page.
    for finds_out in (ada.lets_the_table_ask, ada.page.reload):
        ada.open(view)
        app_driver.end_sessions()
        finds_out()
        expect(ada.page.get_by_role("status")).to_have_text(
            "Your session has ended. Sign in to continue where you left off."
        )
        ada.fill_in_sign_in("ada@harbour.test")
        expect(ada.page).to_have_url(view)
    # Somebody who comes for the first time has had none.
    ada.forgets_everything()
    ada.open(view)
    expect(ada.heading).to_have_text("Sign in")
    expect(ada.page.get_by_role("status")).to_have_count(0)


def test_what_is_ticked_or_asked_stays_when_a_poll_finds_the_session_gone(
    clients: None, ada: Person, app_driver: AppDriver
) -> None:
    ada.expects(401)
    ada.tick(NORDWIND)
    app_driver.end_sessions()
    ada.lets_the_table_ask()
    expect(ada.page.get_by_role("alert").first).to_contain_text("You are signed out.")
    expect(ada.row(NORDWIND).get_by_role("checkbox")).to_be_checked()


# The focus


def test_the_focus_is_never_lost_whatever_is_done_with_the_keyboard(
    crowd: list[str], clients: None, ada: Person
) -> None:
    keys = ada.page.keyboard
    button, link = (lambda name: ada.page.get_by_role("button", name=name, exact=True)), ada.page.get_by_role

    def press(target: Locator, until: Callable[[], None], key: str = "Enter") -> None:
        """Press it, wait for what comes of it, and for the table that refreshes itself; then see where one is."""
        target.focus()
        keys.press(key)
        until()
        expect(ada.page.locator(".htmx-request")).to_have_count(0)
        expect(ada.place, f"after {target}").to_have_count(1)
        assert ada.page.evaluate("document.activeElement !== document.body"), target

    def closed() -> None:
        expect(ada.page.locator("dialog[open]")).to_have_count(0)

    def opened() -> None:
        expect(ada.page.locator("dialog[open]")).to_have_count(1)

    def says(words: str) -> Callable[[], None]:
        return lambda: expect(told(ada)).to_have_text(words)

    def rows(number: int) -> Callable[[], None]:
        return lambda: expect(ada.rows).to_have_count(number)

    def choose_in_menu(item: str) -> None:
        press(button("Add Client"), lambda: expect(ada.menu).to_be_visible())
        press(ada.menu.get_by_role("link", name=item), opened)

    ada.expects(422)
    ada.page.reload()
    # Manual Add, wrong and right; Bulk Invite likewise.
    choose_in_menu("Manual Add")
    press(button("Save"), lambda: expect(ada.dialog.locator("[data-error-summary]")).to_be_focused())
    ada.type_client("Neukunde", "neu@kunde.test")
    press(button("Save"), closed)
    choose_in_menu("Bulk Invite")
    press(button("Import"), lambda: expect(ada.dialog.locator("[data-import-errors]")).to_be_focused())
    choose(ada, FILE)
    press(button("Import"), lambda: expect(ada.dialog).to_have_accessible_name("2 clients imported"))
    press(ada.dialog.get_by_role("link", name="Close"), closed)
    # A row.
    press(ada.button(NORDWIND, "Resend Invite"), says("Invitation to Nordwind resent."))
    press(button("Dismiss"), lambda: expect(told(ada)).to_have_count(0))
    press(ada.button(NORDWIND, "Remove"), opened)
    press(ada.dialog.get_by_role("link", name="Cancel"), closed)
    press(ada.button(NORDWIND, "Remove"), opened)
    press(button("Remove client"), says("Nordwind removed."))
    press(ada.cell(CORDOBA, "company_name").get_by_role("link"), opened)
    press(ada.panel.get_by_role("button", name="Close"), closed)
    press(ada.cell(CORDOBA, "company_name").get_by_role("link"), opened)
    press(ada.panel.locator("#close-panel"), closed, "Escape")
    # Several rows.
    for action, words in [("Resend", "2 invitations resent."), ("Remove", "2 clients removed.")]:
        ada.tick("neu@kunde.test", CORDOBA) if action == "Resend" else ada.tick(BERGHOF, CORDOBA)
        press(ada.selection.get_by_role("button", name=action), opened)
        press(ada.dialog.get_by_role("link", name="Cancel"), closed)
        press(ada.selection.get_by_role("button", name=action), opened)
        press(ada.dialog.get_by_role("button", name=re.compile(f"^{action} 2")), says(words))
    ada.tick("neu@kunde.test")
    press(ada.selection.get_by_role("button", name="Clear"), lambda: expect(ada.selection).to_be_hidden())
    # Pages, their size and their order; filters.
    press(link("link", name="Next page"), rows(8))
    press(link("link", name="Previous page"), rows(25))
    press(link("link", name="50", exact=True), rows(33))
    press(link("columnheader", name="Email").first.get_by_role("link"), rows(33))
    press(button("Filter"), lambda: expect(ada.filters).to_be_visible())
    ada.filters.get_by_label("Company Name").fill("company")
    ada.filters.get_by_label("Invite Sent").check()
    press(ada.filters.get_by_role("button", name="Done"), rows(30))
    press(ada.chips.first, lambda: expect(ada.chips).to_have_count(1))
    press(link("link", name="Clear", exact=True), rows(33))
    # The rest of the toolbar.
    press(ada.page.locator("#weeks"), opened)
    press(ada.dialog.locator("[data-close-dialog]"), closed)
    press(
        ada.page.locator("[data-theme-switch]"),
        lambda: expect(ada.page.locator("html")).to_have_attribute("data-theme", "dark"),
    )
    with ada.page.expect_download():
        press(ada.page.locator("#export"), rows(33))
