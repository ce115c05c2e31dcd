"""What all tests of a process share: a database of each kind, and an application for each set of settings.

To make either takes longer than most tests. So a database is emptied between tests and gets its first rows again, and
an application is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from flask import Flask
from jinja2 import FileSystemBytecodeCache
from sqlalchemy import Connection, Table, create_engine, event, select

from app import create_app
from app.extensions import db
from app.models import AuditEvent, AuditIdentity, LoginSession, Portal, Role, Sending, User
from config import load_settings
from tests.support.app_driver import HARBOUR
from tests.support.browser import Browser
from tests.support.databases import WITHOUT_TRIGGERS
from tests.support.factories import PASSWORD, QUICK_HASHER, make_member, make_portal

ALPINE = "alpine"
_SESSIONS = cast(Table, LoginSession.__table__)
_USERS = cast(Table, User.__table__)
_SENDING = cast(Table, Sending.__table__)
_AUDIT = cast(Table, AuditEvent.__table__), cast(Table, AuditIdentity.__table__)
_GUARDS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
"""On SQLite, what refuses to delete from the audit trail."""
_LARGE = """
    SELECT quote_ident(relname) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 500000
"""
KEY = "a key for tests and nothing else"
PEOPLE = (
    (HARBOUR, "ada@harbour.test", "Ada Berg", Role.CLIENT_ADMIN),
    (HARBOUR, "sam@harbour.test", "Sam Lund", Role.STAFF),
    (HARBOUR, "carla@client.test", "Carla Vega", Role.CLIENT),
    (ALPINE, "olaf@alpine.test", "Olaf Nyman", Role.CLIENT_ADMIN),
)


def make_people(app: Flask) -> None:
    """Two portals and their people, unless they are there."""
    with app.app_context():
        if db.session.scalar(select(Portal.id).limit(1)):
            return
        make_portal(HARBOUR, "Harbour Tours")
        make_portal(ALPINE, "Alpine Stays")
        for member in PEOPLE:
            make_member(*member)
        db.session.remove()


class SharedDatabase:
    """A database with the portals and their people. `reset` brings it back to that."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = create_engine(self.url.replace("postgresql://", "postgresql+psycopg://", 1), pool_pre_ping=True)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _do_not_wait_for_the_disk)
        app = make_app({"DATABASE_URL": self.url, "SECRET_KEY": KEY})
        make_people(app)
        self._browsers = {email: sign_in(app, email) for _, email, _, _ in PEOPLE}
        with app.app_context():
            db.session.remove()
            db.engine.dispose()
        with self._engine.connect() as connection:
            self._first = {table: _rows_of(connection, table) for table in db.metadata.sorted_tables}
        for user in self._first[_USERS]:
            user["first_signed_in_at"] = None  # so that nobody is told of the first new browser in a test
        del self._first[_SENDING]  # a row that is written anew is that of a copy
        self._first |= {table: [] for table in _AUDIT}  # that they signed in just now is no part of any test
        sessions = sorted(self._first.pop(_SESSIONS), key=lambda session: int(session["user_id"]))
        self._sessions = dict(zip(self._browsers, sessions, strict=True))
        self._signed_in: set[str] = set()

    def reset(self) -> str:
        """Empty all tables and write the first rows again. Returns the database's address."""
        names = [f'"{table.name}"' for table in (*self._first, _SESSIONS)]
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.exec_driver_sql(WITHOUT_TRIGGERS)
                # With its statistics. To empty a small table row by row takes a twentieth of the time.
                if large := connection.exec_driver_sql(_LARGE).scalars().all():
                    connection.exec_driver_sql(f"TRUNCATE {', '.join(large)} CASCADE")
                connection.exec_driver_sql("; ".join(f"DELETE FROM {name}" for name in names))
            else:
                # Foreign keys are not looked at, which is SQLite's default.
                guards = connection.exec_driver_sql(_GUARDS).all() if _has_audit(connection) else ()
                for guard in guards:
                    connection.exec_driver_sql(f"DROP TRIGGER {guard.name}")
                for name in names:
                    connection.exec_driver_sql(f"DELETE FROM {name}")
                for guard in guards:
                    connection.exec_driver_sql(guard.sql)
            for table, rows in self._first.items():
                if rows:
                    connection.execute(table.insert(), rows)
        self._signed_in.clear()
        return self.url

    def close(self) -> None:
        self._engine.dispose()

    def browser(self, app: Flask, email: str) -> Browser:
        """A browser in which one of the people is signed in, at an application with the key of tests."""
        if email not in self._signed_in:
            with self._engine.begin() as connection:
                connection.execute(_SESSIONS.insert(), self._sessions[email])
            self._signed_in.add(email)
        return self._browsers[email].twin(app)


class SharedDatabases:
    """The shared databases by their kind, each made when it is first asked for."""

    def __init__(self, make: Callable[[str], SharedDatabase]) -> None:
        self._make = make
        self._made: dict[str, SharedDatabase] = {}

    def __getitem__(self, kind: str) -> SharedDatabase:
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        return self._made[kind]

    def close(self) -> None:
        for database in self._made.values():
            database.close()

    def get(self, url: str) -> SharedDatabase | None:
        """The one with this address, if it is one of them."""
        return next((database for database in self._made.values() if database.url == url), None)


def _has_audit(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM audit_event)").scalar())


def _rows_of(connection: Connection, table: Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(table.select()).mappings()]


def _do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


def sign_in(app: Flask, email: str) -> Browser:
    """A browser in which somebody has just signed in."""
    browser = Browser(app)
    assert browser.sign_in(email, PASSWORD).status_code == 303
    return browser


def make_app(environment: Mapping[str, str]) -> Flask:
    """An application under test, with cheap hashes of passwords.

    Templates are compiled once for all of them, in a folder of Jinja's own choice.
    """
    app = create_app(load_settings(environment))
    app.testing = True
    app.config["PASSWORD_HASHER"] = QUICK_HASHER
    app.jinja_env.bytecode_cache = FileSystemBytecodeCache()
    return app


class SharedApps:
    """The applications, by their settings. They write to shared databases only: other files are gone after a test."""

    def __init__(self) -> None:
        self._apps: dict[tuple[tuple[str, str], ...], tuple[Flask, dict[str, Any]]] = {}
        """Each with its extensions as they were at the beginning."""

    def get(self, environment: Mapping[str, str]) -> Flask:
        key = tuple(sorted(environment.items()))
        if key not in self._apps:
            made = make_app(environment)
            self._apps[key] = made, dict(made.extensions)
        app, extensions = self._apps[key]
        # Without what it has noted while it ran, such as whom a mail server has served.
        app.extensions.clear()
        app.extensions.update(extensions)
        return app

    def close(self) -> None:
        for app, _extensions in self._apps.values():
            with app.app_context():
                db.engine.dispose()
