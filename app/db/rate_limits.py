"""Rate limits, counted in the database so that all web processes share them.

`use` is the usual way. It checks and counts under one lock, so that concurrent callers cannot exceed the limit. A
caller that counts only failures, as sign-in does, takes the same steps one by one: `lock`, `check`, `count`.

A transaction takes these locks before it locks or writes any row of ours, so two transactions never wait for each
other. See `app.db.transactions.transaction` for the whole order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address

from flask_babel import gettext as _
from sqlalchemy import JSON, String, cast, delete, func, insert, literal, select

from app.core.clock import now
from app.core.errors import TooManyRequests
from app.extensions import db
from app.models import RateLimitHit
from app.models.types import UtcDateTime, in_list


@dataclass(frozen=True)
class Limit:
    """At most `times` counted actions of one subject in `window`."""

    name: str
    times: int
    window: timedelta

    def key(self, subject: str) -> str:
        """The subject's key in the database: 128 bits of SHA-256, so that no address is stored for counting."""
        return hashlib.sha256(f"{self.name}\0{subject}".encode()).hexdigest()[:32]


LONGEST_WINDOW = timedelta(days=1)
_MOST_MINUTES = 90
"""A longer wait is given in hours."""
_IPV6_PREFIX = 64
"""One IPv6 caller may have any number of addresses, all in one network of this prefix length."""


def network_of(address: str | None) -> str:
    """The network that a caller's IP address is counted under: the /64 of an IPv6 address, an IPv4 address as it is."""
    try:
        ip = ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if not isinstance(ip, IPv6Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(IPv6Network((ip, _IPV6_PREFIX), strict=False))


def use(limit: Limit, subject: str) -> None:
    """Count one action in the caller's transaction. Raises `TooManyRequests` if the limit is used up."""
    lock(limit, subject)
    check(limit, subject)
    count(limit, subject)


def lock(limit: Limit, subject: str) -> None:
    """Keep others from counting for this subject until the caller's transaction ends.

    SQLite needs no lock: it has only one writer at a time.
    """
    if db.engine.dialect.name == "postgresql":
        number = int.from_bytes(bytes.fromhex(limit.key(subject))[:8], signed=True)
        db.session.execute(select(func.pg_advisory_xact_lock(number)))


def check(limit: Limit, subject: str) -> None:
    """Raise `TooManyRequests` if the subject has used up the limit."""
    wait = retry_after(limit, subject)
    if wait is None:
        return
    minutes = minutes_of(wait)
    if minutes <= _MOST_MINUTES:
        sentence = _("Too many attempts. Nothing was changed; please try again in %(minutes)s min.", minutes=minutes)
    else:
        hours = -(-minutes // 60)
        sentence = _("Too many attempts. Nothing was changed; please try again in %(hours)s h.", hours=hours)
    raise TooManyRequests(sentence, wait)


def minutes_of(wait: timedelta) -> int:
    """A wait in whole minutes, for a sentence. Always longer than the wait itself."""
    return int(wait.total_seconds() // 60) + 1


def retry_after(limit: Limit, subject: str) -> timedelta | None:
    """How long the subject has to wait. None if it has not used up the limit."""
    return waits(limit, [subject]).get(subject)


def waits(limit: Limit, subjects: Collection[str]) -> dict[str, timedelta]:
    """Find, in one query, the subjects that have used up the limit, and how long each has to wait."""
    at = now()
    by_key = {limit.key(subject): subject for subject in subjects}
    used_up = db.session.execute(
        select(RateLimitHit.key, func.min(RateLimitHit.at))
        .where(in_list(RateLimitHit.key.expression, "keys"), RateLimitHit.at > at - limit.window)
        .group_by(RateLimitHit.key)
        .having(func.count() >= limit.times),
        {"keys": list(by_key)},
    )
    return {by_key[key]: max(oldest + limit.window - at, timedelta(seconds=1)) for key, oldest in used_up}


def is_used_up(limit: Limit, subject: str) -> bool:
    """Whether the subject has used up the limit. For answers that must not reveal it, so nothing is raised."""
    return retry_after(limit, subject) is not None


def count(limit: Limit, subject: str) -> None:
    """Count one action, in the caller's transaction."""
    db.session.add(RateLimitHit(key=limit.key(subject)))


def count_all(limit: Limit, subjects: Collection[str]) -> None:
    """Count one action for each of many subjects, in one statement of the caller's transaction."""
    keys = literal(json.dumps([limit.key(subject) for subject in subjects]), String)
    is_postgresql = db.engine.dialect.name == "postgresql"
    each = func.json_array_elements_text(cast(keys, JSON)) if is_postgresql else func.json_each(keys)
    rows = select(each.table_valued("value").c.value, literal(now(), UtcDateTime()))
    db.session.execute(insert(RateLimitHit).from_select(["key", "at"], rows))


def prune() -> int:
    """Delete the rows that no limit counts any more. Returns how many were deleted."""
    result = db.session.execute(delete(RateLimitHit).where(RateLimitHit.at < now() - LONGEST_WINDOW))
    return result.rowcount  # type: ignore[attr-defined,no-any-return]
