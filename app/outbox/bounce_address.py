"""The envelope sender of a mail: the address to which servers report that the mail cannot be delivered.

It is `MAIL_BOUNCE_ADDRESS` with a token, such as `bounces+TOKEN@mail.example.com` (RFC 5233 calls it a subaddress). The
token names the mail and is signed, so a report is matched without any text in it being trusted.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from uuid import UUID

from app.core.links import signing_keys
from config import BOUNCE_TOKEN_LENGTH

_ID_BYTES = 16
_SIGNATURE_BYTES = 10
"""Short, so that the local part stays within 64 octets. A forgery has to be tried by mail, one in 2**80 succeeds."""
_TOKEN = rf"[A-Za-z2-7]{{{BOUNCE_TOKEN_LENGTH}}}"
_IN_ADDRESS = re.compile(rf"\+({_TOKEN})(?=[\"']?@)")
_PADDING = "=" * (-BOUNCE_TOKEN_LENGTH % 8)
_PURPOSE = b"imported-clients: bounce address"


def bounce_address(address: str, mail_id: UUID) -> str:
    """The envelope sender of a mail. `address`: the setting MAIL_BOUNCE_ADDRESS. The same on every attempt."""
    local, _, domain = address.rpartition("@")
    return f"{local}+{_token(signing_keys()[0], mail_id)}@{domain}"


def tokens_in(text: str, address: str | None) -> list[str]:
    """What stands in a text in the place of a token: after the "+" of `address`, or in the form of a token.

    Addresses are compared without regard to case, because some servers change it.
    """
    found = [(one.start(1), one[1]) for one in _IN_ADDRESS.finditer(text)]
    if address is not None:
        local, _, domain = map(re.escape, address.rpartition("@"))
        ours = re.compile(rf"(?<![\w.+-]){local}\+([^@\s<>]*)@{domain}(?![\w-]|\.\w)", re.IGNORECASE)
        found += [(one.start(1), one[1]) for one in ours.finditer(text)]
    return [token for _place, token in sorted(set(found))]


def read_token(token: str) -> UUID | None:
    """The id of the mail that a token was made for, with SECRET_KEY or a fallback. None if we never made it."""
    try:
        content = base64.b32decode(token.strip("\"'").upper() + _PADDING)
    except (binascii.Error, ValueError):
        return None
    if len(content) != _ID_BYTES + _SIGNATURE_BYTES:
        return None
    mail_id, signature = UUID(bytes=content[:_ID_BYTES]), content[_ID_BYTES:]
    genuine = False
    for key in signing_keys():
        genuine |= hmac.compare_digest(_signature(key, mail_id), signature)
    return mail_id if genuine else None


def without_tokens(text: str) -> str:
    """A server's words without the tokens that they quote. Whoever knows a token can report on its mail."""
    return _IN_ADDRESS.sub("+‹cut›", text)


def _token(key: str, mail_id: UUID) -> str:
    return base64.b32encode(mail_id.bytes + _signature(key, mail_id)).decode().rstrip("=").lower()


def _signature(key: str, mail_id: UUID) -> bytes:
    # With a key of its own, so that a signature for one purpose is worth nothing for another.
    own_key = hmac.digest(key.encode(), _PURPOSE, "sha256")
    return hmac.digest(own_key, mail_id.bytes, "sha256")[:_SIGNATURE_BYTES]
