"""The order of sending: a portal's mails wait in one queue per priority, and the queues take turns.

So a portal with a hundred thousand mails never holds up a single mail of another portal, and a thousand retried mails
never hold up a new one.
"""

from __future__ import annotations

from enum import StrEnum

from app.models import PORTAL_MAILS, MailKind


class Priority(StrEnum):
    """A portal's mails wait in up to three queues, which take turns. The values are stored in the rows."""

    HIGH = "high"
    """Somebody is looking at a page and waiting for this mail."""
    NORMAL = "normal"
    RETRY = "retry"


_AWAITED = {MailKind.VERIFICATION, MailKind.PASSWORD_RESET}


def queue_for(kind: MailKind, portal_id: str | None, priority: Priority | None = None) -> str:
    """The queue for a mail. Without `priority`, the queue for a new mail of its kind."""
    portal = portal_id if kind in PORTAL_MAILS else None
    return f"{portal or ''}/{priority or (Priority.HIGH if kind in _AWAITED else Priority.NORMAL)}"


def portal_of(queue: str) -> str | None:
    """The portal of a queue, through whose server its mails go. None for mails about accounts."""
    return queue.rpartition("/")[0] or None
