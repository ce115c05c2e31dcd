"""The cast and the stage: both databases, a real mail server, one browser for each role."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jinja2 import FileSystemBytecodeCache
from sqlalchemy import ClauseElement
from sqlalchemy.engine import Dialect
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

from app import create_app
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import Role
from config import load_settings
from tests.support import smtp
from tests.support.backstage import HARBOUR, Backstage
from tests.support.browser import Browser
from tests.support.databases import KINDS, PostgresqlDatabases, SqliteDatabases
from tests.support.factories import PASSWORD, make_member, make_portal

ALPINE = "alpine"


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """In place of pytest-flask's own: a request context around each test would leak `g` between requests."""


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nearly each test has an application of its own, and would spend a third of its time on compiling them anew."""
    compiled = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", {"bytecode_cache": compiled})
        yield


@pytest.fixture(scope="session", autouse=True)
def _addresses_are_compiled_when_they_are_made() -> Iterator[None]:
    """An application that lives for one test makes few addresses, and compiling how all are made is most of its start.

    A rule of werkzeug's compiles itself when it is bound. Should a newer one do so otherwise, tests are slower again.
    """
    compiles = getattr(Rule, "_compile_builder", None)
    if compiles is None:
        yield
        return

    def compile_later(rule: Rule, append_unknown: bool = True) -> Callable[..., object]:
        @cache
        def compiled() -> Callable[..., object]:
            made: Callable[..., object] = compiles(rule, append_unknown)
            return made

        return lambda bound, **values: compiled()(bound, **values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", compile_later)
        yield


@pytest.fixture(scope="session", autouse=True)
def _statements_are_compiled_once() -> Iterator[None]:
    """An engine keeps what it has compiled, but one that lives for a test spends a fifth of its time on compiling.

    All engines of a database share one dialect for that, the first one's, and what was compiled for it.
    """
    compiles = ClauseElement._compile_w_cache
    shared: dict[type[Dialect], tuple[Dialect, LRUCache[Any, Any]]] = {}

    def compile_once(statement: ClauseElement, dialect: Dialect, *, compiled_cache: object, **options: Any) -> Any:
        dialect, compiled = shared.setdefault(type(dialect), (dialect, LRUCache(5000)))
        return compiles(statement, dialect, compiled_cache=compiled, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClauseElement, "_compile_w_cache", compile_once)
        yield


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgresql_databases(tmp_path_factory: pytest.TempPathFactory) -> PostgresqlDatabases:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if worker != "main" else base
    databases = PostgresqlDatabases(shared / "postgresql", f"test_{worker}")
    databases.do_not_wait_for_the_disk()
    return databases


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each test that needs a database runs on both."""
    databases = request.getfixturevalue(f"{request.param}_databases")
    return str(databases.fresh(tmp_path))


@pytest.fixture
def mail_server() -> Iterator[smtp.MailServer]:
    controller, handler = smtp.start()
    yield handler
    controller.stop(no_assert=True)


@pytest.fixture
def environment(database_url: str, mail_server: smtp.MailServer) -> dict[str, str]:
    """The settings of the app under test; a test may override single ones by its own fixture."""
    return {
        "DATABASE_URL": database_url,
        "SECRET_KEY": "a key for tests and nothing else",
        "PUBLIC_BASE_URL": "http://clients.harbour.test",
        "MAIL_SERVER": mail_server.host,
        "MAIL_PORT": str(mail_server.port),
        "MAIL_DEFAULT_SENDER": "Imported Clients <no-reply@harbour.test>",
    }


@pytest.fixture
def app(environment: dict[str, str]) -> Iterator[Flask]:
    """The application with two portals and their people."""
    app = create_app(load_settings(environment))
    app.testing = True
    with app.app_context():
        make_portal(HARBOUR, "Harbour Tours")
        make_portal(ALPINE, "Alpine Stays")
        make_member(HARBOUR, "ada@harbour.test", "Ada Berg", Role.CLIENT_ADMIN)
        make_member(HARBOUR, "sam@harbour.test", "Sam Lund", Role.STAFF)
        make_member(HARBOUR, "carla@client.test", "Carla Vega", Role.CLIENT)
        make_member(ALPINE, "olaf@alpine.test", "Olaf Nyman", Role.CLIENT_ADMIN)
        db.session.remove()
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def reconfigured(app: Flask, environment: dict[str, str]) -> Iterator[Callable[..., Flask]]:
    """Makes another server process on the same database, started with other settings; None takes one away."""
    made = []

    def make(**changes: str | None) -> Flask:
        settings = environment | changes
        made.append(create_app(load_settings({name: text for name, text in settings.items() if text is not None})))
        made[-1].testing = True
        return made[-1]

    yield make
    for other in made:
        with other.app_context():
            db.session.remove()
            db.engine.dispose()


@pytest.fixture
def backstage(app: Flask) -> Backstage:
    return Backstage(app)


def _signed_in(app: Flask, email: str) -> Browser:
    browser = Browser(app)
    assert browser.sign_in(email, PASSWORD).status_code == 303
    return browser


@pytest.fixture
def nobody(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def admin(app: Flask) -> Browser:
    return _signed_in(app, "ada@harbour.test")


@pytest.fixture
def staff(app: Flask) -> Browser:
    return _signed_in(app, "sam@harbour.test")


@pytest.fixture
def joined_client(app: Flask) -> Browser:
    return _signed_in(app, "carla@client.test")


@pytest.fixture
def stranger(app: Flask) -> Browser:
    """A client admin of another portal."""
    return _signed_in(app, "olaf@alpine.test")


class Outbox:
    """Runs the flush job by hand."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def flush(self) -> None:
        run_job(self._app, "flush-outbox")


@pytest.fixture
def outbox(app: Flask) -> Outbox:
    return Outbox(app)
