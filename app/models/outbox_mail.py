from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.ids import new_id
from app.extensions import Base
from app.models.leased import Leased
from app.models.types import UtcDateTime, one_of, text_enum


class MailKind(StrEnum):
    """Which mail it is: a folder below `templates/email/`."""

    INVITATION = "invitation"
    VERIFICATION = "verification"
    PASSWORD_RESET = "password_reset"
    REMINDER = "reminder"
    JOIN_NOTICE = "join_notice"
    JOIN_DIGEST = "join_digest"
    SIGN_IN_LOCKED = "sign_in_locked"


PORTAL_MAILS = (MailKind.INVITATION, MailKind.REMINDER, MailKind.JOIN_NOTICE, MailKind.JOIN_DIGEST)
"""What goes through a portal's own mail server, if it has one. All other mails are about an account: they prove a
mailbox to the whole service, or speak for it. So they wait in the queues of no portal: the deployment's server's."""
_IS_PORTAL_MAIL = "kind IN ({})".format(", ".join(f"'{kind}'" for kind in PORTAL_MAILS))


class MailState(StrEnum):
    """queued -> sending -> sent | failed; sending -> queued again for a later attempt."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


class OutboxMail(Leased, Base):
    """A mail to be sent, written in the same transaction as what caused it.

    It holds parameters only. Text and link are made when it is sent, so neither this table nor a copy of it
    holds a link that works. Removing a client removes its mails with it.
    """

    __tablename__ = "outbox_mail"
    __table_args__ = (
        ForeignKeyConstraint(
            ["portal_id", "client_id"],
            ["imported_client.portal_id", "imported_client.id"],
            ondelete="CASCADE",
        ),
        # One mail a generation, whatever is pressed twice. The client comes first, for it says most: of a portal that
        # is new to its statistics, PostgreSQL would look through all mails for each client.
        UniqueConstraint("client_id", "portal_id", "kind", "generation"),
        UniqueConstraint("user_id", "kind", "generation"),
        one_of("kind", MailKind),
        one_of("state", MailState),
        CheckConstraint(f"{_IS_PORTAL_MAIL} OR queue LIKE '/%'", name="queue"),
        # What is to be sent next, queue by queue.
        Index(None, "state", "queue", "due_at"),
        Index(None, "portal_id", "state"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[MailKind] = mapped_column(text_enum(MailKind))
    portal_id: Mapped[str | None] = mapped_column(ForeignKey("portal.id"))
    client_id: Mapped[UUID | None]
    """The client an invitation or its reminder is for."""
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    """The account a verification, a password reset or a notice is for. None where an address has no account: such a
    mail is deleted and not sent, and is written only so that an account does not show by what it costs."""
    generation: Mapped[int]
    recipient: Mapped[str] = mapped_column(String(254))
    params: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    """Names as they were when the mail was asked for."""
    message_id: Mapped[str] = mapped_column(String(255))
    """Fixed, so that a repeat after a crash is the same mail to a mailbox that knows it already."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    queue: Mapped[str] = mapped_column(String(40))
    """Its queue: mails of one go out in their order, and the queues in turns. See `app.outbox.priorities`."""
    state: Mapped[MailState] = mapped_column(text_enum(MailState), default=MailState.QUEUED)
    unknown_outcomes: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many attempts were begun of which nobody knows what came: the one under way, those whose answer was lost, and
    those whose process died. While it is not 0 the mail may have arrived."""
    last_error: Mapped[str | None] = mapped_column(String(500))
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
