"""The main job in a real browser: an admin invites by hand, the client registers, verifies and has joined."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Locator, expect

from app.core.clock import now
from app.db.transactions import transaction
from tests.browser.conftest import BERGHOF, CORDOBA, NORDWIND
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import ic
from tests.support.chromium import Person
from tests.support.databases import KINDS
from tests.support.factories import find_client, import_file
from tests.support.live import LiveServer
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

ACCOUNTS = "/portals/harbour/settings/accounts"


# The whole of it


@pytest.mark.parametrize("database_url", KINDS, indirect=True)
def test_an_admin_invites_by_hand_and_the_client_registers_verifies_and_has_joined(
    somebody: Callable[[], Person], nora: Person, mail_server: MailServer
) -> None:
    ada = somebody()
    ada.sign_in("ada@harbour.test")
    expect(ada.page).to_have_url(re.compile(f"{ACCOUNTS}$"))
    expect(ada.heading).to_have_text("Accounts")

    ada.page.get_by_role("link", name="Imported Clients").click()
    expect(ada.page).to_have_url(re.compile(f"{ic(HARBOUR)}$"))
    expect(ada.page.get_by_text("No clients yet")).to_be_visible()

    ada.choose("Manual Add")
    expect(ada.dialog).to_have_accessible_name("Add a client")
    ada.type_client("Nordwind Reisen", "info@nordwind")
    ada.expects(422)
    ada.press("Save")
    expect(ada.dialog.get_by_label("Email Address")).to_be_focused()
    expect(ada.dialog.locator("#email-error")).to_contain_text("isn't a valid email domain")
    expect(ada.dialog.get_by_label("Company Name")).to_have_value("Nordwind Reisen")
    expect(ada.dialog.get_by_label("Email Address")).to_have_value("info@nordwind")

    ada.dialog.get_by_label("Email Address").fill("info@nordwind.test")
    ada.press("Save")
    expect(ada.dialog).to_be_hidden()
    invitation = mail_server.wait_for(NORDWIND)
    expect(ada.cell(NORDWIND, "company_name")).to_have_text("Nordwind Reisen")
    expect(ada.cell(NORDWIND, "status")).to_contain_text("Invite Sent")

    nora.open(invitation.link)
    expect(nora.heading).to_have_text("Nordwind Reisen is invited to Harbour Tours")
    nora.page.get_by_label("Your name").fill("Nora Wind")
    nora.page.get_by_label("Password", exact=True).fill("a long enough passphrase")
    nora.press("Register")
    expect(nora.heading).to_have_text("Verify your email address")
    ada.page.reload()
    expect(ada.cell(NORDWIND, "status")).to_contain_text("Email not verified yet")

    nora.open(mail_server.wait_for(NORDWIND, count=2).link)
    nora.press("Verify my email address")
    expect(nora.heading).to_have_text("You've joined Harbour Tours")
    ada.page.reload()
    expect(ada.cell(NORDWIND, "status")).to_have_text(re.compile("^Joined"))
    expect(ada.row(NORDWIND).get_by_role("button")).to_have_count(0)

    nora.page.get_by_role("link", name="Sign in").click()
    nora.sign_in(NORDWIND, "a long enough passphrase")
    expect(nora.page).to_have_url(re.compile("/portals$"))
    expect(nora.page.get_by_role("heading", name="You are in Harbour Tours")).to_be_visible()


# The menu and the dialog


def test_the_menu_opens_and_closes(ada: Person) -> None:
    expect(ada.menu).to_be_hidden()
    ada.press("Add Client")
    expect(ada.menu.get_by_role("link")).to_have_text(["Manual Add", "Bulk Invite"])
    expect(ada.menu).to_be_visible()
    ada.page.keyboard.press("Escape")
    expect(ada.menu).to_be_hidden()

    ada.press("Add Client")
    expect(ada.menu).to_be_visible()
    ada.heading.click()
    expect(ada.menu).to_be_hidden()

    ada.choose("Bulk Invite")
    expect(ada.dialog).to_have_accessible_name("Import from CSV")
    expect(ada.menu).to_be_hidden()


def test_a_dialog_takes_the_focus_and_gives_it_back(ada: Person) -> None:
    opener = ada.page.get_by_role("button", name="Add Client")
    ada.choose("Manual Add")
    expect(ada.dialog.get_by_label("Company Name")).to_be_focused()
    ada.page.keyboard.press("Escape")
    expect(ada.dialog).to_be_hidden()
    expect(opener).to_be_focused()

    ada.choose("Manual Add")
    ada.type_client("Nordwind", NORDWIND)
    ada.dialog.get_by_role("link", name="Cancel").click()
    expect(ada.dialog).to_be_hidden()
    expect(opener).to_be_focused()
    ada.choose("Manual Add")
    expect(ada.dialog.get_by_label("Company Name")).to_have_value("")

    ada.type_client("Nordwind", NORDWIND)
    ada.press("Save")
    expect(ada.row(NORDWIND)).to_be_visible()
    expect(ada.dialog).to_be_hidden()
    expect(opener).to_be_focused()


def test_what_refreshes_itself_meanwhile_takes_the_focus_from_nobody(
    ada: Person, app_driver: AppDriver, mail_server: MailServer
) -> None:
    """The progress of an import asks for news every second, also while somebody types."""
    with mail_server.answering_nobody():
        app_driver.do(import_file, HARBOUR, NORDWIND, BERGHOF)
        ada.page.reload()
        ada.choose("Manual Add")
        ada.type_client("Córdoba", CORDOBA)
        for _ in range(2):
            with ada.page.expect_request_finished(lambda request: "/imports/" in request.url):
                pass
        expect(ada.page.locator("[data-import-progress]")).to_be_visible()
        expect(ada.dialog.get_by_label("Email Address")).to_be_focused()


def test_wrong_input_is_said_beside_its_field_and_in_a_summary_that_leads_there(ada: Person) -> None:
    ada.choose("Manual Add")
    ada.type_client("<Nordwind>", "nobody")
    ada.expects(422)
    with ada.page.expect_response(lambda answer: answer.request.method == "POST") as answer:
        ada.press("Save")
    assert answer.value.status == 422

    name, address = ada.dialog.get_by_label("Company Name"), ada.dialog.get_by_label("Email Address")
    summary = ada.dialog.get_by_role("alert").filter(has_text="Not saved. Please fix the following")
    expect(summary).to_be_focused()
    for field, typed in [(name, "<Nordwind>"), (address, "nobody")]:
        expect(field).to_have_value(typed)
        expect(field).to_have_attribute("aria-invalid", "true")
        reason = said_beside(field)
        expect(reason).to_be_visible()
        expect(summary).to_contain_text(reason.inner_text().strip())

    summary.get_by_role("link", name="Email Address").click()
    expect(address).to_be_focused()
    expect(ada.rows).to_have_count(0)


def test_an_address_that_is_in_the_table_already_is_answered_like_a_new_one(
    ada: Person, clients: None, mail_server: MailServer
) -> None:
    ada.choose("Manual Add")
    ada.type_client("Somebody else", "INFO@nordwind.test")
    ada.press("Save")
    expect(ada.dialog).to_be_hidden()
    expect(ada.rows).to_have_count(3)
    expect(ada.cell(NORDWIND, "company_name")).to_have_text("Nordwind")
    expect(ada.page.locator("#page-alert")).to_be_empty()
    assert len(mail_server.to(NORDWIND)) == 1


# Resend and remove


def test_a_resent_invitation_replaces_the_one_before(
    clients: None, app_driver: AppDriver, ada: Person, nora: Person, mail_server: MailServer
) -> None:
    (old,) = mail_server.to(NORDWIND)
    app_driver.do(as_if_sent_days_ago, NORDWIND)
    ada.page.reload()
    last_sent = ada.cell(NORDWIND, "email_last_sent").locator("time")
    days_ago = last_sent.get_attribute("datetime")
    assert days_ago

    ada.button(NORDWIND, "Resend Invite").click()
    expect(last_sent).not_to_have_attribute("datetime", days_ago)
    expect(ada.button(NORDWIND, "Resend Invite")).to_be_focused()
    new = mail_server.wait_for(NORDWIND, count=2)

    nora.expects(410)
    nora.open(old.link)
    expect(nora.heading).to_have_text("This invitation was replaced by a newer one")
    nora.open(new.link)
    expect(nora.heading).to_have_text("Nordwind is invited to Harbour Tours")


def test_a_removal_is_asked_about_first_and_nothing_happens_before_the_answer(ada: Person, clients: None) -> None:
    ada.page.reload()
    for key in ("Escape", "Enter"):
        ada.button(BERGHOF, "Remove").click()
        expect(ada.dialog).to_contain_text("Berghof")
        expect(ada.dialog).to_contain_text(BERGHOF)
        expect(ada.dialog.get_by_text("Cancel", exact=True)).to_be_focused()
        ada.page.keyboard.press(key)
        expect(ada.dialog).to_be_hidden()
        expect(ada.button(BERGHOF, "Remove")).to_be_focused()
    ada.page.reload()
    expect(ada.rows).to_have_count(3)


def test_after_a_removal_the_focus_is_on_the_next_row(
    ada: Person, clients: None, nora: Person, mail_server: MailServer
) -> None:
    link = mail_server.to(BERGHOF)[0].link
    ada.page.reload()
    for email, next_to_have_focus in [
        (BERGHOF, ada.button(NORDWIND, "Remove")),
        (NORDWIND, ada.button(CORDOBA, "Remove")),
        (CORDOBA, ada.page.get_by_role("button", name="Add Client")),
    ]:
        ada.button(email, "Remove").click()
        ada.dialog.get_by_role("button", name="Remove").click()
        expect(ada.row(email)).to_have_count(0)
        expect(next_to_have_focus).to_be_focused()
    expect(ada.page.get_by_text("No clients yet")).to_be_visible()

    nora.expects(410)
    nora.open(link)
    expect(nora.heading).to_have_text("This invitation was withdrawn")


def test_who_comes_too_late_reads_why(ada: Person, clients: None, app_driver: AppDriver) -> None:
    """Another admin removes the client while its row is still on this one's screen."""
    ada.page.reload()
    app_driver.remove(app_driver.client(BERGHOF).id)
    ada.expects(404)
    ada.button(BERGHOF, "Remove").click()
    expect(ada.page.get_by_role("alert")).to_contain_text("This no longer exists")
    expect(ada.row(BERGHOF)).to_have_count(0)


