"""The mail that tells the owner of an account that it was deleted. It is the last one."""

from __future__ import annotations

from flask import current_app
from sqlalchemy import true

from app.accounts.notices import OwnerNoticeRules, owner_params
from app.models import MailKind, User
from app.outbox.enqueue import enqueue
from app.outbox.leased_email import MailContent


def queue_deleted_notice(user: User) -> None:
    """Enqueue the notice, in the transaction that deletes the account. It belongs to no account, so it stays."""
    enqueue(MailKind.ACCOUNT_DELETED, generation=user.id, recipient=user.email, params=owner_params(user))


class AccountDeletedRules(OwnerNoticeRules):
    """The outbox's rules for these notices. Each is wanted: the account that could be asked is gone."""

    still_wanted = true()

    def link(self, mail: MailContent) -> str:
        return str(current_app.config["PUBLIC_BASE_URL"])
