"""Every page and every dialog, in a real browser: WCAG 2.2 AA by axe, light and dark, and no sideways scrolling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from flask import Flask
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import FilePayload, expect
from sqlalchemy import update

from app import create_app
from app.accounts.users import find_user
from app.branding.service import Design, publish
from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import (
    Branding,
    Language,
    MailState,
    Role,
    Stage,
    User,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookState,
)
from app.portals.service import grant_role
from app.registration.password_reset import request_reset, set_new_password
from app.registration.service import decline, register
from app.registration.verification import Visitor, send_verification_again, verify_email
from app.webhooks.endpoints import EVENTS, add_endpoint
from config import load_settings
from tests.conftest import ALPINE, HARBOUR
from tests.support import axe, smtp
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.chromium import Person
from tests.support.databases import SqliteDatabases
from tests.support.factories import PASSWORD, find_client, import_file, invite, make_member, make_portal, make_user
from tests.support.live import LiveServer

pytestmark = pytest.mark.browser

QUIET = "quiet"
SOUK = "souk"
ACCOUNTS = "/portals/harbour/settings/accounts"

ADA = "ada@harbour.test"
SAM = "sam@harbour.test"
OLAF = "olaf@alpine.test"
CARLA = "carla@client.test"
ZOE = "zoe@nowhere.test"
UNVERIFIED = "unverified@client.test"
LATE = "late@client.test"

LONG_NAME = "Donaudampfschifffahrtsgesellschaftskapitänswitwenundwaisenversorgungsanstalt Regensburg"
LONG_ADDRESS = f"{'a-long-mailbox-name-' * 3}end@{'a-long-domain-' * 4}end.test"

DESKTOP, PHONE, NARROWEST = 1280, 375, 320


class World:
    """Portals with clients in every state, and links of every kind; nothing in it changes while we look around."""

    def __init__(self, app: Flask, url: str, mails: smtp.MailServer) -> None:
        self.app = app
        self.url = url
        self.link: dict[str, str] = {}
        self._mails = mails
        self._sessions: dict[str, Browser] = {}
        self._app_driver = AppDriver(app)
        with app.app_context():
            self._make_people()
            self._make_clients()
            self._make_accounts()
            self._make_webhooks()
            self.import_path = f"{ic(QUIET)}/imports/{import_file(QUIET, 'one@client.test', 'two@client.test')}"
            self.client_path = f"{ic(HARBOUR)}/{find_client(HARBOUR, LONG_ADDRESS).id}"
            db.session.remove()

    def session_of(self, email: str) -> Browser:
        if email not in self._sessions:
            self._sessions[email] = Browser(self.app)
            assert self._sessions[email].sign_in(email, PASSWORD).status_code == 303
        return self._sessions[email]

    def _make_people(self) -> None:
        make_portal(HARBOUR, "Harbour Tours")
        make_portal(ALPINE, "Alpine Stays")
        make_portal(QUIET, LONG_NAME)
        make_member(HARBOUR, ADA, "Ada Berg", Role.CLIENT_ADMIN)
        grant_role(QUIET, ADA, Role.CLIENT_ADMIN)
        make_member(HARBOUR, SAM, "Sam Lund", Role.STAFF)
        make_member(HARBOUR, CARLA, LONG_NAME, Role.CLIENT)
        make_member(ALPINE, OLAF, "Olaf Nyman", Role.CLIENT_ADMIN)
        make_user(ZOE, "Zoe Ray")
        # Of all colours the one that is hardest to read.
        publish(ALPINE, Design(accent="#ffee00", support_address=LONG_ADDRESS, greeting="Hello {company}!"))

    def _make_clients(self) -> None:
        """Each is called what becomes of it."""
        self._mails.refuse["refused@client.test"] = "550 5.1.1 There is no mailbox of that name here."
        invite(HARBOUR, "refused@client.test", "Refused")
        for name in ("new", "expired", "replaced", "withdrawn", "joined", "unverified", "late", "declined"):
            self._invite(name, f"{name}@client.test", name.capitalize())
        self._invite("for olaf", OLAF, "Alpine Stays")
        self._invite("long", LONG_ADDRESS, LONG_NAME)
        make_portal(SOUK, "سوق السفر")
        grant_role(SOUK, ADA, Role.CLIENT_ADMIN)
        with transaction() as session:
            session.add(Branding(portal_id=SOUK, stage=Stage.PUBLISHED, language=Language.ARABIC))
        invite(SOUK, "arabic@client.test", LONG_NAME)
        self._next_link("arabic", "arabic@client.test")
        self._app_driver.let_link_lapse(find_client(HARBOUR, "expired@client.test").id, now() - timedelta(days=1))
        self._app_driver.resend(find_client(HARBOUR, "replaced@client.test").id)
        self._app_driver.remove(find_client(HARBOUR, "withdrawn@client.test").id)
        decline(token_of(self.link["declined"]))

    def _make_accounts(self) -> None:
        for name in ("joined", "unverified", "late"):
            register(token_of(self.link[name]), f"{name.capitalize()} Person", PASSWORD)
            self._next_link(f"verification of {name}", f"{name}@client.test")
        joined = Visitor(user_id_of("joined@client.test"))
        verify_email(token_of(self.link["verification of joined"]), joined)
        send_verification_again(user_id_of(UNVERIFIED))
        self._next_link("newer verification", UNVERIFIED)
        invite(ALPINE, UNVERIFIED, "Unverified", actor=OLAF)
        self._next_link("for unverified", UNVERIFIED)
        with transaction() as session:
            past = now() - timedelta(days=1)
            session.execute(update(User).where(User.email == LATE).values(verification_expires_at=past))
        request_reset(ZOE, "127.0.0.1")
        set_new_password(token_of(self._next_link("reset used", ZOE)), PASSWORD)
        request_reset(ZOE, "127.0.0.1")
        self._next_link("reset", ZOE)
        for state, note in [(MailState.QUEUED, "The mail server cannot be reached."), (MailState.SENDING, None)]:
            invite(HARBOUR, f"{state}@client.test", state.capitalize())
            mail_id = self._app_driver.mail(f"{state}@client.test").id
            self._app_driver.change_mail(mail_id, state=state, last_error=note)

    def _make_webhooks(self) -> None:
        """Endpoints that are on, away and gone, and a delivery in each state."""
        for host in ("on", "away", LONG_ADDRESS.rpartition("@")[2]):
            add_endpoint(QUIET, f"https://{host}/{'hooks' * 20}", LONG_NAME, EVENTS)
        # None of them is ever asked: nobody delivers here.
        for state in WebhookState:
            invite(QUIET, f"{state}@hooks.test", LONG_NAME)
            with transaction() as session:
                told = WebhookDelivery.email == f"{state}@hooks.test"
                values = {"state": state, "attempts": 2, "last_answer": "It answered 500.", "last_tried_at": now()}
                session.execute(update(WebhookDelivery).where(told).values(**values, delivered_at=now()))
        with transaction() as session:
            away = WebhookEndpoint.url.startswith("https://away/")
            values = {"paused_since": now(), "paused_until": now(), "pause_reason": "The connection was refused."}
            session.execute(update(WebhookEndpoint).where(away).values(**values))
            gone = WebhookEndpoint.url.startswith("https://a-long")
            session.execute(update(WebhookEndpoint).where(gone).values(is_on=False, gone_at=now()))

    def _invite(self, name: str, email: str, company_name: str) -> None:
        invite(HARBOUR, email, company_name)
        self._next_link(name, email)

    def _next_link(self, name: str, email: str) -> str:
        count = len(self._mails.to(email)) + 1
        run_job(self.app, "flush-outbox")
        self.link[name] = self._mails.wait_for(email, count).link
        return self.link[name]


def token_of(link: str) -> str:
    return link.rpartition("/")[2]


def user_id_of(email: str) -> int:
    user = find_user(email)
    assert user is not None
    return user.id


@pytest.fixture(scope="module")
def world(sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    controller, mails = smtp.start()
    server = LiveServer()
    settings = {
        "DATABASE_URL": sqlite_databases.fresh(tmp_path_factory.mktemp("world")),
        "SECRET_KEY": "a key for tests and nothing else",
        "PUBLIC_BASE_URL": server.url,
        "MAIL_SERVER": mails.host,
        "MAIL_PORT": str(mails.port),
    }
    app = create_app(load_settings(settings))
    world = World(app, server.url, mails)
    server.start(app)
    yield world
    server.stop()
    controller.stop(no_assert=True)
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def visit(chromium_browser: Chromium, world: World) -> Iterator[Callable[[str], Person]]:
    """Goes to a place of the world as whoever may be there. The browser may find nothing to complain about."""
    people: list[Person] = []

    def go(name: str) -> Person:
        place = PLACES[name]
        person = Person(chromium_browser, world.url)
        people.append(person)
        # axe-core asks the frames of a page about themselves, and those of a preview are sandboxed.
        person.expects_of_console("Failed to execute 'postMessage'")
        if place.who:
            person.is_signed_in_as(world.session_of(place.who))
        if place.status:
            person.expects(place.status)
        place.go(person, world)
        return person

    yield go
    for person in people:
        person.leave()
        assert person.complaints == []


# The places


@dataclass(frozen=True)
class Place:
    """Where to look around: how to get there, as whom, and the status it is answered with if that is an error's."""

    go: Callable[[Person, World], object]
    who: str | None = None
    status: int | None = None
    part: str = "html"
    """What axe looks at there: an open menu covers something else, which is meant so."""


