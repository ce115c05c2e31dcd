"""The verification mail."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import update

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

    def is_wanted(self, mail: OutboxMail) -> bool:
        user = db.session.get(User, mail.user_id)
        return user is not None and not user.is_verified and user.verification_generation == mail.generation

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

    def handed_over(self, mail: OutboxMail, at: datetime) -> None:
        db.session.execute(
            update(User)
            .where(User.id == mail.user_id, User.verification_generation == mail.generation)
            .values(verification_expires_at=at + VERIFICATION_LIFETIME)
        )

    def given_up(self, mail: OutboxMail, reason: str) -> None:
        """Nothing: whoever signs in can ask for another."""
