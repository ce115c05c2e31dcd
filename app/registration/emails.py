"""The verification mail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import not_, update
from sqlalchemy.orm import InstrumentedAttribute

from app.branding.policy import PortalPolicy
from app.core.i18n import language_now
from app.core.links import LinkClaim, LinkKind, make_url
from app.core.text import defuse_links
from app.db import rate_limits
from app.extensions import db
from app.models import MailKind, OutboxMail, Portal, User
from app.outbox.enqueue import enqueue
from app.outbox.kinds import MailRules, Policies, there_is
from app.outbox.leased_email import LeasedEmail, MailContent
from app.outbox.render import expiry_text

VERIFICATION_LIFETIME = timedelta(hours=48)
VERIFICATIONS = rate_limits.Limit("verification-address", 6, timedelta(hours=1))
"""Limits the verification mails to one address: the registration's own and five more. Removing a client, and thereby
its
account, and inviting it again does not reset the count. Callers lock and check this limit before enqueueing a mail."""


def queue_verification(user: User, portal: Portal | None) -> None:
    """Enqueue an account's next verification mail, in the caller's transaction. Older links are dead then.

    The mail has the portal's branding. It never goes through the portal's own mail server, because whoever runs that
    server could read it. It addresses nobody by name, because a stranger may have registered. The caller has locked
    `VERIFICATIONS`.
    """
    user.verification_generation = (user.verification_generation or 0) + 1
    user.verification_expires_at = None
    rate_limits.count(VERIFICATIONS, user.email)
    enqueue(
        MailKind.VERIFICATION,
        portal_id=portal.id if portal else None,
        user_id=user.id,
        generation=user.verification_generation,
        recipient=user.email,
        params={"portal_name": portal.name} if portal else {"language": language_now()},
    )


class VerificationRules(MailRules):
    """The outbox's rules for verification mails."""

    link_kind = LinkKind.VERIFICATION
    still_wanted = there_is(
        User.id == OutboxMail.user_id,
        User.verification_generation == OutboxMail.generation,
        not_(User.is_verified),
    )

    def link(self, mail: MailContent) -> str:
        return make_url(self.link_kind, LinkClaim(str(mail.user_id), mail.generation))

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        portal_name = mail.params.get("portal_name")
        return {
            "portal_name": defuse_links(portal_name) if portal_name else None,
            "recipient": mail.recipient,
            "expires_on": expiry_text(at + VERIFICATION_LIFETIME),
        }

    def on_sent(self, mails: Sequence[LeasedEmail], at: datetime, policies: Policies) -> None:
        ends_at = at + VERIFICATION_LIFETIME
        date_links(mails, User.verification_generation, User.verification_expires_at, ends_at)


def date_links(
    mails: Sequence[LeasedEmail],
    generation: InstrumentedAttribute[int],
    expires_at: InstrumentedAttribute[datetime | None],
    ends_at: datetime,
) -> None:
    """Record when the links in sent mails expire. Skips mails of an older generation: their links are dead already."""
    for mail in mails:
        db.session.execute(
            update(User)
            .where(User.id == mail.user_id, generation == mail.generation)
            .values({expires_at: ends_at})
            .execution_options(synchronize_session=False)
        )