def at(path: str, who: str | None = None, status: int | None = None) -> Place:
    return Place(lambda person, _: person.open(path), who, status)


def by_link(name: str, who: str | None = None, status: int | None = None) -> Place:
    return Place(lambda person, world: person.open(world.link[name]), who, status)


def at_client(path: str) -> Place:
    return Place(lambda person, world: person.open(f"{world.client_path}{path}"), ADA)


def verify_elsewhere(person: Person, world: World) -> None:
    person.open(world.link["newer verification"])
    person.press("Verify my e-mail")
    expect(person.page.get_by_text("in another browser")).to_be_visible()


def sign_in_wrongly(person: Person, _world: World) -> None:
    person.open("/login")
    person.page.get_by_label("E-mail").fill("nobody@harbour.test")
    person.page.get_by_label("Password", exact=True).fill("not the password")
    person.press("Sign in")
    expect(person.page.get_by_text("is not right")).to_be_visible()


def register_wrongly(person: Person, world: World) -> None:
    person.open(world.link["new"])
    person.page.get_by_label("Password", exact=True).fill("short")
    person.press("Register")
    expect(person.page.get_by_text("Nothing was saved yet")).to_be_visible()


def register_wrongly_in_arabic(person: Person, world: World) -> None:
    person.open(world.link["arabic"])
    person.page.get_by_label("كلمة المرور", exact=True).fill("short")
    person.press("تسجيل")
    expect(person.page.get_by_text("لم يُحفظ أي شيء بعد")).to_be_visible()


