"""The mail that tells an account's owner that sign-in was locked after wrong passwords."""

from __future__ import annotations

from datetime import datetime

from flask import current_app

from app.accounts.notices import language_of_account
from app.audit.caller import neighbourhood
from app.branding.policy import PortalPolicy
from app.core.clock import now
from app.core.links import LinkKind
from app.core.text import defuse_links
from app.models import MailKind, OutboxMail, User
from app.outbox.enqueue import enqueue
from app.outbox.kinds import MailRules, there_is
from app.outbox.leased_email import MailContent
from app.outbox.render import expiry_text


def queue_lock_notice(*, user_id: int | None, name: str, email: str, network: str | None) -> None:
    """Enqueue the notice in the caller's transaction. The caller's rate limit allows one a day and address.

    `name` is empty if nobody has proved to own the account.
    `network` is where the wrong passwords came from (`rate_limits.network_of`), or None if they came from several
    networks. If there is no account (`user_id` is None), the same row is written and later deleted instead of sent, so
    that the response time does not reveal whether an account exists.
    """
    at = now()
    enqueue(
        MailKind.SIGN_IN_LOCKED,
        user_id=user_id,
        generation=at.toordinal(),
        recipient=email,
        params={
            "person_name": name,
            "locked_at": at.isoformat(),
            "is_everywhere": "" if network is not None else "yes",
            "network": neighbourhood(network) or "",
            "language": language_of_account(user_id),
        },
    )


class LockNoticeRules(MailRules):
    """The outbox's rules for lock notices. Nothing happens after one is sent or has failed."""

    per_recipient_values = ("person_name", "recipient")
    still_wanted = there_is(User.id == OutboxMail.user_id, User.email == OutboxMail.recipient)

    def link(self, mail: MailContent) -> str:
        return f"{current_app.config['PUBLIC_BASE_URL']}/{LinkKind.PASSWORD_RESET}"

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        return {
            "is_named": bool(mail.params["person_name"]),
            "person_name": defuse_links(mail.params["person_name"]),
            "recipient": mail.recipient,
            "locked_at": expiry_text(datetime.fromisoformat(mail.params["locked_at"])),
            "is_everywhere": bool(mail.params["is_everywhere"]),
            "network": mail.params["network"],
        }
