from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from app.models.types import UtcDateTime, db_now


class Leased:
    """The columns of what waits in a queue and is worked off under a lease: see `app.queue.leases`.

    Its states are `queued` -> `sending` -> settled; `sending` -> `queued` again for a later attempt.
    """

    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=db_now())
    """When to try (again), by the database's clock."""
    lease_id: Mapped[UUID | None]
    """Who is at it; a process that wakes after its lease finds another's id here and lets go."""
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
