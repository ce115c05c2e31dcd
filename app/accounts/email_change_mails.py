"""The mails of a change of an account's address: each address is asked to confirm it, and told once it is done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import update

from app.accounts.notices import OwnerNoticeRules, language_of_account, queue_owner_notice
from app.audit.caller import present_caller
from app.branding.policy import PortalPolicy
from app.core.clock import now
from app.core.links import LinkClaim, LinkKind, make_url
from app.core.text import defuse_links
from app.extensions import db
from app.models import EmailChange, MailKind, OutboxMail, User
from app.outbox.enqueue import enqueue
from app.outbox.kinds import MailRules, Policies, there_is
from app.outbox.leased_email import LeasedEmail, MailContent
from app.outbox.render import expiry_text

CHANGE_LIFETIME = timedelta(hours=24)


def queue_confirmation_mails(user: User, new_email: str) -> None:
    """Enqueue a mail to each address of the change that a locked account has just begun, in the caller's transaction.

    The one to the new address does not say the person's name: a stranger may read it, and names may say anything.
    """
    params = {
        "former_email": user.email,
        "new_email": new_email,
        "at": now().isoformat(),
        "network": present_caller().network or "",
        "language": language_of_account(user.id),
    }
    for kind, recipient, name in (
        (MailKind.EMAIL_CHANGE, user.email, user.name),
        (MailKind.EMAIL_CHANGE_NEW, new_email, ""),
    ):
        enqueue(
            kind,
            user_id=user.id,
            generation=user.email_change_generation,
            recipient=recipient,
            params=params | {"person_name": name},
        )


def queue_changed_notices(user: User, former_email: str, generation: int) -> None:
    """Tell both addresses that a locked account has changed from one to the other, in the caller's transaction."""
    params = {"former_email": former_email, "new_email": user.email}
    for number, recipient in enumerate((former_email, user.email)):
        queue_owner_notice(MailKind.EMAIL_CHANGED, user, 2 * generation + number, params, recipient=recipient)


class _ConfirmationRules(MailRules):
    """The outbox's rules for the mails that ask an address to confirm."""

    link_kind: LinkKind
    per_recipient_values = ("person_name", "recipient", "former_email", "new_email")
    still_wanted = there_is(
        EmailChange.user_id == OutboxMail.user_id,
        EmailChange.generation == OutboxMail.generation,
    )

    def link(self, mail: MailContent) -> str:
        return make_url(self.link_kind, LinkClaim(str(mail.user_id), mail.generation))

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        return {
            "person_name": defuse_links(mail.params["person_name"]),
            "recipient": mail.recipient,
            "former_email": mail.params["former_email"],
            "new_email": mail.params["new_email"],
            "done_at": expiry_text(datetime.fromisoformat(mail.params["at"])),
            "network": mail.params["network"],
            "expires_on": expiry_text(at + CHANGE_LIFETIME),
        }

    def on_sent(self, mails: Sequence[LeasedEmail], at: datetime, policies: Policies) -> None:
        for mail in mails:
            db.session.execute(
                update(EmailChange)
                .where(EmailChange.user_id == mail.user_id, EmailChange.generation == mail.generation)
                .values(expires_at=at + CHANGE_LIFETIME)
                .execution_options(synchronize_session=False)
            )


class PresentAddressRules(_ConfirmationRules):
    """Those for the mail to the present address."""

    link_kind = LinkKind.EMAIL_CHANGE


class NewAddressRules(_ConfirmationRules):
    """Those for the mail to the new address."""

    link_kind = LinkKind.NEW_EMAIL


class EmailChangedRules(OwnerNoticeRules):
    """The outbox's rules for the notices that an address was changed. The former address is told as well."""

    per_recipient_values = ("person_name", "recipient", "former_email", "new_email")
    still_wanted = there_is(User.id == OutboxMail.user_id, User.disabled_at.is_(None))

    def link(self, mail: MailContent) -> str:
        return f"{current_app.config['PUBLIC_BASE_URL']}/account"

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        changed = {name: mail.params[name] for name in ("former_email", "new_email")}
        return {**super().context(mail, at, policy), **changed}
