"""The mails that tell of a role that was given, changed or taken: to the person, and to the portal's client admins."""

from __future__ import annotations

from datetime import datetime

from flask import current_app

from app.branding.policy import PortalPolicy
from app.core.text import defuse_links
from app.extensions import db
from app.models import TEAM_ROLES, MailKind, Role, User
from app.outbox.leased_email import MailContent
from app.outbox.to_admins import NoticeRules, actor_params, enqueue_notice, enqueue_to_admins


def tell_of_role(
    portal_id: str, user_id: int, before: Role | None, after: Role | None, *, actor_id: int | None = None
) -> None:
    """Enqueue the notices of a change of role, in its transaction. Roles of clients are told elsewhere.

    `actor_id`: who gave it, if that is not who makes the present call.
    """
    if before is after or not {before, after} & set(TEAM_ROLES):
        return
    person = db.session.get_one(User, user_id)
    params = actor_params(actor_id) | {
        "person_name": person.name,
        "person_email": person.email,
        "before": _named(before),
        "after": _named(after),
    }
    if person.disabled_at is None:
        enqueue_notice(MailKind.ROLE_NOTICE, portal_id, person, params | {"is_own": "yes"})
    enqueue_to_admins(MailKind.ROLE_NOTICE, portal_id, params | {"is_own": ""}, but_for=[user_id])


def _named(role: Role | None) -> str:
    return role.value if role in TEAM_ROLES else ""


class RoleNoticeRules(NoticeRules):
    """The outbox's rules for notices of roles."""

    def link(self, mail: MailContent) -> str:
        base = f"{current_app.config['PUBLIC_BASE_URL']}/portals"
        return base if mail.params["is_own"] else f"{base}/{mail.portal_id}/settings/team"

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        return {
            **super().context(mail, at, policy),
            "person_name": defuse_links(mail.params["person_name"]),
            "person_email": mail.params["person_email"],
            "before": mail.params["before"],
            "after": mail.params["after"],
            "is_own": bool(mail.params["is_own"]),
        }
