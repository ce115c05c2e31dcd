"""Codes of authenticator apps (TOTP, RFC 6238): six digits, another one every 30 seconds.

Pure: no database.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Final

import pyotp

STEP_SECONDS: Final = 30
DIGITS: Final = 6
_SKEW: Final = 1
"""How many steps before and after the present one are accepted, since clocks differ."""


def new_key() -> str:
    """A random key of 160 bits, in base32."""
    return pyotp.random_base32()


def matching_step(key: str, code: str, at: datetime, after: int = 0) -> int | None:
    """The step whose code this is: the one at this moment, the one before it or the next one. None if it is neither.

    No step up to `after` is looked at: its code was used, or is older than one that was.
    """
    present = int(at.timestamp()) // STEP_SECONDS
    totp = pyotp.TOTP(key, digits=DIGITS, interval=STEP_SECONDS)
    for step in range(max(present - _SKEW, after + 1), present + _SKEW + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            return step
    return None


def address_of_key(key: str, account: str, issuer: str) -> str:
    """The otpauth address of a key, for a QR code. The app shows it under the names of service and account."""
    return pyotp.TOTP(key, digits=DIGITS, interval=STEP_SECONDS).provisioning_uri(name=account, issuer_name=issuer)
