"""A place is a page or a dialog of the world; here are all of them, and how to get there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import FilePayload, expect

from tests.browser.world import ADA, CARLA, LONG_ADDRESS, LONG_NAME, OLAF, ONE_ROW, QUIET, SAM, UNVERIFIED, ZOE, World
from tests.conftest import ALPINE, HARBOUR
from tests.support.browser import ic
from tests.support.chromium import Person

ACCOUNTS = "/portals/harbour/settings/accounts"
TEAM = f"/portals/{HARBOUR}/settings/team"


@dataclass(frozen=True)
class Place:
    """Where to look around: how to get there, as whom, and the status it is answered with if that is an error's."""

    go: Callable[[Person, World], object]
    who: str | None = None
    status: int | None = None
    part: str = "html"
    """What axe looks at there: an open menu covers something else, which is meant so, and what is behind a dialog is
    another place."""


def at(path: str, who: str | None = None, status: int | None = None) -> Place:
    return Place(lambda person, _: person.open(path), who, status)


def by_link(name: str, who: str | None = None, status: int | None = None) -> Place:
    return Place(lambda person, world: person.open(world.link[name]), who, status)


def at_client(path: str) -> Place:
    return Place(lambda person, world: person.open(f"{world.client_path}{path}"), ADA)


def verify_elsewhere(person: Person, world: World) -> None:
    person.open(world.link["newer verification"])
    person.press("Verify my email address")
    expect(person.page.get_by_text("in another browser")).to_be_visible()


def sign_in_wrongly(person: Person, _world: World) -> None:
    person.open("/login")
    person.page.get_by_label("Email").fill("nobody@harbour.test")
    person.page.get_by_label("Password", exact=True).fill("not the password")
    person.press("Sign in")
    expect(person.page.get_by_text("Incorrect email address or password")).to_be_visible()


def change_password_wrongly(person: Person, _world: World) -> None:
    person.open("/account")
    person.page.get_by_label("New password", exact=True).fill("short")
    person.press("Change password")
    is_refused(person)


def is_refused(person: Person) -> None:
    """The page says so first of all, and what is wrong has the focus: the only field, or the summary."""
    expect(person.page).to_have_title(re.compile("^Error: "))
    expect(person.page.locator("[data-error-summary]:focus, [aria-invalid=true]:focus")).to_have_count(1)


def register_wrongly(person: Person, world: World) -> None:
    person.open(world.link["new"])
    person.page.get_by_label("Password", exact=True).fill("short")
    person.press("Register")
    is_refused(person)


def register_wrongly_in_arabic(person: Person, world: World) -> None:
    person.open(world.link["arabic"])
    person.page.get_by_label("كلمة المرور", exact=True).fill("short")
    person.press("تسجيل")
    expect(person.page.get_by_text("لم يتم الحفظ")).to_be_visible()


def brand_wrongly(person: Person, _world: World) -> None:
    person.open(f"/portals/{ALPINE}/settings/branding")
    person.page.get_by_label("Colour", exact=True).fill("yellowish")
    person.press("Publish")
    is_refused(person)


def name_no_mail_server(person: Person, _world: World) -> None:
    person.open(f"/portals/{HARBOUR}/settings/email")
    person.page.get_by_label("Our own mail server", exact=True).check()
    person.press("Save")
    is_refused(person)


def send_a_test_mail(person: Person, _world: World) -> None:
    person.open(f"/portals/{HARBOUR}/settings/email")
    person.press("Send a test email")
    expect(person.page.locator("#connection-test")).to_be_visible()


def check_the_sender(person: Person, _world: World) -> None:
    person.open(f"/portals/{QUIET}/settings/email")
    expect(person.page.locator("[data-sender-record=MX]")).to_be_visible()


def name_no_endpoint(person: Person, _world: World) -> None:
    person.open(f"/portals/{QUIET}/settings/webhooks")
    person.press("Add endpoint")
    is_refused(person)


def rotate_a_secret(person: Person, _world: World) -> None:
    person.open(f"/portals/{QUIET}/settings/webhooks")
    person.page.get_by_role("link", name="Rotate the secret").first.click()
    person.press("Rotate the secret")
    expect(person.page.locator("#webhook-secret")).to_be_visible()


def edit_an_endpoint(person: Person, _world: World) -> None:
    person.open(f"/portals/{QUIET}/settings/webhooks")
    person.page.get_by_role("link", name="Edit").first.click()
    expect(person.page.get_by_role("heading", name="Edit endpoint")).to_be_visible()


def reset_wrongly(person: Person, world: World) -> None:
    person.open(world.link["reset"])
    person.page.get_by_label("New password").fill("short")
    person.press("Set password")
    is_refused(person)


