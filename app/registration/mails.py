"""The verification mail."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import InstrumentedAttribute

from app.extensions import db
from app.links import LinkClaim, LinkKind, make_url
from app.models import MailKind, OutboxMail, Portal, User
from app.outbox.render import expiry_text
from app.outbox.services import enqueue
from app.text import defuse_links

VERIFICATION_LIFETIME = timedelta(hours=48)


def queue_verification(user: User, portal: Portal | None) -> None:
    """Write the next verification mail of an account, in the caller's transaction; older links are dead."""
    user.verification_generation = (user.verification_generation or 0) + 1
    user.verification_expires_at = None
    enqueue(
        MailKind.VERIFICATION,
        portal_id=portal.id if portal else None,
        user_id=user.id,
        generation=user.verification_generation,
        recipient=user.email,
        params={"person_name": user.name} | ({"portal_name": portal.name} if portal else {}),
    )


class VerificationHandler:
    """What the outbox needs to know of verification mails."""

    link_kind = LinkKind.VERIFICATION

    own_values: Collection[str] = ("person_name", "recipient")

    def unwanted(self, mails: Sequence[OutboxMail]) -> Collection[UUID]:
        return mails_of_older_links(mails, User.verification_generation, User.email_verified_at.is_(None))

    def link(self, mail: OutboxMail) -> str:
        return make_url(self.link_kind, LinkClaim(str(mail.user_id), mail.generation))

    def context(self, mail: OutboxMail, at: datetime) -> dict[str, object]:
        portal_name = mail.params.get("portal_name")
        return {
            "portal_name": defuse_links(portal_name) if portal_name else None,
            "person_name": defuse_links(mail.params["person_name"]),
            "recipient": mail.recipient,
            "expires_on": expiry_text(at, VERIFICATION_LIFETIME),
        }

    def hold(self, mails: Sequence[OutboxMail]) -> None:
        hold_accounts(mails)

    def handed_over(self, mails: Sequence[OutboxMail], at: datetime) -> None:
        for mail in mails:
            db.session.execute(
                update(User)
                .where(User.id == mail.user_id, User.verification_generation == mail.generation)
                .values(verification_expires_at=at + VERIFICATION_LIFETIME)
                .execution_options(synchronize_session=False)
            )

    def given_up(self, mail: OutboxMail, reason: str) -> None:
        """Nothing: whoever signs in can ask for another."""


def mails_of_older_links(
    mails: Sequence[OutboxMail], generation: InstrumentedAttribute[int], *conditions: ColumnElement[bool]
) -> Collection[UUID]:
    """The ids of those mails to accounts that are not of the account's current generation of links.

    Nor are those wanted whose account is gone, or does not meet the conditions.
    """
    found = db.session.execute(select(User.id, generation).where(_accounts_of(mails), *conditions))
    current = {tuple(row) for row in found}
    return [mail.id for mail in mails if (mail.user_id, mail.generation) not in current]


def hold_accounts(mails: Sequence[OutboxMail]) -> None:
    """Lock the accounts that mails were sent to."""
    db.session.execute(select(User.id).where(_accounts_of(mails)).order_by(User.id).with_for_update(key_share=True))


def _accounts_of(mails: Sequence[OutboxMail]) -> ColumnElement[bool]:
    return User.id.in_({mail.user_id for mail in mails})
