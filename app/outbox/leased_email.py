"""A mail as those know it who send it: the values of its row, as they were when it was fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.models import MailKind, OutboxMail


@dataclass(slots=True, eq=False)
class LeasedEmail:
    """A mail that is held under a lease. Whether it still is, and is still wanted, only the database knows."""

    id: UUID
    lease_id: UUID
    queue: str
    """Its queue."""
    attempts: int
    due_at: datetime
    kind: MailKind
    portal_id: str | None
    client_id: UUID | None
    user_id: int | None
    generation: int
    recipient: str
    params: Mapping[str, str]
    message_id: str


MailContent = OutboxMail | LeasedEmail
"""What a mail is made of, be it a row of the outbox or a leased mail."""
