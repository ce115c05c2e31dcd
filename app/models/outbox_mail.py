from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.ids import new_id
from app.extensions import Base
from app.models.leased import Leased
from app.models.types import UtcDateTime, one_of, text_enum


class MailKind(StrEnum):
    """The kind of a mail. Also the name of its folder below `templates/email/`."""

    INVITATION = "invitation"
    VERIFICATION = "verification"
    PASSWORD_RESET = "password_reset"
    REMINDER = "reminder"
    JOIN_NOTICE = "join_notice"
    JOIN_DIGEST = "join_digest"
    SIGN_IN_LOCKED = "sign_in_locked"
    COLLEAGUE_INVITATION = "colleague_invitation"
    ROLE_NOTICE = "role_notice"
    SERVER_NOTICE = "server_notice"
    PASSWORD_CHANGED = "password_changed"
    NEW_DEVICE = "new_device"
    SECOND_FACTOR_CHANGED = "second_factor_changed"
    SECOND_FACTOR_LOCKED = "second_factor_locked"
    EMAIL_CHANGE = "email_change"
    EMAIL_CHANGE_NEW = "email_change_new"
    EMAIL_CHANGED = "email_changed"
    ACCOUNT_DELETED = "account_deleted"
    SECOND_FACTOR_REQUIRED = "second_factor_required"


PORTAL_MAILS = (MailKind.INVITATION, MailKind.REMINDER, MailKind.JOIN_NOTICE, MailKind.JOIN_DIGEST)
"""The kinds that go through a portal's own mail server, if it has one. All other mails are about an account: they prove
a mailbox to the whole service, or speak for the service. So they wait in queues of no portal, which use the
deployment's server."""
_IS_PORTAL_MAIL = "kind IN ({})".format(", ".join(f"'{kind}'" for kind in PORTAL_MAILS))


_IS_REFUSED = text("refused_by IS NOT NULL")


class MailState(StrEnum):
    """queued -> sending -> sent | failed; sending -> queued again for a later attempt; sent -> bounced | complained.

    A report may overtake our own record of the sending, so a mail can also bounce from any earlier state in which it
    has been tried.
    """

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    BOUNCED = "bounced"
    """A mail server took it, and later reported that it cannot be delivered."""
    COMPLAINED = "complained"
    """It arrived, and its recipient reported it as spam."""


class OutboxMail(Leased, Base):
    """A mail to be sent, written in the transaction that causes it.

    It holds parameters only. Text and link are made when it is sent, so neither this table nor a copy of it holds a
    working link. Removing a client removes its mails.
    """

    __tablename__ = "outbox_mail"
    __table_args__ = (
        ForeignKeyConstraint(
            ["portal_id", "client_id"],
            ["imported_client.portal_id", "imported_client.id"],
            ondelete="CASCADE",
        ),
        # One mail per generation, even if a button is pressed twice. The client comes first, because it is the most
        # selective column: with few statistics about a new portal, PostgreSQL would look through all its mails for each
        # client.
        UniqueConstraint("client_id", "portal_id", "kind", "generation"),
        UniqueConstraint("user_id", "kind", "generation"),
        one_of("kind", MailKind),
        one_of("state", MailState),
        CheckConstraint(f"{_IS_PORTAL_MAIL} OR queue LIKE '/%'", name="queue"),
        # To find the next mails to send, queue by queue.
        Index(None, "state", "queue", "due_at"),
        Index(None, "portal_id", "state"),
        Index(None, "refused_by", sqlite_where=_IS_REFUSED, postgresql_where=_IS_REFUSED),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[MailKind] = mapped_column(text_enum(MailKind))
    portal_id: Mapped[str | None] = mapped_column(ForeignKey("portal.id"))
    client_id: Mapped[UUID | None]
    """The client that an invitation or a reminder is for."""
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    """The account that a verification, a password reset or a notice is for. None if no account has the address: such a
    mail is deleted, not sent. It is written only so that the cost of a request does not reveal whether there is an
    account."""
    generation: Mapped[int]
    recipient: Mapped[str] = mapped_column(String(254))
    params: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    """Names as they were when the mail was requested."""
    message_id: Mapped[str] = mapped_column(String(255))
    """Never changes, so that the recipient's mailbox can recognise a repeat after a crash as the same mail."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    queue: Mapped[str] = mapped_column(String(40))
    """The mails of one queue are sent in order, and the queues take turns. See `app.outbox.priorities`."""
    state: Mapped[MailState] = mapped_column(text_enum(MailState), default=MailState.QUEUED)
    unknown_outcomes: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many attempts have an unknown outcome: the one under way, those whose answer was lost, and those whose
    process died. While this is not 0, the mail may have arrived."""
    refused_by: Mapped[str | None] = mapped_column(String(32))
    """The server, by the key of its route, that refused the mail and has taken no other since. See
    `app.outbox.refusals`."""
    refusals: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many refusals were not counted as attempts, because they may have been the server's fault."""
    last_error: Mapped[str | None] = mapped_column(String(500))
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
