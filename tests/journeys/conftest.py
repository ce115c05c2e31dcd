"""People at real browsers, and the application behind a real port, with its scheduler and a real mail server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect

from tests.conftest import HARBOUR
from tests.support import chromium
from tests.support.browser import Browser as HeadlessBrowser
from tests.support.chromium import Person
from tests.support.live import LiveServer, serving


@pytest.fixture(scope="session")
def chromium_browser() -> Iterator[Browser]:
    expect.set_options(timeout=chromium.PATIENCE)
    with chromium.launch() as browser:
        yield browser


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLite, unless a test says otherwise: what Chromium does is the same with either."""
    databases = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_databases")
    return str(databases.fresh(tmp_path))


@pytest.fixture
def server() -> LiveServer:
    return LiveServer()


@pytest.fixture
def environment(environment: dict[str, str], server: LiveServer) -> dict[str, str]:
    # So seldom that a mail goes out because its commit wakes the scheduler, or not while the test looks.
    return environment | {"PUBLIC_BASE_URL": server.url, "OUTBOX_INTERVAL_SECONDS": "600"}


@pytest.fixture
def site(server: LiveServer, app: Flask) -> Iterator[LiveServer]:
    with serving(server, app):
        yield server


@pytest.fixture
def somebody(chromium_browser: Browser, site: LiveServer) -> Iterator[Callable[[], Person]]:
    """Another person, at a browser that knows nothing yet. At the end nobody's browser may have complained."""
    people: list[Person] = []

    def arrive() -> Person:
        people.append(Person(chromium_browser, site.url))
        return people[-1]

    yield arrive
    for person in people:
        person.leave()
    assert [complaint for person in people for complaint in person.complaints] == []


@pytest.fixture
def ada(somebody: Callable[[], Person], admin: HeadlessBrowser) -> Person:
    """A client admin, signed in, at the tab Imported Clients."""
    person = somebody()
    person.is_signed_in_as(admin)
    person.open_imported_clients(HARBOUR)
    return person


@pytest.fixture
def nora(somebody: Callable[[], Person]) -> Person:
    """Somebody who has nothing but a mailbox."""
    return somebody()
