from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.models.types import UtcDateTime


class JobLease(Base):
    """Who runs a job just now that only one process runs at a time. No row: nobody does."""

    __tablename__ = "job_lease"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    holder: Mapped[UUID]
    """Made for one run, so that whoever comes back after its time releases nobody else's lease."""
    until: Mapped[datetime] = mapped_column(UtcDateTime)
    """By the database's clock. From then on the lease is anybody's, for its holder has died."""
