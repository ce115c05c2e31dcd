"""Keeping other systems' passwords: encrypted with a key that is not in the database."""

from __future__ import annotations

import base64
from contextlib import suppress
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app


class DecryptionFailed(Exception):
    """It was encrypted with a key that is neither SECRET_KEY nor one of SECRET_KEY_FALLBACKS."""


def encrypt(text: str) -> str:
    """A text that only a holder of SECRET_KEY can read."""
    return _box().encrypt(text.encode()).decode()


def decrypt(encrypted: str) -> str:
    """What was encrypted, with the present key or a former one. Raises `DecryptionFailed`."""
    try:
        return _box().decrypt(encrypted.encode()).decode()
    except InvalidToken:
        raise DecryptionFailed from None


def key_number(encrypted: str) -> int | None:
    """Which key opens it: 0 for SECRET_KEY, n for the n-th of SECRET_KEY_FALLBACKS, None where none does."""
    for number, box in enumerate(_boxes()):
        with suppress(InvalidToken):
            box.decrypt(encrypted.encode())
            return number
    return None


def _box() -> MultiFernet:
    return MultiFernet(_boxes())


def _boxes() -> list[Fernet]:
    keys = [current_app.config["SECRET_KEY"], *current_app.config["SECRET_KEY_FALLBACKS"]]
    return [Fernet(_fernet_key(key)) for key in keys]


@lru_cache(maxsize=64)
def _fernet_key(secret: str) -> bytes:
    # A key of its own, so that what is encrypted says nothing of what else the secret signs.
    derived = HKDF(SHA256(), length=32, salt=None, info=b"imported-clients: encrypted passwords")
    return base64.urlsafe_b64encode(derived.derive(secret.encode()))
