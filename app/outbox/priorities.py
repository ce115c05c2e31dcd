"""Whose turn it is: mails wait in queues, a portal's of each priority apart, and the queues are served in turns.

A portal with a hundred thousand mails so never holds up another portal's single one, and a thousand mails that are
tried again never hold up a new one.
"""

from __future__ import annotations

from enum import StrEnum

from app.models import PORTAL_MAILS, MailKind


class Priority(StrEnum):
    """A portal's mails wait in up to three queues, each served in its turn. The values are what the rows hold."""

    HIGH = "high"
    """Somebody sits in front of a page and waits for it."""
    NORMAL = "normal"
    RETRY = "retry"


_AWAITED = {MailKind.VERIFICATION, MailKind.PASSWORD_RESET}


def queue_for(kind: MailKind, portal_id: str | None, priority: Priority | None = None) -> str:
    """Where a mail waits: one that is new, unless another priority is given."""
    portal = portal_id if kind in PORTAL_MAILS else None
    return f"{portal or ''}/{priority or (Priority.HIGH if kind in _AWAITED else Priority.NORMAL)}"


def portal_of(queue: str) -> str | None:
    """The portal whose queue it is, and through whose server its mails go; None for mails about accounts."""
    return queue.rpartition("/")[0] or None