def open_menu(person: Person, _world: World) -> None:
    person.open_imported_clients(HARBOUR, **ONE_ROW)
    person.press("Add Client")
    expect(person.menu).to_be_visible()


def open_dialog(item: str) -> Callable[[Person, World], None]:
    def go(person: Person, _world: World) -> None:
        person.open_imported_clients(HARBOUR, **ONE_ROW)
        person.choose(item)
        expect(person.dialog).to_be_visible()

    return go


def add_wrongly(person: Person, world: World) -> None:
    open_dialog("Manual Add")(person, world)
    person.type_client("<Nordwind>", "nobody")
    person.press("Save")
    expect(person.dialog.locator("[data-error-summary]")).to_be_focused()


def import_wrongly(person: Person, world: World) -> None:
    open_dialog("Bulk Invite")(person, world)
    lines = ["company_name,email", "Good,good@client.test", f"{LONG_NAME},nobody", "Good,good@client.test", "<>,"]
    person.page.get_by_label("CSV file").set_input_files(
        FilePayload(name="clients.csv", mimeType="text/csv", buffer="\n".join(lines).encode())
    )
    person.press("Import")
    expect(person.dialog.locator("[data-import-errors]")).to_be_visible()


def show_an_import(person: Person, _world: World) -> None:
    person.open(f"{ic(QUIET)}/imports")
    person.page.get_by_role("link", name="clients.csv: show its clients").click()
    expect(person.page.locator("#chip-import_id")).to_be_visible()


def ask_to_take_back(person: Person, _world: World) -> None:
    person.open(f"{ic(QUIET)}/imports")
    person.page.get_by_role("button", name="Take back clients.csv").click()
    expect(person.dialog).to_be_visible()


def preview_an_import(person: Person, world: World) -> None:
    person.open(f"/portals/{HARBOUR}/settings/invitations")
    person.page.get_by_label("Show a preview before").fill("1")
    person.press("Save")
    expect(person.page.locator("#page-status")).to_contain_text("Saved.")
    open_dialog("Bulk Invite")(person, world)
    lines = ["company_name,email", f"{LONG_NAME},info@gmial.com", "شركة السفر,safar@client.test"]
    person.page.get_by_label("CSV file").set_input_files(
        FilePayload(name="clients.csv", mimeType="text/csv", buffer="\n".join(lines).encode())
    )
    person.page.get_by_label("Message").fill("Welcome.\nمرحبا")
    person.press("Import")
    expect(person.dialog.frame_locator("iframe").get_by_text("Welcome.")).to_be_visible()


def ask_to_remove(person: Person, _world: World) -> None:
    person.open_imported_clients(HARBOUR, **ONE_ROW)
    person.button(LONG_ADDRESS, "Remove").click()
    expect(person.dialog).to_be_visible()


def ask_to_end_access(person: Person, _world: World) -> None:
    person.open(ACCOUNTS)
    person.page.get_by_role("button", name="End access").first.click()
    expect(person.dialog).to_be_visible()


def ask_to_resend(person: Person, _world: World) -> None:
    person.open(f"{ic(HARBOUR)}?email=declined")
    person.button("declined@client.test", "Resend Invite").click()
    expect(person.dialog).to_be_visible()


def open_filters(person: Person, _world: World) -> None:
    person.open(f"{ic(HARBOUR)}?status=invite_sent&company_name=e")
    person.press("Filter")
    expect(person.filters).to_be_visible()


def open_history(person: Person, _world: World) -> None:
    person.open_imported_clients(HARBOUR, **ONE_ROW)
    person.open_history(LONG_ADDRESS)
    expect(person.panel).to_be_visible()


def read_a_mail(person: Person, world: World) -> None:
    open_history(person, world)
    person.panel.get_by_role("link", name="Show email").click()
    expect(person.panel.locator(".mail")).to_be_visible()


def correct(person: Person, world: World) -> None:
    open_history(person, world)
    person.panel.get_by_role("button", name="Edit and resend").click()
    expect(person.page.locator("#dialog")).to_be_visible()


def correct_wrongly(person: Person, world: World) -> None:
    correct(person, world)
    person.page.get_by_label("Email Address").fill("new@client.test")
    person.press("Save and resend")
    expect(person.page.get_by_label("Email Address")).to_be_focused()


def tick_all(person: Person, _world: World) -> None:
    person.open_imported_clients(HARBOUR)
    person.page.get_by_role("checkbox", name="Select all on this page").check()
    expect(person.selection).to_be_visible()


