from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.models.types import UtcDateTime


class JobLease(Base):
    """The right of one process to run a job that must not run twice at a time. No row means that nobody runs it."""

    __tablename__ = "job_lease"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    holder: Mapped[UUID]
    """Made for a single run, so that a process that comes back after its lease ended releases nobody else's lease."""
    until: Mapped[datetime] = mapped_column(UtcDateTime)
    """Measured by the database's clock. After this moment any process may take the lease, for its holder has died."""
