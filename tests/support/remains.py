"""Where a database still holds a text: in which column of which table, in SQLite's files, in a dump of PostgreSQL."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from flask import Flask
from sqlalchemy import String, cast, select, text

from app.extensions import db


def places_of(app: Flask, *words: str) -> set[str]:
    """The places that hold one of these texts, in any case and as JSON escapes it."""
    forms = {form.lower() for word in words for form in (word, json.dumps(word)[1:-1])}
    with app.app_context():
        is_sqlite = db.engine.dialect.name == "sqlite"
        found = _columns(forms) | (set() if is_sqlite else _in_dump(forms))
        file = Path(str(db.engine.url.database))
        # Nobody reads any more, so that the files are as they lie there.
        db.session.remove()
    return found | (_in_files(file, forms) if is_sqlite else set())


def _columns(forms: set[str]) -> set[str]:
    found = set()
    for table in db.metadata.sorted_tables:
        for row in db.session.execute(select(*(cast(column, String).label(column.name) for column in table.columns))):
            found |= {
                f"{table.name}.{name}"
                for name, value in row._mapping.items()
                if value and any(form in str(value).lower() for form in forms)
            }
    return found


def _in_files(file: Path, forms: set[str]) -> set[str]:
    parts = {"the file": file, "the write-ahead log": file.with_name(f"{file.name}-wal")}
    return {name for name, path in parts.items() if path.exists() and _holds(bytes_of(path), forms)}


def bytes_of(file: Path) -> bytes:
    """What a file of SQLite holds, read by another process.

    When a process closes a file, it loses all its locks on that file (POSIX). So if we read it ourselves, the next
    process that ends with SQLite takes itself for the last one, and deletes the write-ahead log that we still use.
    """
    return subprocess.run(["cat", file], capture_output=True, check=True).stdout


def _in_dump(forms: set[str]) -> set[str]:
    # The server's own program: it refuses a server of another version.
    folder = db.session.scalar(text("SELECT setting FROM pg_config WHERE name = 'BINDIR'"))
    url = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    dump = subprocess.run([Path(str(folder)) / "pg_dump", "--dbname", url], capture_output=True, check=False)
    assert dump.returncode == 0, dump.stderr
    assert b"user_account" in dump.stdout
    return {"the dump"} if _holds(dump.stdout, forms) else set()


def _holds(content: bytes, forms: set[str]) -> bool:
    lowered = content.lower()
    return any(form.encode() in lowered for form in forms)
