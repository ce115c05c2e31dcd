from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime


class ShellIssuer(Base):
    """A host shell that we trust to say who somebody is, in the portals that it was given."""

    __tablename__ = "shell_issuer"
    __table_args__ = (CheckConstraint("(jwks_url IS NULL) <> (public_key IS NULL)", name="keys"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    issuer: Mapped[str] = mapped_column(String(255), unique=True)
    """The issuer's address, as its tokens name it (`iss`)."""
    jwks_url: Mapped[str | None] = mapped_column(String(2000))
    """Where the issuer publishes its public keys."""
    public_key: Mapped[str | None] = mapped_column(Text)
    """The issuer's only key, in PEM."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class ShellIssuerPortal(Base):
    """A portal whose users an issuer may sign in."""

    __tablename__ = "shell_issuer_portal"

    issuer_id: Mapped[int] = mapped_column(ForeignKey("shell_issuer.id", ondelete="CASCADE"), primary_key=True)
    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True, index=True)
