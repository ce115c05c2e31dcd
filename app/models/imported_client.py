from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    UniqueConstraint,
    and_,
    or_,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.ids import new_id
from app.extensions import Base
from app.models.types import UtcDateTime, one_of, text_enum


class ClientStatus(StrEnum):
    """The only two statuses. Expiry, delivery and registration are shown beside the status, never as a third one."""

    INVITE_SENT = "invite_sent"
    JOINED = "joined"


_PENDING = text("status = 'invite_sent'")
_JOINED = text("joined_at IS NOT NULL")
_CHANGED = text("account_email IS NOT NULL")
_UNVERIFIED = text("registered_at IS NOT NULL AND joined_at IS NULL")


class ImportedClient(Base):
    """One row of the Imported Clients table, with its current invitation.

    The primary key begins with the portal, so every foreign key to a client includes the portal. A row of one portal
    cannot point to a client of another.
    """

    __tablename__ = "imported_client"
    __table_args__ = (
        UniqueConstraint("portal_id", "email"),
        ForeignKeyConstraint(["portal_id", "import_id"], ["client_import.portal_id", "client_import.id"]),
        Index(None, "import_id", "portal_id"),
        # For the deletion of an account.
        Index(None, "invited_by_id"),
        # One for each sort order of the table, and for the figures above it.
        Index(None, "portal_id", "company_name_folded", "id"),
        Index(None, "portal_id", "status", "id"),
        Index(None, "portal_id", "email_last_sent_at", "id"),
        Index(None, "portal_id", "link_expires_at", sqlite_where=_PENDING, postgresql_where=_PENDING),
        Index(None, "portal_id", "registered_at", sqlite_where=_UNVERIFIED, postgresql_where=_UNVERIFIED),
        Index(None, "portal_id", "joined_at", sqlite_where=_JOINED, postgresql_where=_JOINED),
        # For addresses that are added or imported: the present address of a joined client is a duplicate as well.
        Index(None, "portal_id", "account_email", sqlite_where=_CHANGED, postgresql_where=_CHANGED),
        one_of("status", ClientStatus),
        CheckConstraint("generation >= 1", name="generation"),
        CheckConstraint("(status = 'joined') = (joined_at IS NOT NULL)", name="joined_at"),
        CheckConstraint(
            "status <> 'joined' OR (user_id IS NULL) = (account_deleted_at IS NOT NULL)", name="joined_user"
        ),
        CheckConstraint("account_deleted_at IS NULL OR status = 'joined'", name="account_deleted_at"),
        CheckConstraint("access_ended_at IS NULL OR account_deleted_at IS NOT NULL", name="access_ended_at"),
        CheckConstraint("account_email IS NULL OR user_id IS NOT NULL", name="account_email"),
    )

    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    company_name: Mapped[str] = mapped_column(String(100))
    company_name_folded: Mapped[str] = mapped_column(String(400))
    """`app.core.text.fold` of the name, for search regardless of case. Folding may lengthen a text."""
    email: Mapped[str] = mapped_column(String(254))
    """In the canonical form of `app.core.text.clean_email`."""
    address_digest: Mapped[str | None] = mapped_column(String(32))
    """`app.invitations.removed.address_digest` of the address; None in rows older than this column."""
    status: Mapped[ClientStatus] = mapped_column(text_enum(ClientStatus), default=ClientStatus.INVITE_SENT)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    import_id: Mapped[UUID | None]
    """The CSV import that added the client. None if somebody added it by hand."""
    email_last_sent_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    """Set when the mail is requested, and again when the mail server takes it."""

    # The current invitation.
    generation: Mapped[int] = mapped_column(default=1)
    """The number of the current invitation. A link of an older generation is dead."""
    invited_by_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="SET NULL"))
    message: Mapped[str | None] = mapped_column(String(500))
    """What the admin who added the client wrote above the greeting. In the form of `app.core.text.clean_message`."""
    link_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set when the mail server takes the mail, so the time that a mail waits does not shorten the life of its link."""
    link_lapsed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set by the track-expiry job, so that it writes each expiry into the history only once."""
    reminded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set by the send-reminders job, so that it writes only one reminder per invitation."""
    reminders_stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the recipient turned reminders off. Holds for later invitations of this address too."""
    declined_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the recipient said that the invitation is not for them. Its link goes on working."""

    # How far the invitee has come.
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id"), index=True)
    registered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    registered_generation: Mapped[int | None]
    """The generation whose link was used to register. That link cannot be used again."""
    joined_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    account_deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the owner of the account that had joined deleted it. The client stays Joined, without an account, until it
    is invited again or removed."""
    access_ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the portal had ended the access of an account that is deleted. Its owner stays shut out until the client is
    invited again. Of an account that is there `EndedAccess` tells it."""
    account_email: Mapped[str | None] = mapped_column(String(254))
    """The present address of the account that the client joined with. None while it is `email`, the invited one."""

    @property
    def is_joined(self) -> bool:
        return self.status is ClientStatus.JOINED

    @hybrid_property
    def has_account(self) -> bool:
        """Whether it has joined, and the account is still there. Then it can neither be invited again nor removed."""
        return self.status is ClientStatus.JOINED and self.account_deleted_at is None

    @has_account.inplace.expression
    @classmethod
    def _has_account(cls) -> ColumnElement[bool]:
        return and_(cls.status == ClientStatus.JOINED, cls.account_deleted_at.is_(None))

    @property
    def is_registered_unverified(self) -> bool:
        return self.registered_at is not None and not self.is_joined

    @hybrid_property
    def is_declined(self) -> bool:
        """Whether declining is the recipient's latest answer. A later registration overrides it."""
        if self.declined_at is None or self.is_joined:
            return False
        return self.registered_at is None or self.registered_at < self.declined_at

    @is_declined.inplace.expression
    @classmethod
    def _is_declined(cls) -> ColumnElement[bool]:
        is_last = or_(cls.registered_at.is_(None), cls.registered_at < cls.declined_at)
        return and_(cls.declined_at.is_not(None), cls.status != ClientStatus.JOINED, is_last)

    def forget_registration(self) -> None:
        """Unlink the account that registered for this client without joining."""
        self.user_id = self.account_email = None
        self.registered_at = None
        self.registered_generation = None

    def is_link_expired(self, at: datetime) -> bool:
        """Whether the current link is expired at a moment. At `link_expires_at` itself it is expired."""
        return self.link_expires_at is not None and at >= self.link_expires_at
