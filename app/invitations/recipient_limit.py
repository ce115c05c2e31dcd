"""The limit of invitation mails to one recipient of a portal, whatever causes the mails.

Mails are counted by portal and address where they are enqueued (`app.invitations.emails`), so removing a client and
adding it again does not reset the count. Callers take the portal's lock first, then ask who has reached the limit, and
then enqueue.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from flask_babel import gettext as _

from app.core.errors import TooManyRequests
from app.db import rate_limits

MAILS_TO_RECIPIENT = rate_limits.Limit("invite-recipient", 20, timedelta(hours=1))


def lock(portal_id: str) -> None:
    """Keep other transactions from mailing the portal's recipients until the caller's transaction ends.

    There is one lock for all recipients of a portal, because an import has a thousand. Take it before locking or
    writing any row.
    """
    rate_limits.lock(MAILS_TO_RECIPIENT, portal_id)


def waits(portal_id: str, emails: Collection[str]) -> dict[str, timedelta]:
    """The addresses that have reached the limit, each with the time until its next mail is allowed."""
    by_subject = {_subject(portal_id, email): email for email in emails}
    found = rate_limits.waits(MAILS_TO_RECIPIENT, by_subject)
    return {by_subject[subject]: wait for subject, wait in found.items()}


def check(portal_id: str, email: str) -> None:
    """Raise `TooManyRequests` if the address has reached the limit. The message does not contain the address."""
    wait = waits(portal_id, [email]).get(email)
    if wait is None:
        return
    sentence = _(
        "This address has reached the limit of %(limit)s invitation emails an hour. Nothing was sent; please try again"
        " in %(minutes)s min.",
        limit=MAILS_TO_RECIPIENT.times,
        minutes=rate_limits.minutes_of(wait),
    )
    raise TooManyRequests(sentence, wait)


def count(portal_id: str, emails: Collection[str]) -> None:
    """Count one mail for each address, in the caller's transaction."""
    rate_limits.count_all(MAILS_TO_RECIPIENT, [_subject(portal_id, email) for email in emails])


def _subject(portal_id: str, email: str) -> str:
    return f"{portal_id} {email}"
