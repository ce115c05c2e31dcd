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
    """A portal has at most one branding of each: what its admins work on, and what its clients see."""

    DRAFT = "draft"
    PUBLISHED = "published"


class Language(StrEnum):
    """The languages in which people can be invited."""

    ENGLISH = "en"
    GERMAN = "de"
    FRENCH = "fr"
    SPANISH = "es"
    ARABIC = "ar"


class Logo(Base):
    """A picture as `app.branding.logo` made it. Never changed: another logo is another row, with another address."""

    __tablename__ = "logo"
    __table_args__ = (UniqueConstraint("portal_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"))
    png: Mapped[bytes] = mapped_column(LargeBinary)
    width: Mapped[int]
    height: Mapped[int]


class Branding(Base):
    """How a portal looks and speaks to those it invites. What is None is as the service has it."""

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
    """As `#rrggbb`, in small letters."""
    logo_id: Mapped[UUID | None]
    support_address: Mapped[str | None] = mapped_column(String(254))
    language: Mapped[Language] = mapped_column(text_enum(Language), default=Language.ENGLISH)
    subject: Mapped[str | None] = mapped_column(String(200))
    """Of invitations, with the placeholders of `app.branding.wording`."""
    greeting: Mapped[str | None] = mapped_column(String(1000))
    """What an invitation begins with, with the same placeholders; plain text, in lines."""
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
