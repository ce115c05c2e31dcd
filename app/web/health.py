"""Health checks for load balancers and supervisors: alive, and ready."""

from __future__ import annotations

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app.extensions import db
from app.models import AppliedMigration

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """200 whenever the process answers."""
    return {"status": "ok"}


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """200 if the database can be reached and this code may run on its schema, else 503.

    It may run on its own schema, and on a newer one that allows older code.
    """
    try:
        may_run = _may_run()
    except SQLAlchemyError:
        return {"status": "database not reachable"}, 503
    if not may_run:
        return {"status": "schema not current: run 'flask --app wsgi db upgrade'"}, 503
    return {"status": "ready"}


def _may_run() -> bool:
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
