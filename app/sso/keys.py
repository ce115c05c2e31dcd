"""The public keys of issuers, those that are published at a URL kept for a while.

A key that is not known is looked for at its URL anew, so that an issuer can change its keys without anybody telling us;
but not again and again, since anybody can make up a token that names one.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address
from threading import Lock

from app.core.clock import now
from app.net.dialer import AddressRule, any_address
from app.net.http import Unreachable, send
from app.sso.tokens import BadKey, Envelope, Key, choose_key, key_of_pem, keys_of_jwks

log = logging.getLogger(__name__)

FRESH_FOR = timedelta(minutes=10)
USABLE_FOR = timedelta(hours=1)
"""For how long the keys that are known are used while their URL does not answer."""
BETWEEN_FETCHES = timedelta(seconds=30)

_FETCH_SECONDS = 3.0
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class KeySource:
    """Where an issuer's keys are: at a URL, or in this very text (PEM)."""

    issuer: str
    jwks_url: str | None
    public_key: str | None


@dataclass
class _Known:
    """What is known of one URL."""

    keys: Collection[Key] = ()
    fetched_at: datetime | None = None
    tried_at: datetime | None = None


class KeyRing:
    """The keys that one process knows; safe for threads."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = defaultdict(_Known)
        self._locks: dict[str, Lock] = defaultdict(Lock)

    def find(self, source: KeySource, envelope: Envelope) -> Key | None:
        """The key that a token of this issuer can have been signed with, or None. May fetch the issuer's keys."""
        if source.public_key is not None:
            return choose_key([key_of_pem(source.public_key)], envelope)
        url = str(source.jwks_url)
        key = self._choose(url, envelope)
        if key is not None and not _is_older(self._known[url].fetched_at, FRESH_FOR):
            return key
        # Who comes while another one fetches waits for what that one gets.
        with self._locks[url]:
            known = self._known[url]
            is_needed = _is_older(known.fetched_at, FRESH_FOR) or self._choose(url, envelope) is None
            if is_needed and _is_older(known.tried_at, BETWEEN_FETCHES):
                self._fetch(source.issuer, url, known)
        return self._choose(url, envelope)

    def _choose(self, url: str, envelope: Envelope) -> Key | None:
        known = self._known[url]
        return None if _is_older(known.fetched_at, USABLE_FOR) else choose_key(known.keys, envelope)

    def _fetch(self, issuer: str, url: str, known: _Known) -> None:
        known.tried_at = now()
        try:
            answer = send("GET", url, permits=rule_for(url), seconds=_FETCH_SECONDS, max_answer=_MAX_BYTES)
            if answer.status != HTTPStatus.OK:
                raise Unreachable(f"It answers with {answer.status}.")
            known.keys = keys_of_jwks(answer.body)
        except (Unreachable, BadKey) as error:
            log.warning("keys of an issuer not fetched", extra={"issuer": issuer, "reason": str(error)})
        else:
            known.fetched_at = now()


def rule_for(url: str) -> AddressRule:
    """Where a JWK set may be. The operator says where it is, so anywhere; but without TLS in their own network only."""
    return any_address if url.startswith("https://") else _is_private


def _is_private(address: IPv4Address | IPv6Address) -> bool:
    return not address.is_global


def _is_older(moment: datetime | None, age: timedelta) -> bool:
    return moment is None or now() - moment >= age