def brand_wrongly(person: Person, _world: World) -> None:
    person.open(f"/portals/{ALPINE}/settings/branding")
    person.page.get_by_label("Colour", exact=True).fill("yellowish")
    person.press("Publish")
    expect(person.page.get_by_text("Nothing was saved yet")).to_be_visible()


def name_no_mail_server(person: Person, _world: World) -> None:
    person.open(f"/portals/{HARBOUR}/settings/email")
    person.page.get_by_label("a mail server of our own").check()
    person.press("Save")
    expect(person.page.get_by_text("Nothing was saved yet")).to_be_visible()


def send_a_test_mail(person: Person, _world: World) -> None:
    person.open(f"/portals/{HARBOUR}/settings/email")
    person.press("Send a test mail")
    expect(person.page.locator("#connection-test")).to_be_visible()


def name_no_endpoint(person: Person, _world: World) -> None:
    person.open(f"/portals/{QUIET}/settings/webhooks")
    person.press("Add the endpoint")
    expect(person.page.get_by_text("Nothing was saved yet")).to_be_visible()


def roll_a_secret(person: Person, _world: World) -> None:
    person.open(f"/portals/{QUIET}/settings/webhooks")
    person.page.get_by_role("link", name="Roll the secret").first.click()
    person.press("Roll the secret")
    expect(person.page.locator("#webhook-secret")).to_be_visible()


