from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime


class ShellAccount(Base):
    """Links a person in a host shell to an account of this service."""

    __tablename__ = "shell_account"
    __table_args__ = (UniqueConstraint("issuer_id", "subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("shell_issuer.id", ondelete="CASCADE"))
    subject: Mapped[str] = mapped_column(String(255))
    """The person's id in the shell (`sub`), which never changes."""
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    is_made_here: Mapped[bool]
    """Whether the account was created by this issuer's hand-over, not by a registration or an operator."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
