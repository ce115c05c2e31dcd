"""The shell's key pair, and the tokens that it signs. See docs/embedding.md, "Hand-over"."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from examples.b_portal_shell.people import Person

_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class Signer:
    """Signs tokens as `issuer` for `audience`, which is Imported Clients' PUBLIC_BASE_URL."""

    def __init__(self, key: ECKey, issuer: str, audience: str) -> None:
        self._key = key
        self._issuer = issuer
        self._audience = audience

    def public_keys(self) -> dict[str, Any]:
        """The JWK set for /.well-known/jwks.json."""
        return {"keys": [self._key.as_dict(private=False, use="sig")]}

    def hand_over(self, person: Person, portal_id: str) -> str:
        """A token that says who is signed in and which role they have in a portal."""
        role = person.roles[portal_id]
        return self._signed(portal=portal_id, sub=person.id, email=person.email, name=person.name, role=role)

    def logout(self, person: Person, **more: str) -> str:
        """A back-channel token: the person has signed out, or has another role in a portal now."""
        return self._signed(sub=person.id, events={_LOGOUT_EVENT: {}}, **more)

    def _signed(self, **claims: Any) -> str:
        now = int(time.time())
        claims |= {"iss": self._issuer, "aud": self._audience, "iat": now, "exp": now + 60, "jti": uuid.uuid4().hex}
        return jwt.encode({"alg": "ES256", "kid": self._key.kid}, claims, self._key)


def kept_key(path: Path) -> ECKey:
    """The key pair in this file. If there is none, a new one is written, readable only by its owner."""
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(ECKey.generate_key("P-256").as_pem(private=True))
    key = ECKey.import_key(path.read_bytes())
    key.ensure_kid()
    return key
