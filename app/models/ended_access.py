from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime

_BY_SOMEBODY = text("ended_by_id IS NOT NULL")


class EndedAccess(Base):
    """A client's access to a portal that a client admin has ended. It holds until a client admin gives it back.

    Its account is no member of the portal meanwhile: see `app.portals.ended_access`.
    """

    __tablename__ = "ended_access"
    __table_args__ = (
        # For the deletion of an account.
        Index(None, "ended_by_id", sqlite_where=_BY_SOMEBODY, postgresql_where=_BY_SOMEBODY),
    )

    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    member_since: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the account became a member, for the membership that is given back."""
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    ended_by_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="SET NULL"))
