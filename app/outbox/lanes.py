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
PORTAL_MAILS = frozenset({MailKind.INVITATION, MailKind.REMINDER, MailKind.JOIN_NOTICE, MailKind.JOIN_DIGEST})
"""What goes through a portal's own mail server, if it has one. All other mails are about an account: they prove a
mailbox to the whole service, or speak for it. So they wait in the lanes of no portal: the deployment's server's."""


def first_lane(kind: MailKind, portal_id: str | None) -> str:
    """Where a new mail waits."""
    return _lane(kind, portal_id, Standing.AWAITED if kind in _AWAITED else Standing.FRESH)


def retry_lane(kind: MailKind, portal_id: str | None) -> str:
    """Where a mail waits for its next attempt."""
    return _lane(kind, portal_id, Standing.RETRIED)


def portal_of(lane: str) -> str | None:
    """The portal whose lane it is, and through whose server its mails go; None for mails about accounts."""
    return lane.rpartition("/")[0] or None


def _lane(kind: MailKind, portal_id: str | None, standing: Standing) -> str:
    portal = portal_id if kind in PORTAL_MAILS else None
    return f"{portal or ''}/{standing}"
