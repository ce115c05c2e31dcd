"""The mails that tell an account's owner of a change to the second factor, and of too many wrong codes."""

from __future__ import annotations

import secrets
from datetime import datetime
from enum import StrEnum

from app.accounts.notices import OwnerNoticeRules, queue_owner_notice
from app.accounts.security.factors import has_second_factor
from app.branding.policy import PortalPolicy
from app.models import MailKind, User
from app.outbox.leased_email import MailContent


class FactorChange(StrEnum):
    """What was done to the second factor of an account."""

    SET_UP = "set_up"
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_REMOVED = "passkey_removed"
    REMOVED = "removed"
    RESET = "reset"
    """By an operator."""
    CODES_MADE = "codes_made"
    CODE_USED = "code_used"


def queue_change_notice(user: User, change: FactorChange, *, left: int | None = None) -> None:
    """Enqueue the notice of a change for a locked account, in the caller's transaction.

    `left`: how many recovery codes are left, after one was used.
    """
    params = {
        "change": change.value,
        "left": "" if left is None else str(left),
        "is_bare": "" if has_second_factor(user.id) else "yes",
    }
    _queue(MailKind.SECOND_FACTOR_CHANGED, user, params)


def queue_code_lock_notice(user: User) -> None:
    """Enqueue the notice of too many wrong codes for a locked account. The caller's rate limit allows one a day."""
    _queue(MailKind.SECOND_FACTOR_LOCKED, user, {})


def _queue(kind: MailKind, user: User, params: dict[str, str]) -> None:
    # Nothing but the mail itself has a number of its own. Two of one account are equal once in two thousand million
    # times.
    queue_owner_notice(kind, user, secrets.randbelow(2**31), params)


class FactorChangedRules(OwnerNoticeRules):
    """The outbox's rules for notices of a changed second factor."""

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        left = mail.params["left"]
        return {
            **super().context(mail, at, policy),
            "change": mail.params["change"],
            "left": int(left) if left else None,
            "is_bare": bool(mail.params["is_bare"]),
        }


class CodesLockedRules(OwnerNoticeRules):
    """The outbox's rules for notices of too many wrong codes."""
