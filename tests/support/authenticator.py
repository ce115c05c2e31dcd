"""A passkey as a device makes it (WebAuthn), without a browser: for answers that no browser would give.

One object is one passkey. Its answers are what `app/static/passkeys.js` sends.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

_PRESENT, _VERIFIED, _HAS_CREDENTIAL = 0x01, 0x04, 0x40


@dataclass
class Authenticator:
    """A passkey for the site at `origin`, whose host name is `site`."""

    origin: str = "http://localhost"
    site: str = "localhost"
    sign_count: int = 0
    """0 if it does not count. Otherwise it is the next one's."""
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    handle: bytes = b""
    """Of the account, once it is made."""

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def make(self, options: dict[str, Any], **other: Any) -> str:
        """The answer to `navigator.credentials.create`. `other` replaces parts of the client data."""
        self.handle = decode(options["user"]["id"])
        numbers = self._key.public_key().public_numbers()
        public_key = cbor2.dumps(
            {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        )
        credential = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + public_key
        attested = {"fmt": "none", "attStmt": {}, "authData": self._data(_HAS_CREDENTIAL) + credential}
        said = self._client_data("webauthn.create", options, other)
        return self._answer({"clientDataJSON": encode(said), "attestationObject": encode(cbor2.dumps(attested))})

    def sign(self, options: dict[str, Any], *, verified: bool = True, **other: Any) -> str:
        """The answer to `navigator.credentials.get`. `other` replaces parts of the client data."""
        said = self._client_data("webauthn.get", options, other)
        data = self._data(0, verified=verified)
        signature = self._key.sign(data + hashlib.sha256(said).digest(), ec.ECDSA(SHA256()))
        return self._answer(
            {
                "clientDataJSON": encode(said),
                "authenticatorData": encode(data),
                "signature": encode(signature),
                "userHandle": encode(self.handle),
            }
        )

    def _client_data(self, kind: str, options: dict[str, Any], other: dict[str, Any]) -> bytes:
        said = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(said | other).encode()

    def _data(self, flags: int, *, verified: bool = True) -> bytes:
        flags |= _PRESENT | (_VERIFIED if verified else 0)
        return hashlib.sha256(self.site.encode()).digest() + bytes([flags]) + self.sign_count.to_bytes(4, "big")

    def _answer(self, response: dict[str, str]) -> str:
        credential_id = encode(self.credential_id)
        return json.dumps({"id": credential_id, "rawId": credential_id, "type": "public-key", "response": response})


def encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "==")