def ask_about_all(button: str) -> Callable[[Person, World], None]:
    def go(person: Person, world: World) -> None:
        tick_all(person, world)
        person.selection.get_by_role("button", name=button).click()
        expect(person.dialog).to_contain_text("1 selected client has already joined and will be skipped.")

    return go


def look_at_the_weeks(person: Person, _world: World) -> None:
    person.open_imported_clients(HARBOUR, **ONE_ROW)
    person.page.get_by_role("link", name="Activity").click()
    person.dialog.get_by_text("Show as table", exact=True).click()


def lose_a_race(person: Person, world: World) -> None:
    """A dialog is asked for that can no longer be opened."""
    person.open_imported_clients(HARBOUR, email="new@client.test")
    remove = person.button("new@client.test", "Remove")
    address = remove.get_attribute("hx-get")
    assert address
    person.page.route(f"**{address}", lambda route: route.continue_(url=f"{world.url}{ic(HARBOUR)}/nobody/remove"))
    remove.click()
    expect(person.page.locator("#page-alert [data-alert]")).to_be_visible()


def invite_twice(person: Person, _world: World) -> None:
    person.open(TEAM)
    person.page.get_by_label("Email").fill("colleague@harbour.test")
    person.press("Invite")
    is_refused(person)


def ask_to_remove_a_member(person: Person, _world: World) -> None:
    person.open(TEAM)
    person.page.get_by_role("button", name="Remove").click()
    expect(person.dialog).to_contain_text("Remove Sam Lund from the team?")


def ask_to_remove_on_a_page(person: Person, _world: World) -> None:
    person.open(TEAM)
    address = person.page.get_by_role("button", name="Remove").get_attribute("href")
    assert address
    person.open(address)


