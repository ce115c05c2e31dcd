"""Limits how often one network may post to the links of our mails, before a post causes any work.

Judging and hashing a password is slow on purpose. Without the limits, anybody with one link could keep us busy all day.
"""

from __future__ import annotations

from datetime import timedelta

from app.core.links import LinkKind, read_token
from app.db import rate_limits
from app.db.transactions import transaction

POSTS_OF_LINK = rate_limits.Limit("posts-of-link", 20, timedelta(minutes=15))
POSTS_OF_ALL_LINKS = rate_limits.Limit("posts-of-all-links", 300, timedelta(hours=1))

_WITH_OWN_LIMIT_ALONE = {LinkKind.PASSWORD_RESET, LinkKind.STOP_NOTICES, LinkKind.STOP_REMINDERS}
"""Kinds of which a genuine link counts towards its own limit only.

Otherwise others in the same network could keep an account's owner from a new password. A mail provider posts from one
network for all its users who unsubscribe.
"""


def count_post(kind: LinkKind, token: str | None, remote_address: str | None) -> None:
    """Count a caller's post to a link of this kind, or, without a token, to the page that belongs to no link.

    A wrong token counts towards the limit of all links only. Raises `TooManyRequests`, and then nothing was counted.
    """
    network = rate_limits.network_of(remote_address)
    is_genuine = token is not None and read_token(kind, token) is not None
    with transaction():
        if not (is_genuine and kind in _WITH_OWN_LIMIT_ALONE):
            rate_limits.use(POSTS_OF_ALL_LINKS, network)
        if is_genuine:
            rate_limits.use(POSTS_OF_LINK, f"{network} {kind} {token}")
