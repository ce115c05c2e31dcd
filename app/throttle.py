"""Limits on how often something may be done, counted in the database so that all web processes share them.

A limit is looked up with `check` before the action and counted with `count` where it applies: sign-in counts
only failures, an import counts once whatever its length.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from flask_babel import gettext as _
from sqlalchemy import delete, func, select

from app.clock import now
from app.extensions import db
from app.models import ThrottleHit
from app.problems import TooManyRequests


@dataclass(frozen=True)
class Limit:
    """At most `times` counted actions of one subject in `window`."""

    name: str
    times: int
    window: timedelta

    def key(self, subject: str) -> str:
        return hashlib.sha256(f"{self.name}\0{subject}".encode()).hexdigest()


LONGEST_WINDOW = timedelta(days=1)


def check(limit: Limit, subject: str) -> None:
    """Raise `TooManyRequests` if the subject has used up the limit."""
    wait = retry_after(limit, subject)
    if wait is None:
        return
    minutes = int(wait.total_seconds() // 60) + 1
    raise TooManyRequests(
        _("Too many attempts. Nothing was done; please try again in %(minutes)s min.", minutes=minutes),
        wait,
    )


def retry_after(limit: Limit, subject: str) -> timedelta | None:
    """How long the subject has to wait, having used up the limit; None if it has not."""
    at = now()
    hits, oldest = db.session.execute(
        select(func.count(), func.min(ThrottleHit.at)).where(
            ThrottleHit.key == limit.key(subject), ThrottleHit.at > at - limit.window
        )
    ).one()
    if hits < limit.times:
        return None
    return max(oldest + limit.window - at, timedelta(seconds=1))


def is_used_up(limit: Limit, subject: str) -> bool:
    """Whether the subject has used up the limit, for answers that must not show it."""
    return retry_after(limit, subject) is not None


def count(limit: Limit, subject: str) -> None:
    """Count one action, in the caller's transaction."""
    db.session.add(ThrottleHit(key=limit.key(subject)))


def prune() -> int:
    """Delete what no limit looks at any more; returns how many rows."""
    result = db.session.execute(delete(ThrottleHit).where(ThrottleHit.at < now() - LONGEST_WINDOW))
    return result.rowcount  # type: ignore[attr-defined,no-any-return]
