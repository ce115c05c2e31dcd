"""Keeping other systems' passwords: sealed with a key that is not in the database."""

from __future__ import annotations

import base64
from contextlib import suppress
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app


class CannotUnseal(Exception):
    """It was sealed with a key that is neither SECRET_KEY nor one of SECRET_KEY_FALLBACKS."""


def seal(text: str) -> str:
    """A text that only a holder of SECRET_KEY can read."""
    return _box().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """What was sealed, with the present key or a former one. Raises `CannotUnseal`."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise CannotUnseal from None


def key_number(sealed: str) -> int | None:
    """Which key opens it: 0 for SECRET_KEY, n for the n-th of SECRET_KEY_FALLBACKS, None where none does."""
    for number, box in enumerate(_boxes()):
        with suppress(InvalidToken):
            box.decrypt(sealed.encode())
            return number
    return None


def _box() -> MultiFernet:
    return MultiFernet(_boxes())


def _boxes() -> list[Fernet]:
    keys = [current_app.config["SECRET_KEY"], *current_app.config["SECRET_KEY_FALLBACKS"]]
    return [Fernet(_fernet_key(key)) for key in keys]


@lru_cache(maxsize=64)
def _fernet_key(secret: str) -> bytes:
    # A key of its own, so that what is sealed says nothing of what else the secret signs.
    derived = HKDF(SHA256(), length=32, salt=None, info=b"imported-clients: sealed passwords")
    return base64.urlsafe_b64encode(derived.derive(secret.encode()))
