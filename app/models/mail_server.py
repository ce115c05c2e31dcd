from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Float, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.models.types import UtcDateTime, one_of, text_enum


class TlsMode(StrEnum):
    """How a connection to a mail server is encrypted: not at all, after STARTTLS, or from the first byte."""

    NONE = "none"
    STARTTLS = "starttls"
    SSL = "ssl"


class PortalMailServer(Base):
    """A portal's own mail server. A portal without one uses the deployment's."""

    __tablename__ = "portal_mail_server"
    __table_args__ = (
        one_of("tls", TlsMode),
        CheckConstraint("port BETWEEN 1 AND 65535", name="port"),
        CheckConstraint("per_second > 0", name="per_second"),
    )

    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    host: Mapped[str] = mapped_column(String(253))
    port: Mapped[int]
    tls: Mapped[TlsMode] = mapped_column(text_enum(TlsMode))
    username: Mapped[str | None] = mapped_column(String(254))
    encrypted_password: Mapped[str | None] = mapped_column(String(2000))
    """As `app.core.encryption.encrypt` made it; the database never holds it in the clear."""
    sender: Mapped[str] = mapped_column(String(400))
    """One mailbox, as `email.utils.formataddr` writes it."""
    reply_to: Mapped[str | None] = mapped_column(String(254))
    """Where answers go; None for whoever invites."""
    per_second: Mapped[float | None] = mapped_column(Float)
    """The most mails a second that this server takes; None for as many as it can."""


class MailServerState(Base):
    """What all workers need to know of a mail server: whether it is paused, and when it may get its next mail.

    There is a row only while there is something to know. All times are by the database's clock.
    """

    __tablename__ = "mail_server_state"

    server: Mapped[str] = mapped_column(String(32), primary_key=True)
    """The portal whose own server it is, or "" for the deployment's."""
    paused_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """While set the server is at fault; from this moment on somebody may try it with one mail."""
    paused_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    faults: Mapped[int] = mapped_column(default=0)
    """How often in a row it was found at fault."""
    reason: Mapped[str | None] = mapped_column(String(500))
    next_mail_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Of a server with a rate: before this moment it is to get no further mail."""
