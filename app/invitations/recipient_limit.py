"""How many invitation mails one recipient of a portal gets, whichever way they are caused.

They are counted where they are written (`app.invitations.emails`), by portal and address: to remove a client and add it
again does not begin anew. Who is about to cause one takes the portal's lock first, and then asks who has had enough.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from flask_babel import gettext as _

from app.core.errors import TooManyRequests
from app.db import rate_limits

MAILS_TO_RECIPIENT = rate_limits.Limit("invite-recipient", 20, timedelta(hours=1))


def lock(portal_id: str) -> None:
    """Keep others from causing mails to a portal's recipients until the caller's transaction ends.

    One lock for all of them, since an import has a thousand. To be taken before any row is locked or written.
    """
    rate_limits.lock(MAILS_TO_RECIPIENT, portal_id)


def waits(portal_id: str, emails: Collection[str]) -> dict[str, timedelta]:
    """The addresses that have had as many mails as they may, and how long each has to wait for the next."""
    by_subject = {_subject(portal_id, email): email for email in emails}
    found = rate_limits.waits(MAILS_TO_RECIPIENT, by_subject)
    return {by_subject[subject]: wait for subject, wait in found.items()}


def check(portal_id: str, email: str) -> None:
    """Raise `TooManyRequests` if the address has had as many mails as it may. The sentence does not name it."""
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
    """Count one mail to each address, in the caller's transaction."""
    rate_limits.count_all(MAILS_TO_RECIPIENT, [_subject(portal_id, email) for email in emails])


def _subject(portal_id: str, email: str) -> str:
    return f"{portal_id} {email}"
