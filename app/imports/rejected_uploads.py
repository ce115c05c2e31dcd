"""Counts of rejected uploads: who uploaded one, when, and how many rows were bad. Nothing of the file is kept."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.imports.rejection import Rejection
from app.models import RejectedUpload

log = logging.getLogger(__name__)

_KEPT_FOR = timedelta(days=180)


def count_rejection(portal_id: str, actor_id: int, rejection: Rejection) -> None:
    """Count a rejected upload. If that fails, the admin still gets the rejection: the failure is only logged."""
    bad_rows = rejection.bad if rejection.readable else 0
    try:
        with transaction() as session:
            session.add(RejectedUpload(portal_id=portal_id, actor_id=actor_id, bad_rows=bad_rows))
    except SQLAlchemyError as error:
        log.warning("rejected upload not counted: %s", type(error).__name__)


def prune_rejections() -> None:
    """Delete old counts, in the caller's transaction."""
    db.session.execute(delete(RejectedUpload).where(RejectedUpload.at < now() - _KEPT_FOR))
