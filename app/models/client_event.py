from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime, one_of, text_enum


class EventKind(StrEnum):
    """What can happen to a client. Opening a link is not an event, because mail scanners open links too."""

    INVITED = "invited"
    RESENT = "resent"
    CORRECTED = "corrected"
    MAIL_QUEUED = "mail_queued"
    MAIL_SENT = "mail_sent"
    MAIL_FAILED = "mail_failed"
    MAIL_BOUNCED = "mail_bounced"
    MAIL_DELAYED = "mail_delayed"
    MAIL_COMPLAINED = "mail_complained"
    EXPIRED = "expired"
    REMINDED = "reminded"
    DECLINED = "declined"
    REQUESTED = "requested"
    REGISTERED = "registered"
    VERIFIED = "verified"
    JOINED = "joined"
    ACCESS_ENDED = "access_ended"
    ACCESS_GIVEN_BACK = "access_given_back"
    EMAIL_CHANGED = "email_changed"
    ACCOUNT_DELETED = "account_deleted"
    REMOVED = "removed"


_BY_SOMEBODY = text("actor_id IS NOT NULL")


class ClientEvent(Base):
    """One event of a client's history.

    It outlives its client, so it has no foreign key to it. It names nobody but the acting user. `detail` may quote a
    mail server and so hold an address, and of an invitation it is the message; it is emptied when the client is
    removed.
    """

    __tablename__ = "client_event"
    __table_args__ = (
        one_of("kind", EventKind),
        Index(None, "portal_id", "client_id", "id"),
        # For the newest events of a portal.
        Index(None, "portal_id", "id"),
        # For the deletion of an account.
        Index(None, "actor_id", sqlite_where=_BY_SOMEBODY, postgresql_where=_BY_SOMEBODY),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id"))
    client_id: Mapped[UUID]
    kind: Mapped[EventKind] = mapped_column(text_enum(EventKind))
    generation: Mapped[int]
    """The invitation that the event belongs to."""
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="SET NULL"))
    detail: Mapped[str | None] = mapped_column(String(500))
    address_digest: Mapped[str | None] = mapped_column(String(32))
    """Only of a removal: `app.invitations.removed.address_digest` of the client's address."""
