"""Encrypts secrets of other systems, such as mail passwords, with a key that is not in the database."""

from __future__ import annotations

import base64
from contextlib import suppress
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app


class DecryptionFailed(Exception):
    """The text was encrypted with a key that is neither SECRET_KEY nor one of SECRET_KEY_FALLBACKS."""


def encrypt(text: str) -> str:
    """Encrypt a text with SECRET_KEY, so that only a holder of SECRET_KEY can read it."""
    return _box().encrypt(text.encode()).decode()


def decrypt(encrypted: str) -> str:
    """Decrypt a text with SECRET_KEY or one of SECRET_KEY_FALLBACKS. Raises `DecryptionFailed` if no key fits."""
    try:
        return _box().decrypt(encrypted.encode()).decode()
    except InvalidToken:
        raise DecryptionFailed from None


def key_number(encrypted: str) -> int | None:
    """Which key opens the text: 0 for SECRET_KEY, n for the n-th of SECRET_KEY_FALLBACKS, None if no key does."""
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
    # Encryption has a derived key of its own, so that a ciphertext reveals nothing about what else SECRET_KEY signs.
    # Another `info` makes another key: all that is stored could not be read any more. So its word stays.
    derived = HKDF(SHA256(), length=32, salt=None, info=b"imported-clients: sealed passwords")
    return base64.urlsafe_b64encode(derived.derive(secret.encode()))
