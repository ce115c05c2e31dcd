from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Float, ForeignKey, String, false
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
    """As `app.core.encryption.encrypt` made it. The database never holds the password in clear text."""
    sender: Mapped[str] = mapped_column(String(400))
    """One mailbox, in the form of `email.utils.formataddr`."""
    per_second: Mapped[float | None] = mapped_column(Float)
    """How many mails per second this server takes at most. None: no limit."""
    dkim_selector: Mapped[str | None] = mapped_column(String(63))
    """Under which name the key of its signatures stands in the DNS. For the sender check only. None: not known."""
    uses_bounce_address: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether mails carry the deployment's bounce address as their envelope sender. Many servers refuse a sender of
    another domain, so it is off by default."""


class MailServerState(Base):
    """The state of a mail server that all workers share: whether it is paused, and when it may get its next mail.

    The row exists only while there is such a state. All times are by the database's clock.
    """

    __tablename__ = "mail_server_state"

    server: Mapped[str] = mapped_column(String(32), primary_key=True)
    """The portal that owns the server, or "" for the deployment's server."""
    paused_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """If set, the server is at fault. From this moment on one worker may try it with one mail."""
    paused_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    faults: Mapped[int] = mapped_column(default=0)
    """How many times in a row it was found at fault."""
    reason: Mapped[str | None] = mapped_column(String(500))
    next_mail_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """For a server with a rate limit: it must not get another mail before this moment."""
