from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.ids import new_id
from app.core.text import fold
from app.extensions import Base
from app.models.types import UtcDateTime

NO_FILE_NAME = "(erased)"
_TAKEN_BACK = text("taken_back_by_id IS NOT NULL")


def _folded_file_name(context: DefaultExecutionContext) -> str:
    return fold(context.get_current_parameters()["file_name"])


class ClientImport(Base):
    """One accepted CSV file. A rejected file leaves no row here, and a `RejectedUpload` that only counts it.

    The progress of its mails is read from the outbox and stored nowhere else.
    """

    __tablename__ = "client_import"
    __table_args__ = (
        # For an admin's imports in their order, and for the deletion of an account.
        Index(None, "actor_id", "portal_id", "created_at"),
        Index(None, "taken_back_by_id", sqlite_where=_TAKEN_BACK, postgresql_where=_TAKEN_BACK),
    )

    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="SET NULL"))
    file_name: Mapped[str] = mapped_column(String(255))
    file_name_folded: Mapped[str | None] = mapped_column(String(1020), default=_folded_file_name)
    """`app.core.text.fold` of the file's name, for search regardless of case. None if older code wrote the row."""
    row_count: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    dismissed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    taken_back_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When an admin took the import back, which removed those of its clients who were still pending."""
    taken_back_by_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="SET NULL"))
    taken_back_count: Mapped[int | None]
    """How many clients that removed."""

    def forget_file_name(self) -> None:
        """For an erasure: the name may tell whom the file is about."""
        self.file_name = NO_FILE_NAME
        self.file_name_folded = fold(NO_FILE_NAME)
