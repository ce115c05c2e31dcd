from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.models.types import UtcDateTime


class UsedToken(Base):
    """A token of an issuer that has been used, so that it is not used again."""

    __tablename__ = "used_token"

    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    """By its address: an issuer that is removed and added again has no second use of its tokens."""
    jti: Mapped[str] = mapped_column(String(255), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
