"""A portal's branding for mails and pages, with the service's default wherever the portal has none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import and_, select

from app.branding.colours import ink_on
from app.extensions import db
from app.models import Branding, Language, Logo, Portal, Stage

ACCENT = "#0f5fa8"
SERVICE_NAME = "Bakuun"


@dataclass(frozen=True)
class LogoImage:
    id: UUID
    png: bytes
    width: int
    height: int

    def shown_in(self, width: int, height: int) -> tuple[int, int]:
        """The size of the logo in a space of this width and height. Never larger than the logo itself."""
        scale = min(width / self.width, height / self.height, 1.0)
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))


@dataclass(frozen=True)
class ResolvedBranding:
    """The branding of a portal with all gaps filled. Mails with the same branding differ only in their values."""

    name: str
    accent: str = ACCENT
    logo: LogoImage | None = None
    support_address: str | None = None
    language: Language = Language.ENGLISH
    subject: str | None = None
    greeting: str | None = None

    @property
    def on_accent(self) -> str:
        """The colour of text on the accent colour."""
        return ink_on(self.accent)


SERVICE = ResolvedBranding(SERVICE_NAME)
"""For mails and pages that belong to no portal."""


def brandings_of(portal_ids: Collection[str], stage: Stage = Stage.PUBLISHED) -> dict[str, ResolvedBranding]:
    """The brandings of portals at a stage: what their clients see, or the draft."""
    rows = db.session.execute(
        select(Portal.id, Portal.name, Branding, Logo)
        .outerjoin(Branding, and_(Branding.portal_id == Portal.id, Branding.stage == stage))
        .outerjoin(Logo, and_(Logo.portal_id == Branding.portal_id, Logo.id == Branding.logo_id))
        .where(Portal.id.in_(portal_ids))
    )
    return {portal_id: _resolved(name, branding, logo) for portal_id, name, branding, logo in rows}


def branding_of(portal: Portal, stage: Stage = Stage.PUBLISHED) -> ResolvedBranding:
    return brandings_of([portal.id], stage)[portal.id]


def _resolved(portal_name: str, branding: Branding | None, logo: Logo | None) -> ResolvedBranding:
    if branding is None:
        return ResolvedBranding(portal_name)
    return ResolvedBranding(
        name=branding.display_name or portal_name,
        accent=branding.accent or ACCENT,
        logo=LogoImage(logo.id, logo.png, logo.width, logo.height) if logo else None,
        support_address=branding.support_address,
        language=branding.language,
        subject=branding.subject,
        greeting=branding.greeting,
    )
