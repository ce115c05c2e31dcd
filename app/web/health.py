"""Health checks for load balancers and supervisors: alive, and ready."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from app.db.schema import AWAY, OTHER_SCHEMA, may_run_on_schema
from app.observability import quiet

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
        may_run = may_run_on_schema()
    except SQLAlchemyError:
        quiet.warn("database", AWAY)
        return {"status": "database not reachable"}, 503
    if not may_run:
        quiet.warn("database", OTHER_SCHEMA)
        return {"status": "schema not current: run 'flask --app wsgi db upgrade'"}, 503
    quiet.over("database", "The database can be used again")
    return {"status": "ready"}
