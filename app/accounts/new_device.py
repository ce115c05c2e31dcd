"""The mail that tells an account's owner of a sign-in in a browser that the account does not know."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from app.accounts.notices import OwnerNoticeRules, queue_owner_notice
from app.audit.caller import present_caller
from app.branding.policy import PortalPolicy
from app.core.user_agents import Device, read_device
from app.db import rate_limits
from app.models import MailKind, User
from app.outbox.leased_email import MailContent

LIMIT = rate_limits.Limit("new-device-notice", 5, timedelta(days=1))
"""For each address. The caller of `queue_new_device_notice` has locked it."""


def queue_new_device_notice(user: User) -> None:
    """Enqueue the notice for a locked account, in the caller's transaction.

    Nobody is told whose address is not verified: it may be a stranger's, who has never heard of us.
    """
    if not user.is_verified or rate_limits.is_used_up(LIMIT, user.email):
        return
    rate_limits.count(LIMIT, user.email)
    device = read_device(present_caller().user_agent)
    params = {"browser": device.browser or "", "system": device.system or ""}
    # Nothing but the mail itself has a number of its own. Two of one account are equal once in two thousand million
    # times.
    queue_owner_notice(MailKind.NEW_DEVICE, user, secrets.randbelow(2**31), params)


class NewDeviceRules(OwnerNoticeRules):
    """The outbox's rules for notices of a new browser."""

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        device = Device(mail.params["browser"] or None, mail.params["system"] or None)
        return {**super().context(mail, at, policy), "device": device.words}