PLACES = {
    "sign-in": at("/login"),
    "sign-in, refused": Place(sign_in_wrongly, status=422),
    "password forgotten": at("/password-reset"),
    "password forgotten, sent": at("/password-reset?sent=1"),
    "password reset": by_link("reset"),
    "password reset, refused": Place(reset_wrongly, status=422),
    "password reset, used": by_link("reset used", status=410),
    "choice of portals": at("/portals", ADA),
    "own account": at("/account", ADA),
    "refused password": Place(change_password_wrongly, ADA, 422),
    "joined portals": at("/portals", CARLA),
    "no portals": at("/portals", ZOE),
    "accounts": at(ACCOUNTS, ADA),
    "accounts, none match": at(f"{ACCOUNTS}?q=nobody", ADA),
    "dialog End access": Place(ask_to_end_access, ADA, part="#dialog"),
    "imported clients": at(ic(HARBOUR), ADA),
    "imported clients, seen by staff": at(ic(HARBOUR), SAM),
    "imported clients, none yet": at(ic(ALPINE), OLAF),
    "imported clients, with an import": at(ic(QUIET), ADA),
    "imported clients, of one import": Place(show_an_import, ADA),
    "imports": at(f"{ic(QUIET)}/imports", ADA),
    "imports, none yet": at(f"{ic(ALPINE)}/imports", OLAF),
    "imports, none match": at(f"{ic(QUIET)}/imports?q=nowhere", ADA),
    "dialog Take back": Place(ask_to_take_back, ADA, part="#dialog"),
    "imported clients, those that need attention": at(f"{ic(HARBOUR)}?health=attention", ADA),
    "imported clients, none match": at(f"{ic(HARBOUR)}?company_name={LONG_NAME}&email=nobody", ADA),
    "imported clients, all ticked": Place(tick_all, ADA),
    "filters": Place(open_filters, ADA, part="#filter-panel"),
    "history": Place(open_history, ADA, part="#panel"),
    "history, a mail opened": Place(read_a_mail, ADA, part="#panel"),
    "dialog Edit and resend": Place(correct, ADA, part="#dialog"),
    "dialog Edit and resend, refused": Place(correct_wrongly, ADA, 422, part="#dialog"),
    "dialog Resend of several": Place(ask_about_all("Resend"), ADA, part="#dialog"),
    "dialog Remove of several": Place(ask_about_all("Remove"), ADA, part="#dialog"),
    "dialog Last 12 weeks": Place(look_at_the_weeks, ADA, part="#dialog"),
    "menu Add Client": Place(open_menu, ADA, part="#add-client-menu"),
    "dialog Manual Add": Place(open_dialog("Manual Add"), ADA, part="#dialog"),
    "dialog Manual Add, refused": Place(add_wrongly, ADA, 422, part="#dialog"),
    "dialog Bulk Invite": Place(open_dialog("Bulk Invite"), ADA, part="#dialog"),
    "dialog Bulk Invite, refused": Place(import_wrongly, ADA, 422, part="#dialog"),
    "dialog Bulk Invite, previewed": Place(preview_an_import, ADA, part="#dialog"),
    "account, to be deleted": at("/account/delete", SAM),
    "account of a last admin, not to be deleted": at("/account/delete", OLAF),
    "account deleted": at("/account/deleted"),
    "dialog Remove": Place(ask_to_remove, ADA, part="#dialog"),
    "dialog Resend to who has declined": Place(ask_to_resend, ADA, part="#dialog"),
    "sentence above the table": Place(lose_a_race, ADA, 404),
    "page Manual Add": at(f"{ic(HARBOUR)}/new", ADA),
    "page Bulk Invite": at(f"{ic(HARBOUR)}/import", ADA),
    "page Remove": at_client("/remove"),
    "page of an import": Place(lambda person, world: person.open(world.import_path), ADA),
    "invitation": by_link("new"),
    "settings, team": at(TEAM, ADA),
    "settings, team, refused": Place(invite_twice, ADA, 422),
    "dialog Remove from the team": Place(ask_to_remove_a_member, ADA, part="#dialog"),
    "page Remove from the team": Place(ask_to_remove_on_a_page, ADA),
    "invitation of a colleague": by_link("colleague"),
    "settings, branding": at(f"/portals/{ALPINE}/settings/branding", OLAF),
    "settings, branding, refused": Place(brand_wrongly, OLAF, 422),
    "settings, branding, all in yellow": at(f"/portals/{ALPINE}/settings/branding/preview/invitation", OLAF),
    "settings, e-mail": at(f"/portals/{HARBOUR}/settings/email", ADA),
    "settings, e-mail, refused": Place(name_no_mail_server, ADA, 422),
    "settings, e-mail, after a test mail": Place(send_a_test_mail, ADA),
    "settings, e-mail, sender check": Place(check_the_sender, ADA),
    "settings, e-mail, sender check as a page": at(f"/portals/{QUIET}/settings/email/sender", ADA),
    "settings, webhooks, none yet": at(f"/portals/{ALPINE}/settings/webhooks", OLAF),
    "settings, webhooks": at(f"/portals/{QUIET}/settings/webhooks", ADA),
    "settings, webhooks, refused": Place(name_no_endpoint, ADA, 422),
    "settings, webhooks, a secret": Place(rotate_a_secret, ADA),
    "settings, webhooks, edit": Place(edit_an_endpoint, ADA),
    "settings, invitations": at(f"/portals/{HARBOUR}/settings/invitations", ADA),
    "settings, embedding": at(f"/portals/{HARBOUR}/settings/embedding", ADA),
    "settings, audit": at(f"/portals/{HARBOUR}/settings/audit", ADA),
    "settings, audit, nothing matches": at(f"/portals/{HARBOUR}/settings/audit?to=2020-01-01", ADA),
    "invitation, declined": by_link("declined"),
    "declined": Place(lambda person, world: person.open(f"{world.link['declined']}/decline")),
    "invitation, refused": Place(register_wrongly, status=422),
    "invitation with a long name": by_link("long"),
    "invitation from right to left": by_link("arabic"),
    "invitation from right to left, refused": Place(register_wrongly_in_arabic, status=422),
    "invitation of an account": by_link("for olaf"),
    "invitation of an account, as somebody else": by_link("for olaf", ZOE),
    "invitation to accept": by_link("for olaf", OLAF),
    "invitation to verify first": by_link("for unverified", UNVERIFIED),
    "invitation of a test mail": at("/invitations/test"),
    "reminders, still on": by_link("stop reminders"),
    "reminders, turned off": by_link("reminders off"),
    "reminders, of nobody any more": by_link("reminders of withdrawn", status=410),
    "notices, turned off": by_link("notices off"),
    "invitation, expired": by_link("expired", status=410),
    "invitation, replaced": by_link("replaced", status=410),
    "invitation, withdrawn": by_link("withdrawn", status=410),
    "invitation, used": by_link("joined", status=410),
    "verification": by_link("newer verification"),
    "verification in another browser": Place(verify_elsewhere, status=422),
    "verification, replaced": by_link("verification of unverified", status=410),
    "verification, expired": by_link("verification of late", status=410),
    "verification, used": by_link("verification of joined", status=410),
    "registered": at("/verify-email"),
    "to be verified": at("/verify-email?sent=1", UNVERIFIED),
    "verified": at("/verified"),
    "not found": at("/nowhere", status=404),
    "not allowed": at(f"{ic(HARBOUR)}/new", SAM, 403),
}
