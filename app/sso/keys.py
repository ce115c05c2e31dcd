"""The public keys of issuers, with a cache of the keys that are published at URLs.

A token with an unknown key makes us fetch the issuer's URL again, so that an issuer can rotate its keys without telling
us. Fetches are limited, because anybody can make up a token that names an unknown key.
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
"""How long we go on using fetched keys while their URL does not answer."""
BETWEEN_FETCHES = timedelta(seconds=30)

_FETCH_SECONDS = 3.0
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class KeySource:
    """Where an issuer's keys come from: a URL, or a PEM text given by the operator."""

    issuer: str
    jwks_url: str | None
    public_key: str | None


@dataclass
class _Known:
    """The cached keys of one URL."""

    keys: Collection[Key] = ()
    fetched_at: datetime | None = None
    tried_at: datetime | None = None


class KeyRing:
    """The cache of keys in one process. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = defaultdict(_Known)
        self._locks: dict[str, Lock] = defaultdict(Lock)

    def find(self, source: KeySource, envelope: Envelope) -> Key | None:
        """The key that may have signed a token of this issuer, or None. May fetch the issuer's keys."""
        if source.public_key is not None:
            return choose_key([key_of_pem(source.public_key)], envelope)
        url = str(source.jwks_url)
        key = self._choose(url, envelope)
        if key is not None and not _is_older(self._known[url].fetched_at, FRESH_FOR):
            return key
        # Only one thread fetches. The others wait for it and use its result.
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
    """Which addresses a JWK set may come from.

    The operator chooses the URL, so any address is permitted with TLS; without TLS, only addresses of a private
    network.
    """
    return any_address if url.startswith("https://") else _is_private


def _is_private(address: IPv4Address | IPv6Address) -> bool:
    return not address.is_global


def _is_older(moment: datetime | None, age: timedelta) -> bool:
    return moment is None or now() - moment >= age
