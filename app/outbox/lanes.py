"""Whose turn it is: the mails of the outbox wait in lanes, and the lanes are served in turns.

A portal with a hundred thousand mails so never holds up another portal's single one, and a thousand mails that are
tried again never hold up a fresh one.
"""

from __future__ import annotations

from enum import StrEnum

from app.models import MailKind


class Standing(StrEnum):
    """A portal's mails wait in up to three lanes, each served in its turn."""

    AWAITED = "awaited"
    """Somebody sits in front of a page and waits for it."""
    FRESH = "fresh"
    RETRIED = "retried"


_AWAITED = {MailKind.VERIFICATION, MailKind.PASSWORD_RESET}


def first_lane(kind: MailKind, portal_id: str | None) -> str:
    """Where a new mail waits."""
    return _lane(portal_id, Standing.AWAITED if kind in _AWAITED else Standing.FRESH)


def retry_lane(portal_id: str | None) -> str:
    """Where a mail waits for its next attempt."""
    return _lane(portal_id, Standing.RETRIED)


def portal_of(lane: str) -> str | None:
    """The portal whose lane it is; None for mails of no portal."""
    return lane.rpartition("/")[0] or None


def _lane(portal_id: str | None, standing: Standing) -> str:
    return f"{portal_id or ''}/{standing}"
