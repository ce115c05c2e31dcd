"""What the notices to an account's owner have in common: they go through the deployment's server, and always."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from flask import current_app
from sqlalchemy import select

from app.audit.caller import present_caller
from app.branding.policy import PortalPolicy
from app.core.clock import now
from app.core.links import LinkKind
from app.core.text import defuse_links
from app.extensions import db
from app.models import Branding, Language, MailKind, Membership, OutboxMail, Role, Stage, User
from app.outbox.enqueue import enqueue
from app.outbox.kinds import MailRules, there_is
from app.outbox.leased_email import MailContent
from app.outbox.render import expiry_text


def language_of_account(user_id: int | None) -> Language:
    """The language that an account's owner reads: the one they have chosen, else that of the portal they have joined.

    Else the one that their browser asked for when they last signed in. Not that of the page: whoever is at the page may
    not be the owner. English if there is no such account.
    """
    of_portal = (
        select(Branding.language)
        .join(Membership, Membership.portal_id == Branding.portal_id)
        .where(Membership.user_id == User.id, Membership.role == Role.CLIENT, Branding.stage == Stage.PUBLISHED)
        .order_by(Branding.portal_id)
        .limit(1)
        .scalar_subquery()
    )
    # One query, so that an address without an account takes as long.
    read = select(User.language, of_portal, User.browser_language).where(User.id == (user_id or 0))
    return next(filter(None, db.session.execute(read).first() or ()), Language.ENGLISH)


def queue_owner_notice(
    kind: MailKind, user: User, generation: int, params: dict[str, str], *, recipient: str | None = None
) -> None:
    """Enqueue a notice of what the present caller has just done, in the caller's transaction.

    `user` is the locked account, `generation` a number that no other notice of this kind to it has. `recipient`: an
    address of the owner that is not the account's.
    """
    enqueue(
        kind,
        user_id=user.id,
        generation=generation,
        recipient=recipient or user.email,
        params=params | owner_params(user),
    )


def owner_params(user: User) -> dict[str, str]:
    """What every notice tells: whose account it is, when it was, from where, and in which language it is written."""
    return {
        "person_name": user.name,
        "at": now().isoformat(),
        "network": present_caller().network or "",
        "language": language_of_account(user.id),
    }


class OwnerNoticeRules(MailRules):
    """The outbox's rules for such notices. Nothing happens after one is sent or has failed."""

    per_recipient_values: Collection[str] = ("person_name", "recipient")
    still_wanted = there_is(
        User.id == OutboxMail.user_id, User.email == OutboxMail.recipient, User.disabled_at.is_(None)
    )

    def link(self, mail: MailContent) -> str:
        return f"{current_app.config['PUBLIC_BASE_URL']}/{LinkKind.PASSWORD_RESET}"

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        return {
            "person_name": defuse_links(mail.params["person_name"]),
            "recipient": mail.recipient,
            "done_at": expiry_text(datetime.fromisoformat(mail.params["at"])),
            "network": mail.params["network"],
        }
