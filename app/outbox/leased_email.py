"""A mail during an attempt: the values of its row at the moment it was fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.models import MailKind, OutboxMail


@dataclass(slots=True, eq=False)
class LeasedEmail:
    """A mail that is held under a lease. Only the database knows whether the lease holds and the mail is wanted."""

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
    refusals: int
    refused_by: str | None


MailContent = OutboxMail | LeasedEmail
"""The content of a mail, either a row of the outbox or a leased mail."""
