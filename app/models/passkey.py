from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.ids import new_id
from app.extensions import Base
from app.models.types import UtcDateTime, one_of, text_enum


class Passkey(Base):
    """A passkey (WebAuthn credential) of an account: a key whose private half never leaves the person's devices."""

    __tablename__ = "passkey"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    """What the authenticator calls it."""
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    """In COSE form, as the authenticator gave it."""
    sign_count: Mapped[int] = mapped_column(BigInteger)
    """How often it has signed, as the authenticator counts. 0 where the authenticator does not count."""
    name: Mapped[str] = mapped_column(String(100))
    """What its owner calls it."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ChallengePurpose(StrEnum):
    """What a challenge may be signed for."""

    REGISTRATION = "registration"
    SIGN_IN = "sign_in"
    SECOND_STEP = "second_step"
    STEP_UP = "step_up"


class PasskeyChallenge(Base):
    """A challenge that waits for its signature. Whoever brings one deletes the row, so that none is taken twice."""

    __tablename__ = "passkey_challenge"
    __table_args__ = (one_of("purpose", ChallengePurpose),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The hash of the challenge."""
    browser: Mapped[str] = mapped_column(String(64))
    """The hash of the token that the browser holds for which it was made."""
    purpose: Mapped[ChallengePurpose] = mapped_column(text_enum(ChallengePurpose))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    """Whose passkey has to sign. None: that of whichever account it belongs to."""
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
