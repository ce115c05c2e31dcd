"""Runs the migrations with the application's own engine and models."""

from __future__ import annotations

from typing import Any

from alembic import context
from alembic.util import CommandError
from flask import current_app
from sqlalchemy import Enum, delete, insert, inspect

from app.db import migrating
from app.db.schema import wrong_encoding
from app.models import AppliedMigration
from app.models.types import UtcDateTime

migrate = current_app.extensions["migrate"]


def render_item(kind: str, item: Any, autogen_context: Any) -> str | bool:
    """Write plain types into new migrations: they must still run when the application's types have changed."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Enum):
        return f"sa.String(length={item.length})"
    return False


def note_migration(*, ctx: Any, step: Any, heads: Any, run_args: Any) -> None:
    """Write down what each migration says of older code, for code that does not know the migration: see `/readyz`."""
    if not inspect(ctx.connection).has_table(AppliedMigration.__tablename__):
        return  # before 0016
    revision = step.up_revision
    if step.is_upgrade:
        may_run = revision.module.older_code_may_run
        ctx.connection.execute(insert(AppliedMigration).values(revision=revision.revision, older_code_may_run=may_run))
    else:
        ctx.connection.execute(delete(AppliedMigration).where(AppliedMigration.revision == revision.revision))


def counts_from_the_present_revision() -> bool:
    """Whether the revision to go to is one such as -2, which would count anew at each try."""
    try:
        return str(context.get_revision_argument()).startswith(("+", "-"))
    except KeyError:  # commands that go nowhere, such as `db current`
        return False


def run_migrations() -> None:
    with context.begin_transaction():
        context.run_migrations()


with migrate.db.engine.connect() as connection:
    if wrong := wrong_encoding(connection):
        raise CommandError(wrong)
    connection.rollback()
    if connection.dialect.name == "sqlite":
        # SQLite changes a table by making it anew. With foreign keys on, dropping the old one would delete, by
        # cascade, what points to it. The switch works outside transactions only, hence past SQLAlchemy.
        connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")
    context.configure(
        connection=connection,
        target_metadata=migrate.db.metadata,
        render_item=render_item,
        on_version_apply=note_migration,
        transaction_per_migration=True,
        **migrate.configure_args,
    )
    tries = 1 if counts_from_the_present_revision() else migrating.TRIES
    try:
        migrating.migrate(connection, run_migrations, tries=tries)
    except migrating.TooBusy:
        raise CommandError("Other processes use the tables. Migrations that are done stay. Run it again.") from None
    if connection.dialect.name == "sqlite":
        connection.rollback()
        connection.connection.driver_connection.execute("PRAGMA foreign_keys=ON")
