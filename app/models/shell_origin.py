from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base


class ShellOrigin(Base):
    """An origin whose pages may show a portal in a frame."""

    __tablename__ = "shell_origin"

    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    origin: Mapped[str] = mapped_column(String(255), primary_key=True)
    """As `app.embed.origins.clean_origin` writes it, which is the form that browsers send."""
