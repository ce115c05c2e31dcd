"""An installation with mails that wait, and ways to copy its database."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from click.testing import Result
from flask import Flask
from sqlalchemy.engine import make_url

from app.extensions import db
from app.jobs.schedule import run_job
from tests.conftest import HARBOUR
from tests.support.databases import PostgresqlDatabases, SqliteDatabases
from tests.support.factories import import_file
from tests.support.shared import SharedApps, make_people

Databases = SqliteDatabases | PostgresqlDatabases


class Place:
    """Databases of one kind, and the programs that work on them."""

    def __init__(self, databases: Databases, folder: Path, environment: dict[str, str], apps: SharedApps) -> None:
        self.databases = databases
        self._apps = apps
        self.folder = folder
        self.environment = environment
        self.original = databases.copy(folder, "original")
        self._invited = 0

    @property
    def is_sqlite(self) -> bool:
        return isinstance(self.databases, SqliteDatabases)

    @property
    def file(self) -> Path:
        """The original, on SQLite."""
        return _file(self.original)

    @contextmanager
    def app(self, url: str, **settings: str) -> Iterator[Flask]:
        """The application on a database, as if it had just been started. Nothing of it is left open."""
        app = self._apps.get({**self.environment, "DATABASE_URL": url, **settings})
        try:
            yield app
        finally:
            with app.app_context():
                db.session.remove()
                db.engine.dispose()

    def invite(self, number: int) -> None:
        """Invite so many clients, besides those that were invited before."""
        with self.app(self.original) as app:
            make_people(app)
            with app.app_context():
                import_file(HARBOUR, *(f"info@client{self._invited + n}.test" for n in range(number)))
                db.session.remove()
        self._invited += number

    def flush(self, url: str, **settings: str) -> None:
        """What a worker does that starts now."""
        with self.app(url, **settings) as app:
            for job in ("flush-outbox", "flush-webhooks", "read-bounces"):
                run_job(app, job)

    def run(self, url: str, *words: str, **settings: str) -> Result:
        with self.app(url, **settings) as app:
            return app.test_cli_runner().invoke(args=words)

    def done(self, url: str, *words: str) -> str:
        result = self.run(url, *words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, url: str, *words: str) -> str:
        result = self.run(url, *words)
        assert result.exit_code == 1, result.output
        (line,) = result.stderr.splitlines()
        return str(line)


@contextmanager
def programs_of(databases: PostgresqlDatabases) -> Iterator[None]:
    """pg_dump and its like, of the version of the server, on the PATH."""
    pid = (Path(databases.server.pgdata) / "postmaster.pid").read_text().split()[0]
    folder = Path(f"/proc/{pid}/exe").resolve().parent
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


Copy = Callable[[Place, Callable[[], None]], str]
"""Copies the original, lets its mails be sent, and returns the address of what was made of the copy."""


def _file(url: str) -> Path:
    return Path(str(make_url(url).database))


def _dumped(place: Place) -> Path:
    dump = place.folder / "by_hand.dump"
    subprocess.run(["pg_dump", "--format=custom", f"--file={dump}", place.original], check=True)
    return dump


def dump_into_another(place: Place, send: Callable[[], None]) -> str:
    dump = _dumped(place)
    send()
    other = place.databases.empty(place.folder, "other")
    subprocess.run(["pg_restore", f"--dbname={other}", str(dump)], check=True)
    return other


def dump_over_itself(place: Place, send: Callable[[], None]) -> str:
    dump = _dumped(place)
    send()
    subprocess.run(["pg_restore", "--clean", "--if-exists", f"--dbname={place.original}", str(dump)], check=True)
    return place.original


def template(place: Place, send: Callable[[], None]) -> str:
    assert isinstance(place.databases, PostgresqlDatabases)
    name = make_url(place.original).database
    other = place.databases._make(f"{name}_staging", f'TEMPLATE "{name}"')
    send()
    return other


def file_elsewhere(place: Place, send: Callable[[], None]) -> str:
    other = place.folder / "other.sqlite3"
    shutil.copy(_file(place.original), other)
    send()
    return f"sqlite:///{other}"


def folder_elsewhere(place: Place, send: Callable[[], None]) -> str:
    """With the count beside the file: some mails were sent before."""
    shutil.copytree(_file(place.original).parent, place.folder / "copied")
    send()
    return f"sqlite:///{place.folder / 'copied' / _file(place.original).name}"


def file_over_itself(place: Place, send: Callable[[], None]) -> str:
    """The inode stays."""
    saved = _saved(place)
    send()
    inode = _file(place.original).stat().st_ino
    shutil.copy(saved, _file(place.original))
    assert _file(place.original).stat().st_ino == inode
    return place.original


def file_in_its_place(place: Place, send: Callable[[], None]) -> str:
    """Many file systems then give the new file the inode of the old one."""
    saved = _saved(place)
    send()
    _file(place.original).unlink()
    shutil.copy(saved, _file(place.original))
    return place.original


def _saved(place: Place) -> Path:
    """A copy by SQLite's own means."""
    saved = place.folder / "saved"
    with closing(sqlite3.connect(_file(place.original))) as source, closing(sqlite3.connect(saved)) as copy:
        source.backup(copy)
    return saved


ON_POSTGRESQL: tuple[Copy, ...] = (dump_into_another, dump_over_itself, template)
ON_SQLITE: tuple[Copy, ...] = (file_elsewhere, folder_elsewhere, file_over_itself, file_in_its_place)
