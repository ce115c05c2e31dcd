from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.clock import UtcDateTime, now
from app.extensions import Base
from app.models.portal import Portal
from app.models.types import one_of, text_enum
from app.models.user import User


class Role(StrEnum):
    """What a user is in a portal."""

    CLIENT_ADMIN = "client_admin"
    STAFF = "staff"
    CLIENT = "client"


class Membership(Base):
    """A user's role in a portal."""

    __tablename__ = "membership"
    __table_args__ = (one_of("role", Role),)

    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[Role] = mapped_column(text_enum(Role))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    portal: Mapped[Portal] = relationship(lazy="raise")
    user: Mapped[User] = relationship(lazy="raise")
