"""Mails to all client admins of a portal, and the one that tells them that its mail server was changed.

They are security notices: they go through the deployment's mail server, and nobody can turn them off.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime

from flask import current_app
from sqlalchemy import select

from app.audit.caller import present_caller
from app.branding.policy import PortalPolicy
from app.core.clock import now
from app.core.text import defuse_links
from app.extensions import db
from app.models import MailKind, Membership, OutboxMail, Portal, Role, User
from app.outbox.enqueue import enqueue
from app.outbox.kinds import MailRules, there_is
from app.outbox.leased_email import MailContent
from app.outbox.render import expiry_text

IS_ENABLED = User.disabled_at.is_(None)


def enqueue_to_admins(
    kind: MailKind, portal_id: str, params: Mapping[str, str], *, but_for: Collection[int] = ()
) -> None:
    """Enqueue a notice to each client admin of a portal but these, in the caller's transaction."""
    admins = (
        select(User)
        .join(Membership, Membership.user_id == User.id)
        .where(
            Membership.portal_id == portal_id,
            Membership.role == Role.CLIENT_ADMIN,
            User.id.not_in(but_for),
            IS_ENABLED,
        )
        .order_by(User.id)
    )
    for user in db.session.scalars(admins).all():
        enqueue_notice(kind, portal_id, user, params)


def enqueue_notice(kind: MailKind, portal_id: str, user: User, params: Mapping[str, str]) -> None:
    """Enqueue a notice about a portal to one person, in the caller's transaction."""
    enqueue(
        kind,
        portal_id=portal_id,
        user_id=user.id,
        # Nothing but the mail itself has a number of its own. Two of one person's are equal once in two thousand
        # million times.
        generation=secrets.randbelow(2**31),
        recipient=user.email,
        params=dict(params)
        | {
            "portal_name": db.session.get_one(Portal, portal_id).name,
            "at": now().isoformat(),
            "language": user.reads,
        },
    )


def actor_params(actor_id: int | None = None) -> dict[str, str]:
    """Who did it, as parameters of a notice: this account, or else who makes the present call (`app.audit.caller`).

    Both are empty if that is nobody with an account: an operator.
    """
    known = actor_id or present_caller().actor().user_id
    actor = db.session.get(User, known) if known is not None else None
    return {"actor_name": actor.name if actor else "", "actor_email": actor.email if actor else ""}


def enqueue_server_notice(portal_id: str, server: str) -> None:
    """Tell a portal's client admins that its mail server was changed. `server`: its new host; "" for the deployment's.

    In the caller's transaction.
    """
    enqueue_to_admins(MailKind.SERVER_NOTICE, portal_id, actor_params() | {"server": server})


class NoticeRules(MailRules):
    """The outbox's rules for notices about a portal. Nothing happens after one is sent or has failed."""

    per_recipient_values = ("recipient",)
    still_wanted = there_is(User.id == OutboxMail.user_id, User.email == OutboxMail.recipient, IS_ENABLED)

    def link(self, mail: MailContent) -> str:
        return f"{current_app.config['PUBLIC_BASE_URL']}/portals"

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        return {
            "portal_name": defuse_links(mail.params["portal_name"]),
            "actor_name": defuse_links(mail.params["actor_name"]),
            "actor_email": mail.params["actor_email"],
            "changed_at": expiry_text(datetime.fromisoformat(mail.params["at"])),
            "recipient": mail.recipient,
        }


class ServerNoticeRules(NoticeRules):
    """The mail that tells a client admin that the portal's mail server was changed."""

    # Not to whom the role was taken meanwhile.
    still_wanted = there_is(
        Membership.portal_id == OutboxMail.portal_id,
        Membership.user_id == OutboxMail.user_id,
        Membership.role == Role.CLIENT_ADMIN,
        User.id == OutboxMail.user_id,
        IS_ENABLED,
    )

    def link(self, mail: MailContent) -> str:
        return f"{current_app.config['PUBLIC_BASE_URL']}/portals/{mail.portal_id}/settings/email"

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        return {**super().context(mail, at, policy), "server": mail.params["server"]}
