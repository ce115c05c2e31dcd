"""SSO tokens of host shells: the envelope read before the signature check, the signature, and the claims.

Pure: no Flask, no database, no network. Any fault in a token raises `Refused` with a reason for the log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

from app.core.text import clean_email, clean_person_name
from app.core.text_errors import TextError
from app.models import Role

MAX_LENGTH: Final = 8 * 1024
MAX_LIFETIME: Final = timedelta(seconds=60)
LEEWAY: Final = timedelta(seconds=5)
"""How far our clock and the shell's may differ."""
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
NO_ROLE: Final = "none"

# The only algorithm we use with each type of key. The token's own `alg` must agree with it but never chooses it.
_ALGORITHMS: Final = {"EC": "ES256", "RSA": "RS256"}
_PUBLIC_MEMBERS: Final = {"EC": ("kty", "crv", "x", "y"), "RSA": ("kty", "n", "e")}
_RSA_BITS: Final = range(2048, 8192 + 1)
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_MOST_KEYS: Final = 50

# What the libraries raise for malicious input. RecursionError: deeply nested JSON.
_UNREADABLE: Final = (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class Refused(Exception):
    """A token that we do not accept. `reason` is for the log only: the sender never sees it, and it quotes no input."""

    def __init__(self, reason: str, issuer: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.issuer = issuer
        """The issuer that the token claims to come from, once we know that issuer."""


class BadKey(ValueError):
    """A key that we do not use. The message is a sentence for the operator."""


@dataclass(frozen=True)
class Key:
    """A public key of an issuer."""

    jwk: ECKey | RSAKey
    id: str | None = None

    @property
    def algorithm(self) -> str:
        return _ALGORITHMS[self.jwk.key_type]


@dataclass(frozen=True)
class Envelope:
    """What a token says before its signature is checked. Use it only to choose the key."""

    issuer: str
    algorithm: str
    key_id: str | None


@dataclass(frozen=True)
class HandOver:
    """The claims of a valid hand-over token."""

    jti: str
    expires_at: datetime
    portal_id: str
    subject: str
    email: str
    name: str
    role: Role


@dataclass(frozen=True)
class Logout:
    """The claims of a valid back-channel token: whom it signs out, in `portal_id` or in all portals of the issuer."""

    jti: str
    expires_at: datetime
    subject: str
    portal_id: str | None
    role: Role | None
    changes_role: bool
    """Whether the token sets the person's role in the portal to `role`; a `role` of None then takes the role away."""


def key_of_pem(pem: str) -> Key:
    """The public key in a PEM text: EC on P-256, or RSA. Raises `BadKey`."""
    if "PRIVATE KEY" in pem:
        raise BadKey("This is a private key. Keep it secret, and give its public key.")
    try:
        public = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnicodeError) as error:
        raise BadKey("There is no public key in PEM in this file.") from error
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
        return Key(ECKey.import_key(pem))
    if isinstance(public, RSAPublicKey) and public.key_size in _RSA_BITS:
        return Key(RSAKey.import_key(pem))
    raise BadKey("Use an EC key on P-256 (for ES256), or an RSA key of 2048 to 8192 bits (for RS256).")


def keys_of_jwks(document: bytes) -> list[Key]:
    """The keys of a JWK set that can sign tokens for us. Others are skipped. Raises `BadKey` if it is no JWK set."""
    try:
        entries = json.loads(document)["keys"]
    except _UNREADABLE as error:
        raise BadKey("This is no JWK set.") from error
    if not isinstance(entries, list):
        raise BadKey("This is no JWK set.")
    found = [_key_of_jwk(entry) for entry in entries[:_MOST_KEYS]]
    return [key for key in found if key is not None]


def choose_key(keys: Collection[Key], envelope: Envelope) -> Key | None:
    """The only key that may have signed the token; None if no key fits, or if several do."""
    fitting = [key for key in keys if key.algorithm == envelope.algorithm]
    if envelope.key_id is not None:
        # A key given as a PEM text has no id, so it fits any `kid`.
        fitting = [key for key in fitting if key.id is None or key.id == envelope.key_id]
    return fitting[0] if len(fitting) == 1 else None


def open_envelope(token: str) -> Envelope:
    """The unchecked parts of a token that are needed to check it. Raises `Refused`."""
    if not token:
        raise Refused("empty")
    if len(token) > MAX_LENGTH:
        raise Refused("too long")
    if not _COMPACT.fullmatch(token):
        raise Refused("malformed")
    header, payload = (_unpacked(part) for part in token.split(".")[:2])
    algorithm, issuer = _word(header, "alg"), _word(payload, "iss")
    if algorithm not in _ALGORITHMS.values():
        raise Refused("algorithm")
    return Envelope(issuer, algorithm, _word(header, "kid") if "kid" in header else None)


def check_signature(token: str, key: Key) -> dict[str, Any]:
    """The claims of a token, after checking that this key signed it. Raises `Refused`."""
    registry = JWSRegistry(algorithms=[key.algorithm], strict_check_header=False)
    try:
        return jwt.decode(token, key.jwk, registry=registry).claims
    except _UNREADABLE as error:
        raise Refused("signature") from error


def read_hand_over(claims: Mapping[str, Any], *, audience: str, at: datetime) -> HandOver:
    """The hand-over in the claims of a signed token, if it is for this audience and valid at `at`. Raises `Refused`."""
    expires_at = _check_audience_and_time(claims, audience, at)
    if "events" in claims:
        raise Refused("claims: events")  # only back-channel tokens have events
    try:
        email, name = clean_email(_word(claims, "email")), clean_person_name(_word(claims, "name"))
    except TextError as error:
        raise Refused(f"claims: {error.code}") from error
    role = _role(claims)
    if role is None:
        raise Refused("claims: role")
    portal_id, subject = _word(claims, "portal", 32), _word(claims, "sub")
    return HandOver(_word(claims, "jti"), expires_at, portal_id, subject, email, name, role)


def read_logout(claims: Mapping[str, Any], *, audience: str, at: datetime) -> Logout:
    """Like `read_hand_over`, for a back-channel token (OpenID Connect Back-Channel Logout 1.0, 2.4 and 2.6)."""
    expires_at = _check_audience_and_time(claims, audience, at)
    events = claims.get("events")
    if not isinstance(events, dict) or events.get(LOGOUT_EVENT) != {}:
        raise Refused("claims: events")
    if "nonce" in claims:
        raise Refused("claims: nonce")
    portal_id = _word(claims, "portal", 32) if "portal" in claims else None
    changes_role = "role" in claims
    if changes_role and portal_id is None:
        raise Refused("claims: role without portal")
    role = _role(claims) if changes_role else None
    return Logout(_word(claims, "jti"), expires_at, _word(claims, "sub"), portal_id, role, changes_role)


def _key_of_jwk(entry: Any) -> Key | None:
    try:
        kind, key_id = entry["kty"], entry.get("kid")
        is_for_us = entry.get("use", "sig") == "sig" and entry.get("alg", _ALGORITHMS[kind]) == _ALGORITHMS[kind]
        if not is_for_us or not (key_id is None or _is_word(key_id)):
            return None
        members = {name: entry[name] for name in _PUBLIC_MEMBERS[kind]}
        pem = (ECKey if kind == "EC" else RSAKey).import_key(members).as_pem(private=False)
        # `key_of_pem` alone decides which keys are good, wherever they come from.
        return Key(key_of_pem(pem.decode()).jwk, key_id)
    except _UNREADABLE:
        return None


def _unpacked(part: str) -> dict[str, Any]:
    try:
        content = json.loads(urlsafe_b64decode(part.encode()))
    except _UNREADABLE as error:
        raise Refused("malformed") from error
    if not isinstance(content, dict):
        raise Refused("malformed")
    return content


def _check_audience_and_time(claims: Mapping[str, Any], audience: str, at: datetime) -> datetime:
    """Check `aud`, `iat`, `exp` and `nbf`. Returns when the token expires, including the leeway for our clock."""
    if claims.get("aud") not in (audience, [audience]):
        raise Refused("audience")
    issued, expires = _seconds(claims, "iat"), _seconds(claims, "exp")
    now, leeway = at.timestamp(), LEEWAY.total_seconds()
    if not 0 < expires - issued <= MAX_LIFETIME.total_seconds():
        raise Refused("lifetime")
    if not now < expires + leeway:
        raise Refused("expired")
    begins = max(issued, _seconds(claims, "nbf")) if "nbf" in claims else issued
    if not begins <= now + leeway:
        raise Refused("not yet valid")
    return datetime.fromtimestamp(expires, UTC) + LEEWAY


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    # Python's JSON accepts NaN, which compares as neither more nor less than any number. And True is an int.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise Refused(f"claims: {name}")
    return value


def _word(claims: Mapping[str, Any], name: str, most: int = 255) -> str:
    value = claims.get(name)
    if not _is_word(value, most):
        raise Refused(f"claims: {name}")
    return str(value)


def _is_word(value: Any, most: int = 255) -> bool:
    """Whether the value is a text that any database can store: not empty, no NUL, no lone surrogate."""
    return isinstance(value, str) and 0 < len(value) <= most and value.isprintable()


def _role(claims: Mapping[str, Any]) -> Role | None:
    value = _word(claims, "role")
    if value == NO_ROLE:
        return None
    try:
        return Role(value)
    except ValueError as error:
        raise Refused("claims: role") from error
