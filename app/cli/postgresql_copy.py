"""Backup and restore of PostgreSQL, by its own programs: pg_dump, pg_restore and psql."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from flask import current_app
from sqlalchemy import inspect
from sqlalchemy.engine import URL, make_url

from app.core.errors import DomainError
from app.core.redaction import redact
from app.extensions import db
from config import Settings

_FUNCTIONS = "DROP FUNCTION IF EXISTS audit_event_append_only();\n"
"""What a dump makes anew besides tables."""


def backup(file: Path) -> None:
    """Fill a file with a dump in the custom format of pg_dump."""
    _run("pg_dump", "--format=custom", f"--file={file}", _address())


def revision_of(file: Path) -> str:
    """The schema of a dump. Raises `DomainError` for any other file."""
    rows = _run("pg_restore", "--data-only", "--table=alembic_version", "--file=-", str(file)).splitlines()
    starts = [number for number, line in enumerate(rows) if line.startswith("COPY ")]
    if not starts:
        raise DomainError(f"{file} is no backup of this program's database.")
    return rows[starts[0] + 1]


def restore(file: Path) -> None:
    """Put the dump in place of all tables, in one transaction."""
    tables = ", ".join(f'"{name}"' for name in inspect(db.engine).get_table_names())
    db.engine.dispose()
    with TemporaryDirectory() as folder:
        script, before = Path(folder) / "dump.sql", Path(folder) / "before.sql"
        before.write_text(f"DROP TABLE {tables} CASCADE;\n{_FUNCTIONS}" if tables else "")
        # First all of it into a script: psql would commit the half that a broken dump still gives.
        _run("pg_restore", "--no-owner", "--no-privileges", f"--file={script}", str(file))
        options = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
        _run("psql", *options, f"--file={before}", f"--file={script}", _address())


def _run(program: str, *arguments: str) -> str:
    """Run one of the programs. Returns its output. Raises `DomainError` with its last words."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            [program, *arguments], env=_environment(), capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise DomainError(f"{program} is not installed here. On Debian: apt install postgresql-client") from None
    if done.returncode:
        raise DomainError(f"{program} failed, and nothing was changed: {_reason(done.stderr)}")
    return done.stdout


def _reason(words: str) -> str:
    lines: Sequence[str] = [line for line in words.splitlines() if "error:" in line or "ERROR:" in line]
    return redact((lines or words.splitlines() or ["no reason given"])[0].strip())


def _address() -> str:
    """The database for the programs, without its password, which others could see in the list of processes."""
    return _url().set(drivername="postgresql", password=None).render_as_string()


def _environment() -> dict[str, str]:
    password = _url().password
    return {**os.environ, "LC_MESSAGES": "C", **({"PGPASSWORD": password} if password else {})}


def _url() -> URL:
    settings: Settings = current_app.config["SETTINGS"]
    return make_url(settings.database_url)
