"""Whether this code may run on the schema that the database has, and whether the database can be used at all."""

from __future__ import annotations

from functools import cache

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.db.transactions import is_passing
from app.extensions import db
from app.models import AppliedMigration

AWAY = "The database can't be reached, or is locked or full"
OTHER_SCHEMA = (
    "The database's schema does not fit this code. If it is older, run: flask --app wsgi db upgrade. If it is newer,"
    " start the newer version instead"
)


def wrong_encoding(connection: Connection) -> str | None:
    """What is wrong with a PostgreSQL database that cannot hold every text, in a sentence; None if it can."""
    if connection.dialect.name != "postgresql":
        return None
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding == "UTF8":
        return None
    return (
        f"The database's encoding is {encoding}, which can't hold every name. Make one with UTF8:"
        " createdb --template template0 --encoding UTF8 NAME"
    )


def may_run_on_schema() -> bool:
    """Whether the schema is this code's own, or a newer one that allows older code.

    Raises SQLAlchemyError if the database cannot be reached.
    """
    head, known = _our_revisions(str(current_app.extensions["migrate"].directory))
    current = MigrationContext.configure(db.session.connection()).get_current_revision()
    if current == head:
        return True
    if current is None or current in known:
        return False  # the schema is older than this code
    # Migrations that this code does not know. Each says whether older code may run on its schema.
    query = select(AppliedMigration.older_code_may_run).where(AppliedMigration.revision.not_in(known))
    newer = db.session.scalars(query).all()
    return bool(newer) and all(newer)


def trouble_of(error: DBAPIError) -> str | None:
    """Why the database cannot be used: `AWAY` or `OTHER_SCHEMA`. None if the error is a bug of ours."""
    if db.engine.dialect.name != "sqlite" and is_passing(error):
        return AWAY
    # SQLite says of a missing table what it says of a locked file.
    db.session.rollback()
    try:
        fits = may_run_on_schema()
    except SQLAlchemyError:
        return AWAY
    finally:
        db.session.rollback()
    if not fits:
        return OTHER_SCHEMA
    return AWAY if is_passing(error) else None


@cache
def _our_revisions(directory: str) -> tuple[str | None, frozenset[str]]:
    scripts = ScriptDirectory(directory)
    return scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions())
