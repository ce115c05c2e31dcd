"""Which host shells may show a portal in a frame."""

from __future__ import annotations

from collections.abc import Iterable

from flask_babel import gettext as _
from sqlalchemy import delete, select

from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.errors import DomainError
from app.db.transactions import transaction
from app.embed.origins import MOST_ORIGINS, clean_origin
from app.extensions import db
from app.models import Portal, ShellOrigin


def origins_of(portal_id: str) -> list[str]:
    """The origins that may show the portal, sorted."""
    mine = select(ShellOrigin.origin).where(ShellOrigin.portal_id == portal_id)
    return sorted(db.session.scalars(mine))


def save_origins(portal_id: str, origins: Iterable[str]) -> None:
    """Replace the portal's origins by these, given in their clean form. Raises `DomainError` for too many."""
    wanted = set(origins)
    with transaction() as session:
        # The lock serialises saves. Otherwise two concurrent saves would leave the origins of both.
        session.get_one(Portal, portal_id, with_for_update=True)
        _check_number(wanted)
        before = set(origins_of(portal_id))
        session.execute(delete(ShellOrigin).where(ShellOrigin.portal_id == portal_id))
        session.add_all(ShellOrigin(portal_id=portal_id, origin=origin) for origin in sorted(wanted))
        for origin in sorted(wanted ^ before):
            _record(portal_id, origin, is_allowed=origin in wanted)


def allow_origin(portal_id: str, origin: str) -> str:
    """Let one more origin show the portal. Returns its clean form.

    Raises `DomainError` for an unknown portal, a wrong origin, or too many origins.
    """
    origin = clean_origin(origin)
    with transaction() as session:
        if session.get(Portal, portal_id, with_for_update=True) is None:
            raise DomainError(_("There is no portal with the id %(id)s.", id=portal_id))
        if session.get(ShellOrigin, (portal_id, origin)) is None:
            _check_number({*origins_of(portal_id), origin})
            session.add(ShellOrigin(portal_id=portal_id, origin=origin))
            _record(portal_id, origin, is_allowed=True)
    return origin


def forbid_origin(portal_id: str, origin: str) -> None:
    """Remove an origin from those that may show the portal. Raises `DomainError` if it was not allowed."""
    origin = clean_origin(origin)
    with transaction() as session:
        known = session.get(ShellOrigin, (portal_id, origin))
        if known is None:
            raise DomainError(_("%(origin)s is no shell origin of portal %(id)s.", origin=origin, id=portal_id))
        session.delete(known)
        _record(portal_id, origin, is_allowed=False)


def _record(portal_id: str, origin: str, *, is_allowed: bool) -> None:
    change = {"may_show": [not is_allowed, is_allowed]}
    audit.record(portal_id, AuditKind.EMBEDDING_CHANGED, target=audit.thing(origin), change=change)


def _check_number(origins: set[str]) -> None:
    if len(origins) > MOST_ORIGINS:
        raise DomainError(_("A portal can have at most %(most)s allowed sites.", most=MOST_ORIGINS))
