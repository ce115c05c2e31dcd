from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.ids import new_id
from app.extensions import Base
from app.models.types import UtcDateTime, one_of, text_enum


class Stage(StrEnum):
    """A portal has at most one branding per stage: admins edit the draft, and clients see the published one."""

    DRAFT = "draft"
    PUBLISHED = "published"


class Language(StrEnum):
    """The languages of the service: portals invite in one, and people read its pages in one."""

    ENGLISH = "en"
    GERMAN = "de"
    FRENCH = "fr"
    SPANISH = "es"
    ARABIC = "ar"

    @property
    def own_name(self) -> str:
        """By its own name, so that people who speak it can find it."""
        return _OWN_NAMES[self]


_OWN_NAMES = {
    Language.ENGLISH: "English",
    Language.GERMAN: "Deutsch",
    Language.FRENCH: "Français",
    Language.SPANISH: "Español",
    Language.ARABIC: "العربية",
}


class Logo(Base):
    """A picture that `app.branding.logo` made. It never changes: another logo is a new row with a new address."""

    __tablename__ = "logo"
    __table_args__ = (UniqueConstraint("portal_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"))
    png: Mapped[bytes] = mapped_column(LargeBinary)
    width: Mapped[int]
    height: Mapped[int]


class Branding(Base):
    """How a portal looks and speaks to the people it invites. None means: as the service does by default."""

    __tablename__ = "branding"
    __table_args__ = (
        ForeignKeyConstraint(["portal_id", "logo_id"], ["logo.portal_id", "logo.id"]),
        one_of("stage", Stage),
        one_of("language", Language),
        CheckConstraint("accent LIKE '#______'", name="accent"),
    )

    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    stage: Mapped[Stage] = mapped_column(text_enum(Stage), primary_key=True)
    display_name: Mapped[str | None] = mapped_column(String(100))
    accent: Mapped[str | None] = mapped_column(String(7))
    """As `#rrggbb`, in lower case."""
    logo_id: Mapped[UUID | None]
    support_address: Mapped[str | None] = mapped_column(String(254))
    language: Mapped[Language] = mapped_column(text_enum(Language), default=Language.ENGLISH)
    subject: Mapped[str | None] = mapped_column(String(200))
    """The subject of invitations, with the placeholders of `app.branding.wording`."""
    greeting: Mapped[str | None] = mapped_column(String(1000))
    """The beginning of an invitation, with the same placeholders. Plain text, may have several lines."""
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
