from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from app.models.types import UtcDateTime, db_now


class Leased:
    """The columns of a row that waits in a queue and is processed under a lease. See `app.queue.leases`.

    Its states are `queued` -> `sending` -> settled, or `sending` -> `queued` again for a later attempt.
    """

    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=db_now())
    """The time of the next attempt, by the database's clock."""
    lease_id: Mapped[UUID | None]
    """The current lease. A process that wakes up after its lease ended finds another id and changes nothing."""
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