# Getting about


def test_back_and_forward_go_between_the_tabs(ada: Person) -> None:
    tabs = ada.page.get_by_role("navigation", name="Accounts").locator("[aria-current=page]")
    expect(tabs).to_have_text("Imported Clients")
    ada.page.get_by_role("link", name="All", exact=True).click()
    expect(tabs).to_have_text("All")
    expect(ada.page.get_by_role("cell", name="ada@harbour.test")).to_be_visible()
    ada.page.go_back()
    expect(tabs).to_have_text("Imported Clients")
    expect(ada.page.get_by_role("button", name="Add Client")).to_be_visible()
    ada.page.go_forward()
    expect(tabs).to_have_text("All")


def test_after_signing_out_back_shows_nothing_any_more(ada: Person) -> None:
    ada.press("Sign out")
    expect(ada.heading).to_have_text("Sign in")
    ada.page.go_back()
    expect(ada.heading).to_have_text("Sign in")


def test_whoever_lost_the_session_signs_in_and_is_back_where_it_was(ada: Person) -> None:
    ada.context.clear_cookies()
    ada.expects(401)
    ada.choose("Manual Add")
    expect(ada.heading).to_have_text("Sign in")
    ada.fill_in_sign_in("ada@harbour.test")
    expect(ada.page).to_have_url(re.compile(f"{ic(HARBOUR)}$"))
    expect(ada.rows).to_have_count(0)


