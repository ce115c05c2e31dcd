"""For load balancers and supervisors: alive, and ready."""

from __future__ import annotations

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from app.extensions import db

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """The process answers."""
    return {"status": "ok"}


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """The database can be reached and its schema is the one this code needs."""
    try:
        current = MigrationContext.configure(db.session.connection()).get_current_revision()
    except SQLAlchemyError:
        return {"status": "database not reachable"}, 503
    if current != _needed_revision():
        return {"status": "schema not current: run 'flask --app wsgi db upgrade'"}, 503
    return {"status": "ready"}


def _needed_revision() -> str | None:
    config = Config()
    config.set_main_option("script_location", str(current_app.extensions["migrate"].directory))
    return ScriptDirectory.from_config(config).get_current_head()