def edit_an_endpoint(person: Person, _world: World) -> None:
    person.open(f"/portals/{QUIET}/settings/webhooks")
    person.page.get_by_role("link", name="Edit").first.click()
    expect(person.page.get_by_role("heading", name="Edit the endpoint")).to_be_visible()


def reset_wrongly(person: Person, world: World) -> None:
    person.open(world.link["reset"])
    person.page.get_by_label("New password").fill("short")
    person.press("Set the password")
    expect(person.page.get_by_text("Nothing was saved yet")).to_be_visible()


def open_menu(person: Person, _world: World) -> None:
    person.open_imported_clients(HARBOUR)
    person.press("Add Client")
    expect(person.menu).to_be_visible()


def open_dialog(item: str) -> Callable[[Person, World], None]:
    def go(person: Person, _world: World) -> None:
        person.open_imported_clients(HARBOUR)
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


def ask_to_remove(person: Person, _world: World) -> None:
    person.open_imported_clients(HARBOUR)
    person.button(LONG_ADDRESS, "Remove").click()
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
    person.open_imported_clients(HARBOUR)
    person.open_history(LONG_ADDRESS)
    expect(person.panel).to_be_visible()


def read_a_mail(person: Person, world: World) -> None:
    open_history(person, world)
    person.panel.get_by_role("link", name="Show the mail").click()
    expect(person.panel.locator(".mail")).to_be_visible()


def correct(person: Person, world: World) -> None:
    open_history(person, world)
    person.panel.get_by_role("button", name="Correct").click()
    expect(person.page.locator("#dialog")).to_be_visible()


def correct_wrongly(person: Person, world: World) -> None:
    correct(person, world)
    person.page.get_by_label("Email Address").fill("new@client.test")
    person.press("Save and resend")
    expect(person.page.locator("[data-error-summary]")).to_be_focused()


def tick_all(person: Person, _world: World) -> None:
    person.open_imported_clients(HARBOUR)
    person.page.get_by_role("checkbox", name="Select all on this page").check()
    expect(person.selection).to_be_visible()


def ask_about_all(button: str) -> Callable[[Person, World], None]:
    def go(person: Person, world: World) -> None:
        tick_all(person, world)
        person.selection.get_by_role("button", name=button).click()
        expect(person.dialog).to_contain_text("1 of the selected has joined and is left out.")

    return go


def look_at_the_weeks(person: Person, _world: World) -> None:
    person.open_imported_clients(HARBOUR)
    person.page.get_by_role("link", name="Last 12 weeks").click()
    person.dialog.get_by_text("The numbers", exact=True).click()


def lose_a_race(person: Person, world: World) -> None:
    """A dialog is asked for that can no longer be opened."""
    person.open_imported_clients(HARBOUR)
    remove = person.button("new@client.test", "Remove")
    address = remove.get_attribute("hx-get")
    assert address
    person.page.route(f"**{address}", lambda route: route.continue_(url=f"{world.url}{ic(HARBOUR)}/nobody/remove"))
    remove.click()
    expect(person.page.locator("#page-alert [data-alert]")).to_be_visible()


