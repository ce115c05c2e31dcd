"""The verification mail."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, not_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from app import throttle
from app.extensions import db
from app.i18n import language_now
from app.links import LinkClaim, LinkKind, make_url
from app.models import MailKind, OutboxMail, Portal, User
from app.outbox import held
from app.outbox.handlers import HandOver, Held, there_is
from app.outbox.mail import HeldMail, MailContent
from app.outbox.render import expiry_text
from app.outbox.services import enqueue
from app.text import defuse_links

VERIFICATION_LIFETIME = timedelta(hours=48)
VERIFICATIONS = throttle.Limit("verification-address", 6, timedelta(hours=1))
"""Of mails to one address: the registration's own and five more. To remove a client, and its account with it, and to
invite it again does not begin anew. Who is about to write one locks this limit and checks it."""


def queue_verification(user: User, portal: Portal | None) -> None:
    """Write the next verification mail of an account, in the caller's transaction; older links are dead.

    It wears the portal's face, and never goes through the portal's own mail server: whoever runs that would read it. It
    greets nobody by name, since whoever registered may be a stranger. The caller holds the lock of `VERIFICATIONS`.
    """
    user.verification_generation = (user.verification_generation or 0) + 1
    user.verification_expires_at = None
    throttle.count(VERIFICATIONS, user.email)
    enqueue(
        MailKind.VERIFICATION,
        portal_id=portal.id if portal else None,
        user_id=user.id,
        generation=user.verification_generation,
        recipient=user.email,
        params={"portal_name": portal.name} if portal else {"language": language_now()},
    )


class VerificationHandler:
    """What the outbox needs to know of verification mails."""

    link_kind = LinkKind.VERIFICATION

    own_values: Collection[str] = ("recipient",)

    hand_over: HandOver | None = None
    holds: Held | None = Held.ACCOUNTS

    is_wanted: ColumnElement[bool] = there_is(
        User.id == OutboxMail.user_id,
        User.verification_generation == OutboxMail.generation,
        not_(User.is_verified),
    )

    def link(self, mail: MailContent) -> str:
        return make_url(self.link_kind, LinkClaim(str(mail.user_id), mail.generation))

    def context(self, mail: MailContent, at: datetime) -> dict[str, object]:
        portal_name = mail.params.get("portal_name")
        return {
            "portal_name": defuse_links(portal_name) if portal_name else None,
            "recipient": mail.recipient,
            "expires_on": expiry_text(at + VERIFICATION_LIFETIME),
        }

    def hold(self, mails: Sequence[HeldMail]) -> None:
        hold_accounts(mails)

    def handed_over(self, mails: Sequence[HeldMail], at: datetime) -> None:
        ends_at = at + VERIFICATION_LIFETIME
        date_links(mails, User.verification_generation, User.verification_expires_at, ends_at)

    def given_up(self, mail: HeldMail, reason: str) -> None:
        """Nothing: whoever signs in can ask for another."""


def hold_accounts(mails: Sequence[HeldMail]) -> None:
    """Lock the accounts that mails were sent to."""
    accounts = User.id.in_({mail.user_id for mail in mails})
    db.session.execute(select(User.id).where(accounts).order_by(User.id).with_for_update(key_share=True))


def date_links(
    mails: Sequence[HeldMail],
    generation: InstrumentedAttribute[int],
    expires_at: InstrumentedAttribute[datetime | None],
    ends_at: datetime,
) -> None:
    """Note until when the links in mails to accounts live; of another generation are those that were asked for anew.

    One after the other, since all transactions lock accounts in this order.
    """
    for mail in sorted(mails, key=lambda mail: mail.user_id or 0):
        db.session.execute(
            update(User)
            .where(User.id == OutboxMail.user_id, generation == OutboxMail.generation, held.IS_HELD)
            .values({expires_at: ends_at})
            .execution_options(synchronize_session=False),
            held.keys_of([mail]),
        )
