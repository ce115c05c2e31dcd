from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime


class RejectedUpload(Base):
    """One upload that was refused because of its content. Holds nothing of the file, not even its name."""

    __tablename__ = "rejected_upload"
    __table_args__ = (
        # For an admin's attempts between two imports, and for the deletion of an account.
        Index(None, "actor_id", "portal_id", "at"),
        # For the attempts of a portal.
        Index(None, "portal_id", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id"))
    actor_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    bad_rows: Mapped[int]
    """The number of rows with an error. 0 if the file as a whole was refused."""
