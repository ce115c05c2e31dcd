from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime


class EmailChange(Base):
    """An account's change of its address that waits until both addresses have confirmed it.

    Nothing says whether the new address has an account: that is found out when its mailbox confirms.
    """

    __tablename__ = "email_change"
    # For the erasure of an address.
    __table_args__ = (Index(None, "email"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True)
    generation: Mapped[int]
    """`User.email_change_generation` when it was asked for. The links of its mails have it."""
    email: Mapped[str] = mapped_column(String(254))
    """The new address, in the canonical form of `app.core.text.clean_email`."""
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set when the mail server takes a mail, and again for the other one. Until then the links do not expire."""
    confirmed_by_present_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    confirmed_by_new_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class FormerAddress(Base):
    """An address that an account had before its owner changed it.

    Ended access holds for it too, a host shell may still name it, and an erasure has to find it.
    """

    __tablename__ = "former_address"

    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), primary_key=True, index=True)
    generation: Mapped[int]
    """Of the change that replaced the address: its links say that it was done."""
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
