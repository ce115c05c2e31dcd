"""What client admins do with their portal's branding: edit a draft, publish it, or discard it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.audit import service as audit
from app.audit.changes import difference
from app.audit.service import AuditKind
from app.branding.logo import Picture
from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.models import Branding, Language, Logo, Portal, Stage


@dataclass(frozen=True)
class Design:
    """The choices of a branding, without the logo. None means: as the service does by default."""

    display_name: str | None = None
    accent: str | None = None
    support_address: str | None = None
    language: Language = Language.ENGLISH
    subject: str | None = None
    greeting: str | None = None


def has_draft(portal_id: str) -> bool:
    """Whether there is a draft that is not published yet."""
    return db.session.get(Branding, (portal_id, Stage.DRAFT)) is not None


def branding_at_work(portal_id: str) -> Branding | None:
    """The branding that admins edit: the draft, or the published one if there is no draft. None if there is neither."""
    return db.session.scalar(
        select(Branding).where(Branding.portal_id == portal_id).order_by(Branding.stage == Stage.PUBLISHED).limit(1)
    )


def save_draft(portal_id: str, design: Design) -> None:
    """Save a design as the portal's draft. Only its admins see it.

    The audit trail tells of a draft when it is begun: the page saves it while somebody types.
    """
    with transaction() as session:
        _hold(session, portal_id)
        _apply(_edited_draft(session, portal_id), design)


def publish(portal_id: str, design: Design) -> None:
    """Publish a design with the draft's logo. Pages show it at once, mails from the next one sent."""
    with transaction() as session:
        _hold(session, portal_id)
        before = _compared(session.get(Branding, (portal_id, Stage.PUBLISHED), populate_existing=True))
        draft = _draft(session, portal_id)
        _apply(draft, design)
        session.execute(delete(Branding).where(Branding.portal_id == portal_id, Branding.stage == Stage.PUBLISHED))
        draft.stage = Stage.PUBLISHED
        session.flush()
        _drop_unused_logos(session, portal_id)
        audit.record(portal_id, AuditKind.BRANDING_PUBLISHED, change=difference(before, _compared(draft)))


def discard_draft(portal_id: str) -> None:
    """Delete the draft. The published branding stays."""
    with transaction() as session:
        _hold(session, portal_id)
        draft = delete(Branding).where(Branding.portal_id == portal_id, Branding.stage == Stage.DRAFT)
        found = session.scalars(draft.returning(Branding.portal_id)).first()
        _drop_unused_logos(session, portal_id)
        if found is not None:
            audit.record(portal_id, AuditKind.BRANDING_DISCARDED)


def set_logo(portal_id: str, picture: Picture | None) -> None:
    """Give the draft a logo, or remove it if `picture` is None."""
    with transaction() as session:
        _hold(session, portal_id)
        draft = _edited_draft(session, portal_id)
        draft.logo_id = None
        if picture is not None:
            logo = Logo(portal_id=portal_id, png=picture.png, width=picture.width, height=picture.height)
            session.add(logo)
            session.flush()
            draft.logo_id = logo.id
        draft.changed_at = now()
        session.flush()
        _drop_unused_logos(session, portal_id)


def _hold(session: Session, portal_id: str) -> None:
    """Lock the portal, so that admins change its branding one at a time. Clients may still be added meanwhile."""
    session.get_one(Portal, portal_id, with_for_update={"key_share": True})


def _edited_draft(session: Session, portal_id: str) -> Branding:
    """The portal's draft, with a line of the audit trail if it is begun now."""
    if session.get(Branding, (portal_id, Stage.DRAFT), populate_existing=True) is None:
        audit.record(portal_id, AuditKind.BRANDING_CHANGED)
    return _draft(session, portal_id)


def _draft(session: Session, portal_id: str) -> Branding:
    """The portal's draft. A new one starts as a copy of the published branding."""
    draft = session.get(Branding, (portal_id, Stage.DRAFT), populate_existing=True)
    if draft is None:
        published = session.get(Branding, (portal_id, Stage.PUBLISHED), populate_existing=True)
        draft = Branding(portal_id=portal_id, stage=Stage.DRAFT, logo_id=published.logo_id if published else None)
        _apply(draft, _design_of(published))
        session.add(draft)
    return draft


def _design_of(branding: Branding | None) -> Design:
    if branding is None:
        return Design()
    return Design(**{name: getattr(branding, name) for name in Design.__dataclass_fields__})


def _compared(branding: Branding | None) -> dict[str, object]:
    """What the audit trail compares: plain values, as the row changes."""
    return {**asdict(_design_of(branding)), "logo": str(branding.logo_id or "") if branding else ""}


def _apply(draft: Branding, design: Design) -> None:
    for name, value in asdict(design).items():
        setattr(draft, name, value)
    draft.changed_at = now()


def _drop_unused_logos(session: Session, portal_id: str) -> None:
    used = select(Branding.logo_id).where(Branding.portal_id == portal_id, Branding.logo_id.is_not(None))
    session.execute(delete(Logo).where(Logo.portal_id == portal_id, Logo.id.not_in(used)))
