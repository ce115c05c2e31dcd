from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.models.types import UtcDateTime


class BounceMailbox(Base):
    """How far the job read-bounces has read a mailbox, and whether it can be reached: for `check` and the metrics."""

    __tablename__ = "bounce_mailbox"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    """A hash of host, user and folder: another mailbox in the settings begins with a row of its own."""
    uid_validity: Mapped[int] = mapped_column(BigInteger, default=0)
    """If the server shows another number, it has given all messages new UIDs (RFC 3501, 2.3.1.1)."""
    next_uid: Mapped[int] = mapped_column(BigInteger, default=1)
    """Messages with a lower UID have been looked at. Whichever of them are still there were no reports on our mails."""
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it was last read without an error."""
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set while it cannot be read."""
    reason: Mapped[str | None] = mapped_column(String(500))
