"""People at real browsers, and the application behind a real port, with its scheduler and a real mail server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect

from app.core.clock import now
from app.core.text import fold
from app.db.transactions import transaction
from app.models import ImportedClient, Role
from app.registration.service import accept
from tests.conftest import HARBOUR, Outbox
from tests.support import chromium
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser as HeadlessBrowser
from tests.support.chromium import Person, Windows
from tests.support.factories import PASSWORD, make_member, make_user
from tests.support.live import LiveServer, answering
from tests.support.proxy import Proxy
from tests.support.smtp import MailServer

NORDWIND = "info@nordwind.test"
CORRECTED = "info@nordwind-reisen.test"
BERGHOF = "post@berghof.test"
CORDOBA = "hola@cordoba.test"

CROWD = 30


@pytest.fixture(scope="session")
def chromium_browser() -> Iterator[Browser]:
    expect.set_options(timeout=chromium.PATIENCE)
    with chromium.launch() as browser:
        yield browser


@pytest.fixture(scope="session")
def _windows(chromium_browser: Browser) -> Iterator[Windows[Person]]:
    windows = Windows(chromium_browser, Person)
    yield windows
    windows.close()


@pytest.fixture(scope="session")
def server() -> Iterator[LiveServer]:
    """Its address is one of the settings. Since it stays, so do applications and windows."""
    server = LiveServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _proxy(server: LiveServer) -> Iterator[Proxy]:
    proxy = Proxy(server.port)
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def proxy(_proxy: Proxy) -> Iterator[Proxy]:
    """A way to the application that can be disturbed."""
    _proxy.forget()
    yield _proxy
    _proxy.release()


@pytest.fixture
def environment(environment: dict[str, str], server: LiveServer) -> dict[str, str]:
    # So seldom that a mail goes out because its commit wakes the scheduler, or not while the test looks.
    return environment | {"PUBLIC_BASE_URL": server.url, "OUTBOX_INTERVAL_SECONDS": "600"}


@pytest.fixture
def site(server: LiveServer, app: Flask) -> Iterator[LiveServer]:
    with answering(server, app):
        yield server


@pytest.fixture
def own_windows() -> None:
    """For a test that changes something about a window that `Windows` cannot take back."""


@pytest.fixture
def windows(request: pytest.FixtureRequest, chromium_browser: Browser, _windows: Windows[Person]) -> Windows[Person]:
    has_own = "own_windows" in request.fixturenames
    return Windows(chromium_browser, Person, keeps=False) if has_own else _windows


@pytest.fixture
def somebody(windows: Windows[Person], site: LiveServer) -> Iterator[Callable[[], Person]]:
    """Another person, at a browser that knows nothing yet. At the end nobody's browser may have complained."""
    people: list[Person] = []

    def arrive() -> Person:
        people.append(windows.take(site.url))
        return people[-1]

    yield arrive
    complaints = [complaint for person in people for complaint in person.all_complaints()]
    for person in people:
        windows.give_back(person)
    assert complaints == []


@pytest.fixture
def ada(somebody: Callable[[], Person], admin: HeadlessBrowser) -> Person:
    """A client admin, signed in, at the tab Imported Clients."""
    person = somebody()
    person.is_signed_in_as(admin)
    person.open_imported_clients(HARBOUR)
    return person


@pytest.fixture
def bert(somebody: Callable[[], Person], app: Flask) -> Person:
    """Ada's colleague, a client admin as well, signed in, at the tab Imported Clients."""
    with app.app_context():
        make_member(HARBOUR, "bert@harbour.test", "Bert Holm", Role.CLIENT_ADMIN)
    session = HeadlessBrowser(app)
    assert session.sign_in("bert@harbour.test", PASSWORD).status_code == 303
    person = somebody()
    person.is_signed_in_as(session)
    person.open_imported_clients(HARBOUR)
    return person


@pytest.fixture
def nora(somebody: Callable[[], Person]) -> Person:
    """Somebody who has nothing but a mailbox."""
    return somebody()


@pytest.fixture
def clients(app_driver: AppDriver, outbox: Outbox, mail_server: MailServer) -> None:
    """Three invited clients; their mails have arrived. In the table the newest is the first."""
    for company_name, email in [("Nordwind", NORDWIND), ("Berghof", BERGHOF), ("Córdoba", CORDOBA)]:
        app_driver.invite(email, company_name)
    outbox.flush()
    for email in (NORDWIND, BERGHOF, CORDOBA):
        mail_server.wait_for(email)


@pytest.fixture
def crowd(app_driver: AppDriver) -> list[str]:
    """More clients than a page holds, invited long ago; their addresses in the order of their names."""
    return gather(app_driver, CROWD)


def gather(app_driver: AppDriver, most: int) -> list[str]:
    """So many clients, invited long ago; their addresses in the order of their names."""
    numbers = range(1, most + 1)

    def add() -> None:
        inviter = app_driver.user("ada@harbour.test").id
        with transaction() as session:
            for number in numbers:
                session.add(
                    ImportedClient(
                        portal_id=HARBOUR,
                        company_name=f"Company {number:02}",
                        company_name_folded=fold(f"Company {number:02}"),
                        email=f"c{number:02}@crowd.test",
                        generation=1,
                        invited_by_id=inviter,
                        email_last_sent_at=now(),
                    )
                )
                session.flush()

    app_driver.do(add)
    return [f"c{number:02}@crowd.test" for number in numbers]


def join(app_driver: AppDriver, email: str) -> None:
    """A client accepts its current invitation, as somebody with a verified account does."""
    user_id = app_driver.do(make_user, email, "Nora Wind")
    client = app_driver.client(email)
    app_driver.do(accept, app_driver.link(client.id, client.generation).rpartition("/")[2], user_id)