PLACES = {
    "sign-in": at("/login"),
    "sign-in, refused": Place(sign_in_wrongly, status=422),
    "password forgotten": at("/password-reset"),
    "password forgotten, sent": at("/password-reset?sent=1"),
    "password reset": by_link("reset"),
    "password reset, refused": Place(reset_wrongly, status=422),
    "password reset, used": by_link("reset used", status=410),
    "choice of portals": at("/portals", ADA),
    "joined portals": at("/portals", CARLA),
    "no portals": at("/portals", ZOE),
    "accounts": at(ACCOUNTS, ADA),
    "accounts, none match": at(f"{ACCOUNTS}?q=nobody", ADA),
    "imported clients": at(ic(HARBOUR), ADA),
    "imported clients, seen by staff": at(ic(HARBOUR), SAM),
    "imported clients, none yet": at(ic(ALPINE), OLAF),
    "imported clients, with an import": at(ic(QUIET), ADA),
    "imported clients, those that need attention": at(f"{ic(HARBOUR)}?health=attention", ADA),
    "imported clients, none match": at(f"{ic(HARBOUR)}?company_name={LONG_NAME}&email=nobody", ADA),
    "imported clients, all ticked": Place(tick_all, ADA),
    "filters": Place(open_filters, ADA, part="#filter-panel"),
    "history": Place(open_history, ADA),
    "history, a mail opened": Place(read_a_mail, ADA),
    "dialog Correct and resend": Place(correct, ADA),
    "dialog Correct and resend, refused": Place(correct_wrongly, ADA, 422),
    "dialog Resend of several": Place(ask_about_all("Resend"), ADA),
    "dialog Remove of several": Place(ask_about_all("Remove"), ADA),
    "dialog Last 12 weeks": Place(look_at_the_weeks, ADA),
    "menu Add Client": Place(open_menu, ADA, part="#add-client-menu"),
    "dialog Manual Add": Place(open_dialog("Manual Add"), ADA),
    "dialog Manual Add, refused": Place(add_wrongly, ADA, 422),
    "dialog Bulk Invite": Place(open_dialog("Bulk Invite"), ADA),
    "dialog Bulk Invite, refused": Place(import_wrongly, ADA, 422),
    "dialog Remove": Place(ask_to_remove, ADA),
    "dialog Resend to who has declined": Place(ask_to_resend, ADA),
    "sentence above the table": Place(lose_a_race, ADA, 404),
    "page Manual Add": at(f"{ic(HARBOUR)}/new", ADA),
    "page Bulk Invite": at(f"{ic(HARBOUR)}/import", ADA),
    "page Remove": at_client("/remove"),
    "page of an import": Place(lambda person, world: person.open(world.import_path), ADA),
    "invitation": by_link("new"),
    "settings, branding": at(f"/portals/{ALPINE}/settings/branding", OLAF),
    "settings, branding, refused": Place(brand_wrongly, OLAF, 422),
    "settings, branding, all in yellow": at(f"/portals/{ALPINE}/settings/branding/preview/invitation", OLAF),
    "settings, e-mail": at(f"/portals/{HARBOUR}/settings/email", ADA),
    "settings, e-mail, refused": Place(name_no_mail_server, ADA, 422),
    "settings, e-mail, after a test mail": Place(send_a_test_mail, ADA),
    "settings, webhooks, none yet": at(f"/portals/{ALPINE}/settings/webhooks", OLAF),
    "settings, webhooks": at(f"/portals/{QUIET}/settings/webhooks", ADA),
    "settings, webhooks, refused": Place(name_no_endpoint, ADA, 422),
    "settings, webhooks, a secret": Place(roll_a_secret, ADA),
    "settings, webhooks, edit": Place(edit_an_endpoint, ADA),
    "settings, invitations": at(f"/portals/{HARBOUR}/settings/invitations", ADA),
    "settings, embedding": at(f"/portals/{HARBOUR}/settings/embedding", ADA),
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


@pytest.mark.parametrize("place", PLACES)
def test_everybody_can_use(visit: Callable[[str], Person], place: str) -> None:
    """Axe finds nothing wrong, and nothing scrolls sideways, not even in the narrowest window that WCAG names."""
    person = visit(place)
    wrong: dict[str, object] = {}
    # Both widths and both themes; what the other two pairs would show is in one of these.
    for width, scheme in ((DESKTOP, "light"), (PHONE, "dark"), (NARROWEST, "dark")):
        person.looks(width, scheme)
        if person.scrolls_sideways():
            wrong[f"{width} px"] = "scrolls sideways"
        if width != NARROWEST and (broken := axe.violations(person.page, PLACES[place].part)):
            wrong[f"{width} px, {scheme}"] = broken
    assert wrong == {}
