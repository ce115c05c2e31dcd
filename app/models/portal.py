from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime


class Portal(Base):
    """A tenant: one B-Portal site."""

    __tablename__ = "portal"
    __table_args__ = (CheckConstraint("length(id) BETWEEN 1 AND 32", name="id"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """The portal ID. It is public, never changes, and is part of every URL of the portal."""
    name: Mapped[str] = mapped_column(String(100))
    sends_reminders: Mapped[bool] = mapped_column(default=False)
    """Whether invitees get a reminder before their link expires."""
    gives_fresh_links: Mapped[bool] = mapped_column(default=True)
    """Whether invitees may request a fresh link themselves when theirs has expired."""
    reply_to: Mapped[str | None] = mapped_column(String(254))
    """Where answers to its invitations and reminders go. None: to the person who invites."""
    preview_above: Mapped[int | None]
    """An import of more rows than this is shown before it is sent. None: no import is."""
    second_factor_required_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Since when its client admins and staff need a second factor. None: they don't. See
    `app.portals.required_factor`."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
