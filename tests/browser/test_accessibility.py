"""Every page and every dialog passes axe by WCAG 2.2 AA, in light and dark, and none scrolls sideways."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser as Chromium

from app.extensions import db
from tests.browser.places import PLACES
from tests.browser.world import SENDER_DOMAIN, World
from tests.support import axe, smtp
from tests.support.chromium import Person
from tests.support.databases import SqliteDatabases
from tests.support.dns import DnsServer
from tests.support.live import LiveServer
from tests.support.shared import make_app

pytestmark = pytest.mark.browser

DESKTOP, PHONE, NARROWEST = 1280, 375, 320
WITH_MOST_TEXT = [
    "own account",
    "accounts",
    "imported clients",
    "imported clients, with an import",
    "imports",
    "page Bulk Invite",
    "settings, team",
    "settings, branding",
    "settings, e-mail",
    "settings, webhooks",
    "settings, invitations",
    "settings, audit",
]


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    """Knows a sender whose records are long and wrong."""
    with DnsServer({SENDER_DOMAIN: {"TXT": [f"v=spf1 {'include:a-long-name.test ' * 20}{'x' * 200} ~all"]}}) as server:
        yield server


@pytest.fixture(scope="module")
def world(
    sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory, dns: DnsServer
) -> Iterator[World]:
    controller, mails = smtp.start()
    server = LiveServer()
    settings = {
        "DATABASE_URL": sqlite_databases.fresh(tmp_path_factory.mktemp("world")),
        "SECRET_KEY": "a key for tests and nothing else",
        "PUBLIC_BASE_URL": server.url,
        "MAIL_SERVER": mails.host,
        "MAIL_PORT": str(mails.port),
        "DNS_RESOLVERS": dns.setting,
    }
    app = make_app(settings)
    world = World(app, server.url, mails)
    server.start(app)
    yield world
    server.stop()
    controller.stop(no_assert=True)
    with app.app_context():
        db.engine.dispose()


@pytest.fixture(scope="module")
def window(chromium_browser: Chromium, world: World) -> Iterator[Person]:
    """One for all places: to open another takes Chromium longer than to show a page."""
    person = Person(chromium_browser, world.url)
    axe.make_ready(person.context)
    yield person
    person.leave()


@pytest.fixture
def visit(window: Person, world: World) -> Iterator[Callable[[str], Person]]:
    """Goes to a place of the world as whoever may be there. The browser may find nothing to complain about."""
    window.forgets_everything()

    def go(name: str) -> Person:
        place = PLACES[name]
        # axe-core asks the frames of a page about themselves, and those of a preview are sandboxed.
        window.expects_of_console("Failed to execute 'postMessage'")
        if place.who:
            window.is_signed_in_as(world.session_of(place.who))
        if place.status:
            window.expects(place.status)
        window.looks(DESKTOP)
        place.go(window, world)
        return window

    yield go
    assert window.complaints == []


@pytest.mark.parametrize("place", PLACES)
def test_everybody_can_use(visit: Callable[[str], Person], place: str) -> None:
    """Axe finds nothing wrong, and nothing scrolls sideways, not even in the narrowest window that WCAG names."""
    person = visit(place)
    assert faults(person, place) == {}


# The language with the longest words, and the one that is written from right to left.
@pytest.mark.parametrize(("language", "direction"), [("de", "ltr"), ("ar", "rtl")])
@pytest.mark.parametrize("place", WITH_MOST_TEXT)
def test_everybody_can_use_it_in_their_language(
    window: Person, visit: Callable[[str], Person], place: str, language: str, direction: str
) -> None:
    window.context.set_extra_http_headers({"Accept-Language": language})
    person = visit(place)
    assert person.page.locator(f"html[lang={language}][dir={direction}]").count() == 1
    found = faults(person, place)
    window.context.set_extra_http_headers({})
    assert found == {}


def faults(person: Person, place: str) -> dict[str, object]:
    """What is wrong in a place, in both widths and both themes. What the other two pairs would show is in these."""
    wrong: dict[str, object] = {}
    for width, scheme in ((DESKTOP, "light"), (PHONE, "dark"), (NARROWEST, "dark")):
        person.looks(width, scheme)
        if person.scrolls_sideways():
            wrong[f"{width} px"] = "scrolls sideways"
        if width != NARROWEST and (broken := axe.violations(person.page, PLACES[place].part)):
            wrong[f"{width} px, {scheme}"] = broken
    return wrong
