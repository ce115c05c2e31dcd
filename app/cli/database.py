"""`flask db backup` and `flask db restore`, beside Flask-Migrate's own commands."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import click
import flask_migrate
from alembic.script import ScriptDirectory
from flask import current_app
from flask_migrate.cli import db as group
from sqlalchemy import inspect

from app.cli import postgresql_copy, sqlite_copy
from app.cli.errors import PlainCommand, one_line_errors
from app.core.clock import now
from app.core.errors import DomainError
from app.db.transactions import transaction
from app.extensions import db
from app.queue import sending

__all__ = ["group"]

for _command in group.commands.values():
    _command.callback = one_line_errors()(cast(Callable[..., Any], _command.callback))

RELEASE_HINT = "It sends nothing until you run: flask --app wsgi outbox release"


@group.command("backup", cls=PlainCommand, needs_schema=False)
@click.argument("file")
def backup(file: str) -> None:
    """Write the whole database into a new FILE. Everything may go on running meanwhile."""
    if file == "-":
        raise DomainError("A backup can't be written to a pipe: name a file.")
    path = Path(file)
    if path.exists():
        raise DomainError(f"{file} exists already. Name a file that doesn't.")
    if not path.parent.is_dir():
        raise DomainError(f"{path.parent} is no folder.")
    if not inspect(db.engine).has_table("alembic_version"):
        raise DomainError("The database is empty, so there is nothing to back up. Check DATABASE_URL.")
    db.engine.dispose()
    _write_whole(path, _copies().backup)
    click.echo(f"{file}: {path.stat().st_size} bytes")


@group.command("restore", cls=PlainCommand, needs_schema=False)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--yes", is_flag=True, help="Replace what the database holds now.")
def restore(file: str, yes: bool) -> None:
    """Put a backup FILE into an empty database, and bring its schema up to date. It then sends nothing."""
    if inspect(db.engine).get_table_names() and not yes:
        raise DomainError("The database is not empty. To replace everything in it with the backup, add --yes.")
    db.engine.dispose()
    copies = _copies()
    _refuse_unknown_schema(copies.revision_of(Path(file)))
    copies.restore(Path(file))
    # A backup from before migration 0028 could not hold itself back.
    flask_migrate.upgrade()
    with transaction() as session:
        sending.hold(session.connection(), since=now())
    click.echo(f"The database is restored from {file}. {RELEASE_HINT}")


def _copies() -> Any:
    return sqlite_copy if db.engine.dialect.name == "sqlite" else postgresql_copy


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file that only we may read, and move it to `path` when it is complete."""
    with TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.part-") as folder:
        part = Path(folder) / path.name
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        write(part)
        part.rename(path)


def _refuse_unknown_schema(revision: str) -> None:
    scripts = ScriptDirectory(str(current_app.extensions["migrate"].directory))
    if revision not in {script.revision for script in scripts.walk_revisions()}:
        raise DomainError(f"The backup is of a newer version of this program (schema {revision}). Nothing was changed.")
