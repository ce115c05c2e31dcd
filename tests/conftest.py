"""Fixtures for all tests: both databases, a real mail server, a browser for each role."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from flask import Flask

from app.extensions import db
from app.jobs.schedule import run_job
from tests.support import smtp
from tests.support.app_driver import HARBOUR, AppDriver
from tests.support.browser import Browser
from tests.support.databases import KINDS, PostgresqlDatabases, SqliteDatabases
from tests.support.shared import (
    ALPINE,
    KEY,
    SharedApps,
    SharedDatabase,
    SharedDatabases,
    make_app,
    make_people,
    sign_in,
)

__all__ = ["ALPINE", "HARBOUR"]

_PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """In place of pytest-flask's own: a request context around each test would leak `g` between requests."""


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all test processes share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if _PROCESS != "main" else base


@pytest.fixture(scope="session")
def sqlite_databases(shared_folder: Path) -> SqliteDatabases:
    return SqliteDatabases(shared_folder)


@pytest.fixture(scope="session")
def postgresql_databases(shared_folder: Path) -> PostgresqlDatabases:
    databases = PostgresqlDatabases(shared_folder / "postgresql", f"test_{_PROCESS}")
    databases.do_not_wait_for_the_disk()
    return databases


@pytest.fixture(scope="session")
def shared_databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedDatabases]:
    """The database of each kind that the tests of this process share, made when one is asked for."""

    def make(kind: str) -> SharedDatabase:
        databases = request.getfixturevalue(f"{kind}_databases")
        return SharedDatabase(databases.fresh(tmp_path_factory.mktemp("shared")))

    databases = SharedDatabases(make)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def shared_apps() -> Iterator[SharedApps]:
    apps = SharedApps()
    yield apps
    apps.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that needs a database has SQLite; on both run those whose file says so, where the database decides."""
    chooses = any("database_url" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    is_marked = metafunc.definition.get_closest_marker("both_databases") is not None
    if "database_url" in metafunc.fixturenames and is_marked and not chooses:
        metafunc.parametrize("database_url", KINDS, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, shared_databases: SharedDatabases) -> str:
    return shared_databases[getattr(request, "param", "sqlite")].reset()


@pytest.fixture(scope="session")
def _mail_server() -> Iterator[smtp.MailServer]:
    controller, handler = smtp.start()
    yield handler
    controller.stop(no_assert=True)


@pytest.fixture
def mail_server(_mail_server: smtp.MailServer) -> smtp.MailServer:
    _mail_server.reset()
    return _mail_server


@pytest.fixture
def environment(database_url: str, mail_server: smtp.MailServer) -> dict[str, str]:
    """The settings of the app under test; a test may override single ones by its own fixture."""
    return {
        "DATABASE_URL": database_url,
        "SECRET_KEY": KEY,
        "PUBLIC_BASE_URL": "http://clients.harbour.test",
        "MAIL_SERVER": mail_server.host,
        "MAIL_PORT": str(mail_server.port),
        "MAIL_DEFAULT_SENDER": "Imported Clients <no-reply@harbour.test>",
    }


@pytest.fixture
def app(environment: dict[str, str], shared_databases: SharedDatabases, shared_apps: SharedApps) -> Iterator[Flask]:
    """The application with two portals and their people."""
    if shared_databases.get(environment["DATABASE_URL"]):
        app = shared_apps.get(environment)
        make_people(app)
        yield app
        with app.app_context():
            db.session.remove()
        return
    with own_app(environment) as app:
        make_people(app)
        yield app


@contextmanager
def own_app(environment: Mapping[str, str]) -> Iterator[Flask]:
    """An application for one test, which may do to it whatever it likes."""
    app = make_app(environment)
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def reconfigured(app: Flask, environment: dict[str, str]) -> Iterator[Callable[..., Flask]]:
    """Makes another server process on the same database, started with other settings; None takes one away."""
    with ExitStack() as stack:

        def make(**changes: str | None) -> Flask:
            settings = environment | changes
            return stack.enter_context(own_app({name: text for name, text in settings.items() if text is not None}))

        yield make


@pytest.fixture
def app_driver(app: Flask) -> AppDriver:
    return AppDriver(app)


@pytest.fixture
def signed_in(app: Flask, environment: dict[str, str], shared_databases: SharedDatabases) -> Callable[[str], Browser]:
    """Gives a browser in which one of the people is signed in."""
    shared = shared_databases.get(environment["DATABASE_URL"])

    def browser_of(email: str) -> Browser:
        if shared and environment["SECRET_KEY"] == KEY and environment["PUBLIC_BASE_URL"].startswith("http:"):
            return shared.browser(app, email)
        return sign_in(app, email)

    return browser_of


@pytest.fixture
def nobody(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def admin(signed_in: Callable[[str], Browser]) -> Browser:
    return signed_in("ada@harbour.test")


@pytest.fixture
def staff(signed_in: Callable[[str], Browser]) -> Browser:
    return signed_in("sam@harbour.test")


@pytest.fixture
def joined_client(signed_in: Callable[[str], Browser]) -> Browser:
    return signed_in("carla@client.test")


@pytest.fixture
def stranger(signed_in: Callable[[str], Browser]) -> Browser:
    """A client admin of another portal."""
    return signed_in("olaf@alpine.test")


class Outbox:
    """Runs the flush job by hand."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def flush(self) -> None:
        run_job(self._app, "flush-outbox")


@pytest.fixture
def outbox(app: Flask) -> Outbox:
    return Outbox(app)
