"""A portal's settings for its invitations, and each client admin's choice of notices about joined clients."""

from __future__ import annotations

from collections.abc import Mapping

from flask_babel import gettext as _

from app.audit import service as audit
from app.audit.changes import difference
from app.audit.service import AuditKind
from app.core.clock import now
from app.core.errors import Forbidden
from app.db.transactions import transaction
from app.models import JoinNotice, Membership, Portal, Role


def save_invitation_settings(
    portal_id: str, user_id: int, settings: Mapping[str, object], join_notice: JoinNotice | None
) -> None:
    """Save the portal's settings, by column name, and the admin's own choice of notice.

    Raises `Forbidden` if the user is no longer a client admin.
    """
    with transaction() as session:
        membership = session.get(Membership, (portal_id, user_id), with_for_update=True)
        if membership is None or membership.role is not Role.CLIENT_ADMIN:
            raise Forbidden(_("You're no longer a client admin of this portal. Nothing was saved."))
        portal = session.get_one(Portal, portal_id)
        before = {name: getattr(portal, name) for name in settings} | {"join_notice": membership.join_notice}
        if changed := difference(before, {**settings, "join_notice": join_notice}):
            audit.record(portal_id, AuditKind.SETTINGS_CHANGED, change=changed)
        for name, value in settings.items():
            setattr(portal, name, value)
        if membership.join_notice is not join_notice:
            membership.join_notice = join_notice
            # The first digest covers only what happens from now on.
            membership.digest_from = now() if join_notice is JoinNotice.DAILY else None
