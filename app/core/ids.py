"""Identifiers that this application generates."""

from __future__ import annotations

import base64
import secrets
import time
from datetime import datetime
from uuid import UUID

# Crockford's base 32 in lower case, without i, l, o and u: an id can be read out on the telephone.
_READABLE = "0123456789abcdefghjkmnpqrstvwxyz"


LARGEST_ID = 2**31 - 1
"""The largest value of PostgreSQL's integer; a query for a larger one fails."""


def new_id() -> UUID:
    """A version 7 UUID (RFC 9562): random, never used twice, and sorted by time.

    The twelve bits after the milliseconds hold a fraction of a millisecond (method 3 of the RFC), so that ids made in
    quick succession sort in order too. The order matters to the database: a thousand imported rows land on
    neighbouring index pages.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    version, variant = 0x7, 0b10
    return UUID(int=milliseconds << 80 | version << 76 | fraction << 64 | variant << 62 | secrets.randbits(62))


def first_id_at(at: datetime) -> UUID:
    """The smallest id that `new_id` can make at this moment. Ids made later sort after it."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def short_id(long_id: UUID) -> str:
    """An id in 22 characters, for URLs that have to hold many ids."""
    return base64.urlsafe_b64encode(long_id.bytes).decode().rstrip("=")


def read_id(text: str) -> UUID | None:
    """Read an id in its short or its long form. Returns None if the text is neither."""
    try:
        return UUID(bytes=base64.urlsafe_b64decode(f"{text}==")) if len(text) == 22 else UUID(text)
    except ValueError:
        return None


def new_portal_id() -> str:
    """A short public id for a portal, such as `7k3m9xq2`."""
    return "".join(secrets.choice(_READABLE) for _ in range(8))
