"""A mail as those know it who send it: the values of its row, as they were when it was claimed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.models import MailKind


class MailContent(Protocol):
    """What a mail is made of, be it a row of the outbox or a mail in hand. See `app.models.OutboxMail`."""

    @property
    def kind(self) -> MailKind: ...

    @property
    def portal_id(self) -> str | None: ...

    @property
    def client_id(self) -> UUID | None: ...

    @property
    def user_id(self) -> int | None: ...

    @property
    def generation(self) -> int: ...

    @property
    def recipient(self) -> str: ...

    @property
    def params(self) -> Mapping[str, str]: ...

    @property
    def message_id(self) -> str: ...


@dataclass(slots=True, eq=False)
class HeldMail:
    """A mail that is held under a lease. Whether it still is, and is still wanted, only the database knows."""

    id: UUID
    lease_id: UUID
    lane: str
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
