"""Whether this code may run on the schema that the database has."""

from __future__ import annotations

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import select

from app.extensions import db
from app.models import AppliedMigration


def may_run_on_schema() -> bool:
    """Whether the schema is this code's own, or a newer one that allows older code.

    Raises SQLAlchemyError if the database cannot be reached.
    """
    config = Config()
    config.set_main_option("script_location", str(current_app.extensions["migrate"].directory))
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(db.session.connection()).get_current_revision()
    if current == scripts.get_current_head():
        return True
    known = {script.revision for script in scripts.walk_revisions()}
    if current is None or current in known:
        return False  # the schema is older than this code
    # Migrations that this code does not know. Each says whether older code may run on its schema.
    query = select(AppliedMigration.older_code_may_run).where(AppliedMigration.revision.not_in(known))
    newer = db.session.scalars(query).all()
    return bool(newer) and all(newer)
