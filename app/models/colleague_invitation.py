from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.ids import new_id
from app.extensions import Base
from app.models.membership import Role
from app.models.types import UtcDateTime, text_enum


class ColleagueInvitation(Base):
    """An invitation to a portal's team, with its current link. There is one row for each portal and address."""

    __tablename__ = "colleague_invitation"
    __table_args__ = (
        UniqueConstraint("portal_id", "email"),
        CheckConstraint("role IN ('client_admin', 'staff')", name="role"),
        CheckConstraint("generation >= 1", name="generation"),
        CheckConstraint("accepted_at IS NULL OR user_id IS NOT NULL", name="accepted_user"),
        # For the deletion of an account.
        Index(None, "invited_by_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(String(254))
    """In the canonical form of `app.core.text.clean_email`."""
    role: Mapped[Role] = mapped_column(text_enum(Role))
    """What the colleague gets by accepting."""
    invited_by_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="SET NULL"))
    """Who sent the current link. It counts for as long as they are a client admin of the portal."""
    invited_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    """When the current link was requested, and again when the mail server has taken its mail."""
    generation: Mapped[int] = mapped_column(default=1)
    """The number of the current link. A link of an older generation is dead."""
    mail_id: Mapped[UUID | None]
    """The outbox mail with the current link. No foreign key: mails are deleted some time after they were sent."""
    link_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set when the mail server takes the mail."""

    # How far the colleague has come.
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    """The account that was registered with a link of it, or has accepted."""
    registered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    registered_generation: Mapped[int | None]
    """The generation whose link was used to register. That link cannot be used again."""
    accepted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def is_accepted(self) -> bool:
        return self.accepted_at is not None

    @property
    def is_registered_unverified(self) -> bool:
        return self.registered_at is not None and not self.is_accepted

    def forget_registration(self) -> None:
        """Unlink the account that registered with it without accepting."""
        self.user_id = None
        self.registered_at = None
        self.registered_generation = None

    def is_link_expired(self, at: datetime) -> bool:
        """Whether the current link is expired at a moment."""
        return self.link_expires_at is not None and at >= self.link_expires_at
