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
    """The two statuses there are. Expiry, delivery and registration stand beside them, never as a third."""

    INVITE_SENT = "invite_sent"
    JOINED = "joined"


_PENDING = text("status = 'invite_sent'")
_JOINED = text("joined_at IS NOT NULL")
_UNVERIFIED = text("registered_at IS NOT NULL AND joined_at IS NULL")


class ImportedClient(Base):
    """One line of the Imported Clients table, with its current invitation.

    The portal leads the primary key, so every foreign key to a client carries the portal too, and a row of one
    portal cannot point into another.
    """

    __tablename__ = "imported_client"
    __table_args__ = (
        UniqueConstraint("portal_id", "email"),
        ForeignKeyConstraint(["portal_id", "import_id"], ["client_import.portal_id", "client_import.id"]),
        Index(None, "import_id", "portal_id"),
        # Asked when an account is deleted.
        Index(None, "invited_by_id"),
        # One for each order of the table, and for the numbers above it.
        Index(None, "portal_id", "company_name_folded", "id"),
        Index(None, "portal_id", "status", "id"),
        Index(None, "portal_id", "email_last_sent_at", "id"),
        Index(None, "portal_id", "link_expires_at", sqlite_where=_PENDING, postgresql_where=_PENDING),
        Index(None, "portal_id", "registered_at", sqlite_where=_UNVERIFIED, postgresql_where=_UNVERIFIED),
        Index(None, "portal_id", "joined_at", sqlite_where=_JOINED, postgresql_where=_JOINED),
        one_of("status", ClientStatus),
        CheckConstraint("generation >= 1", name="generation"),
        CheckConstraint("(status = 'joined') = (joined_at IS NOT NULL)", name="joined_at"),
        CheckConstraint("status <> 'joined' OR user_id IS NOT NULL", name="joined_user"),
    )

    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    company_name: Mapped[str] = mapped_column(String(100))
    company_name_folded: Mapped[str] = mapped_column(String(400))
    """`app.core.text.fold` of the name, for search without case; folding may lengthen a text."""
    email: Mapped[str] = mapped_column(String(254))
    """In the one form that `app.core.text.clean_email` gives."""
    status: Mapped[ClientStatus] = mapped_column(text_enum(ClientStatus), default=ClientStatus.INVITE_SENT)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    import_id: Mapped[UUID | None]
    """The CSV import that brought it, if it was not added by hand."""
    email_last_sent_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    """Stamped when the mail is asked for, and again when the mail server takes it."""

    # The current invitation.
    generation: Mapped[int] = mapped_column(default=1)
    """Counts invitations; a link of an older generation is dead."""
    invited_by_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="SET NULL"))
    link_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set when the mail server takes the mail: a mail that waits does not eat the invitee's time."""
    link_lapsed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set by the track-expiry job, which so writes each lapse into the history once."""
    reminded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set by the send-reminders job, which so writes one reminder of each invitation."""
    declined_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the recipient said that the invitation is not for them. Its link works all the same."""

    # How far the invitee has come.
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id"), index=True)
    registered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    registered_generation: Mapped[int | None]
    """The generation whose link was used to register; that link is then spent."""
    joined_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def is_joined(self) -> bool:
        return self.status is ClientStatus.JOINED

    @property
    def is_registered_unverified(self) -> bool:
        return self.registered_at is not None and not self.is_joined

    @hybrid_property
    def is_declined(self) -> bool:
        """Whether declining is the last that was heard of the recipient: who registers afterwards has thought again."""
        if self.declined_at is None or self.is_joined:
            return False
        return self.registered_at is None or self.registered_at < self.declined_at

    @is_declined.inplace.expression
    @classmethod
    def _is_declined(cls) -> ColumnElement[bool]:
        is_last = or_(cls.registered_at.is_(None), cls.registered_at < cls.declined_at)
        return and_(cls.declined_at.is_not(None), cls.status != ClientStatus.JOINED, is_last)

    def forget_registration(self) -> None:
        """Whoever has registered, and not joined, has nothing to do with this client any more."""
        self.user_id = None
        self.registered_at = None
        self.registered_generation = None

    def is_link_expired(self, at: datetime) -> bool:
        """Whether the current link is dead at a moment: valid up to, not at, its expiry."""
        return self.link_expires_at is not None and at >= self.link_expires_at
