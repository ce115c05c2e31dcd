"""Identifiers made by us."""

from __future__ import annotations

import secrets
import time
from uuid import UUID

# Crockford's base 32 in lower case: no i, l, o, u, so an id survives being read out on the telephone.
_READABLE = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id() -> UUID:
    """A version 7 UUID (RFC 9562): random, never used twice, and in the order of time.

    Order matters to the database: a thousand imported rows land on neighbouring index pages.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | secrets.randbits(80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


def new_portal_id() -> str:
    """A short public id for a portal, such as `7k3m9xq2`."""
    return "".join(secrets.choice(_READABLE) for _ in range(8))
