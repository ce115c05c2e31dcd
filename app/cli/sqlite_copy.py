"""Backup and restore of SQLite, by its online backup API, so that other processes may go on reading and writing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from app.core.errors import DomainError
from app.extensions import db

_BUSY_SECONDS = 30.0
_LOCK_SECONDS = 10.0


def backup(file: Path) -> None:
    """Fill a file with a copy of the database. The copy is held, wherever it is put."""
    with closing(_open(_database())) as source, closing(_open(file)) as copy:
        source.backup(copy)
        _hold(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # so that the copy is one file


def revision_of(file: Path) -> str:
    """The schema of a backup. Raises `DomainError` for any other file."""
    try:
        with closing(_open(file, "mode=ro")) as source:
            (revision,) = source.execute("SELECT version_num FROM alembic_version").fetchone()
            (fault,) = source.execute("PRAGMA quick_check(1)").fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise DomainError(f"{file} is no backup of this program's SQLite database ({error}).") from error
    if fault != "ok":
        raise DomainError(f"{file} is damaged: {' '.join(fault.split())}")
    return str(revision)


def restore(file: Path, *, lock_seconds: float = _LOCK_SECONDS) -> None:
    """Put the backup into the database, held, in one transaction.

    Raises `DomainError` if another process still has the database locked after `lock_seconds`. Nothing is changed then.
    """
    with TemporaryDirectory(dir=_database().parent) as folder:
        held = Path(folder) / "held.sqlite3"
        with closing(_open(file, "mode=ro")) as source, closing(_open(held)) as copy:
            source.backup(copy)
            _hold(copy)
            with closing(_open(_database(), timeout=0)) as target:
                copy.backup(target, progress=_giving_up_after(lock_seconds))


def _giving_up_after(seconds: float) -> Callable[[int, int, int], None]:
    """Ends a copy for whose lock SQLite would wait without limit: it asks at each try, four times a second."""
    until = monotonic() + seconds

    def look(status: int, _left: int, _total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and monotonic() >= until:
            raise DomainError(
                "Another process has the database locked. Stop the web processes, workers and whatever else has it"
                " open, then restore again. Nothing was changed."
            )

    return look


def _hold(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sending'").fetchone():
        connection.execute("UPDATE sending SET released_in = NULL, held_since = NULL")
        connection.commit()


def _open(file: Path, options: str = "mode=rwc", timeout: float = _BUSY_SECONDS) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?{options}", uri=True, timeout=timeout)


def _database() -> Path:
    return Path(str(db.engine.url.database))
