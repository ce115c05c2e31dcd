"""A portal may require a second factor of its team: its client admins and staff.

Whoever has none gets fourteen days, from when it was required, or from when they got into the team if that is later.
After that the portal's pages lead them to setting one up, and nowhere else. People who come through a host shell are
never asked: the shell decides how they sign in.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select

from app.accounts.security.factors import has_second_factor, is_protected
from app.audit import service as audit
from app.audit.service import AuditKind
from app.branding.policy import PortalPolicy
from app.core.clock import now
from app.core.errors import Forbidden
from app.db.transactions import transaction
from app.extensions import db
from app.models import TEAM_ROLES, MailKind, Membership, OutboxMail, Portal, Role, User
from app.outbox.kinds import there_is
from app.outbox.leased_email import MailContent
from app.outbox.render import expiry_text
from app.outbox.to_admins import IS_ENABLED, NoticeRules, actor_params, enqueue_notice
from app.portals.team import is_managed

GRACE: Final = timedelta(days=14)


def due_at(portal: Portal, membership: Membership) -> datetime | None:
    """Until when a member of a portal's team may do without a second factor. None if the portal requires none."""
    required_at = portal.second_factor_required_at
    if required_at is None or membership.role not in TEAM_ROLES:
        return None
    return _end_of_grace(required_at, membership)


def _end_of_grace(required_at: datetime, membership: Membership) -> datetime:
    return max(required_at, membership.team_since or membership.created_at) + GRACE


def due_of(user: User, membership: Membership) -> datetime | None:
    """Until when this user has to set up a second factor for a portal. None if nobody asks them to.

    The membership has its portal loaded.
    """
    due = due_at(membership.portal, membership)
    if due is None or user.handed_over_to is not None or has_second_factor(user.id):
        return None
    return due


def require_factor(portal_id: str, actor_id: int, *, is_required: bool) -> bool:
    """Require a second factor of a portal's team, or no longer. Returns whether that is new.

    Those who have none are told by mail, whoever required it among them. Raises `Forbidden` if the actor is no longer a
    client admin.
    """
    with transaction() as session:
        membership = session.get(Membership, (portal_id, actor_id), with_for_update=True)
        if membership is None or membership.role is not Role.CLIENT_ADMIN:
            raise Forbidden(_("You're no longer a client admin of this portal. Nothing was saved."))
        portal = session.get_one(Portal, portal_id, with_for_update=True, populate_existing=True)
        was_required = portal.second_factor_required_at is not None
        if was_required is is_required:
            return False
        portal.second_factor_required_at = required_at = now() if is_required else None
        if required_at is not None:
            _tell_team(portal, required_at)
        change = {"require_second_factor": [was_required, is_required]}
        audit.record(portal_id, AuditKind.SECOND_FACTOR_REQUIRED, change=change)
        return True


def _tell_team(portal: Portal, required_at: datetime) -> None:
    concerned = (
        select(Membership, User)
        .join(User, User.id == Membership.user_id)
        .where(
            Membership.portal_id == portal.id,
            Membership.role.in_(TEAM_ROLES),
            IS_ENABLED,
            ~is_managed(portal.id),
            ~is_protected(),
        )
        .order_by(Membership.user_id)
    )
    params = actor_params()
    for membership, user in db.session.execute(concerned).all():
        due = {"due": _end_of_grace(required_at, membership).isoformat()}
        enqueue_notice(MailKind.SECOND_FACTOR_REQUIRED, portal.id, user, params | due)


class FactorRequiredRules(NoticeRules):
    """The outbox's rules for notices that a portal requires a second factor."""

    # Not once it is required no longer, nor to whom the role was taken.
    still_wanted = there_is(
        Membership.portal_id == OutboxMail.portal_id,
        Membership.user_id == OutboxMail.user_id,
        Membership.role.in_(TEAM_ROLES),
        Portal.id == OutboxMail.portal_id,
        Portal.second_factor_required_at.is_not(None),
        User.id == OutboxMail.user_id,
        User.email == OutboxMail.recipient,
        IS_ENABLED,
    )

    def link(self, mail: MailContent) -> str:
        return f"{current_app.config['PUBLIC_BASE_URL']}/account/second-factor"

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        return {
            **super().context(mail, at, policy),
            "due_at": expiry_text(datetime.fromisoformat(mail.params["due"])),
        }
