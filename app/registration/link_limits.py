"""How often one network may post to the links of our mails, judged before any of a post's work is done.

To judge a password and to hash it is slow on purpose, and whoever has one link could have us do it all day.
"""

from __future__ import annotations

from datetime import timedelta

from app.core.links import LinkKind, read_token
from app.db import rate_limits
from app.db.transactions import transaction

POSTS_OF_LINK = rate_limits.Limit("posts-of-link", 20, timedelta(minutes=15))
POSTS_OF_ALL_LINKS = rate_limits.Limit("posts-of-all-links", 300, timedelta(hours=1))


def count_post(kind: LinkKind, token: str | None, remote_address: str | None) -> None:
    """Count one post of a caller to a link of this kind, or, without a token, to the page beside them.

    What is no token of ours is no link, and counts towards the limit of all. A genuine link for a new password has its
    own limit only: with that of all, neighbours in the network could keep an account's owner out. Raises
    `TooManyRequests`, and then nothing was counted.
    """
    network = rate_limits.network_of(remote_address)
    is_genuine = token is not None and read_token(kind, token) is not None
    with transaction():
        if not (is_genuine and kind is LinkKind.PASSWORD_RESET):
            rate_limits.use(POSTS_OF_ALL_LINKS, network)
        if is_genuine:
            rate_limits.use(POSTS_OF_LINK, f"{network} {kind} {token}")
