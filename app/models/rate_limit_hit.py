from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime


class RateLimitHit(Base):
    """One counted action, for rate limits that all web processes share."""

    __tablename__ = "rate_limit_hit"
    __table_args__ = (Index(None, "key", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    """Identifies a limit and its subject. See `app.db.rate_limits.Limit.key`."""
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