# When something is lost


def test_while_the_server_is_gone_a_sentence_says_so_and_once_it_is_back_the_same_button_works(
    ada: Person, site: LiveServer
) -> None:
    ada.choose("Manual Add")
    ada.type_client("Nordwind", NORDWIND)
    ada.expects("ERR_CONNECTION_REFUSED")
    site.stop()
    ada.press("Save")
    expect(ada.dialog.get_by_role("alert")).to_contain_text("We don't know whether this was done")
    expect(ada.dialog.locator("[data-alert]")).to_be_focused()
    expect(ada.dialog.get_by_label("Company Name")).to_have_value("Nordwind")
    expect(ada.dialog.get_by_label("Email Address")).to_have_value(NORDWIND)

    site.start_again()
    ada.press("Save")
    expect(ada.dialog).to_be_hidden()
    expect(ada.row(NORDWIND)).to_be_visible()


# What the browser is spared


@pytest.mark.usefixtures("own_windows")
def test_everything_comes_from_our_own_origin_and_is_small(ada: Person, site: LiveServer) -> None:
    """A visit with an empty cache: less than 60 kB over the wire."""
    address_of: dict[str, str] = {}
    size_of: dict[str, int] = {}
    ada.page.wait_for_load_state("networkidle")
    network = ada.context.new_cdp_session(ada.page)
    network.on("Network.requestWillBeSent", lambda sent: address_of.update({sent["requestId"]: sent["request"]["url"]}))
    network.on("Network.loadingFinished", lambda end: size_of.update({end["requestId"]: end["encodedDataLength"]}))
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    ada.page.reload(wait_until="networkidle")
    assert [address for address in address_of.values() if not address.startswith(f"{site.url}/")] == []
    loaded = " ".join(address_of.get(request, "") for request in size_of)
    for part in ("/imported-clients", "app.css", "app.js", "htmx", "icons.svg"):
        assert part in loaded
    assert sum(size_of.values()) < 60_000


def said_beside(field: Locator) -> Locator:
    """The error message that a field is described by."""
    ids = (field.get_attribute("aria-describedby") or "").split()
    return field.page.locator(f"#{ids[-1]}")


def as_if_sent_days_ago(email: str) -> None:
    with transaction() as session:
        client = find_client(HARBOUR, email)
        session.add(client)
        client.email_last_sent_at = now() - timedelta(days=3)
