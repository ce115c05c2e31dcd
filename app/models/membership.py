from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.clock import now
from app.extensions import Base
from app.models.portal import Portal
from app.models.types import UtcDateTime, one_of, text_enum
from app.models.user import User


class Role(StrEnum):
    """The role of a user in a portal."""

    CLIENT_ADMIN = "client_admin"
    STAFF = "staff"
    CLIENT = "client"


TEAM_ROLES = (Role.CLIENT_ADMIN, Role.STAFF)
"""The roles of those who work in a portal. Each of them may do all that the next one may."""


class JoinNotice(StrEnum):
    """When a client admin gets a mail about people who joined: at once, or daily in a digest."""

    AT_ONCE = "at_once"
    DAILY = "daily"


_NOTICED = text("join_notice IS NOT NULL")


class Membership(Base):
    """A user's role in a portal."""

    __tablename__ = "membership"
    __table_args__ = (
        one_of("role", Role),
        one_of("join_notice", JoinNotice),
        CheckConstraint("join_notice IS NULL OR role = 'client_admin'", name="join_notice_role"),
        CheckConstraint("join_notice <> 'daily' OR digest_from IS NOT NULL", name="digest_from"),
        # To find the members of a portal who want to be told.
        Index(None, "join_notice", "portal_id", sqlite_where=_NOTICED, postgresql_where=_NOTICED),
    )

    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[Role] = mapped_column(text_enum(Role))
    join_notice: Mapped[JoinNotice | None] = mapped_column(text_enum(JoinNotice))
    """A client admin's own choice. None: no such mails."""
    digest_from: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The next daily digest tells what happened from this moment on. It is due a day later."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    team_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When somebody who was a client before got a role of the team. None: as long as they have been a member."""
    last_seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When they last opened something of the portal, to within ten minutes. See `app.accounts.last_seen`."""

    portal: Mapped[Portal] = relationship(lazy="raise")
    user: Mapped[User] = relationship(lazy="raise")
