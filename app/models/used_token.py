from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.models.types import UtcDateTime


class UsedToken(Base):
    """An issuer's token that was used. The row prevents a second use."""

    __tablename__ = "used_token"

    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    """The issuer's address, not its id: if the issuer is removed and added again, its used tokens stay used."""
    jti: Mapped[str] = mapped_column(String(255), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
