from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime


class TotpKey(Base):
    """The key that an account shares with its owner's authenticator app. It counts from the first right code on."""

    __tablename__ = "totp_key"
    __table_args__ = (CheckConstraint("last_step > 0", name="last_step"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True)
    encrypted_key: Mapped[str] = mapped_column(String(255))
    last_step: Mapped[int]
    """The step of the last code that was accepted. Neither it nor an older one is accepted again."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class RecoveryCode(Base):
    """A code that takes the place of a second factor, once. Its use deletes the row."""

    __tablename__ = "recovery_code"

    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of account and code, so nobody can sign in with a copy of the database."""


class PendingSignIn(Base):
    """A sign-in whose password was right, and whose second factor is still to come. It opens nothing by itself."""

    __tablename__ = "pending_sign_in"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the token that the browser holds."""
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    password_digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the hash of the password that was right. A new password ends the pending sign-in."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
