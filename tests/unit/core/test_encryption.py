"""Encrypted passwords: only who has the key, or a former one that is still named, can read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask

from app.core.encryption import DecryptionFailed, decrypt, encrypt

SECRET = "a secret of the relay · ünïcödé"
OF_VERSION_0_1 = (
    "gAAAAABrDQUevA5FakrLrj2iq-KZ7VNuzCvalsoFFqmY9Av7PVjdQYkwiJvdoY9tK7ogdO"
    "s8_x2K3_yV93RuzgHgUHIlsfG9jmnCHQrgLm3LMBRpBS6ZUtA="
)
"""As version 0.1 encrypted it, with the key below: databases are full of such texts."""


@contextmanager
def keys(key: str, *fallbacks: str) -> Iterator[None]:
    app = Flask(__name__)
    app.config.update(SECRET_KEY=key, SECRET_KEY_FALLBACKS=list(fallbacks))
    with app.app_context():
        yield


def encrypted_with(key: str) -> str:
    with keys(key):
        return encrypt(SECRET)


def test_what_is_encrypted_can_be_read_with_the_key_and_is_not_in_the_clear() -> None:
    encrypted = encrypted_with("this year's key")
    assert "relay" not in encrypted
    with keys("this year's key"):
        assert decrypt(encrypted) == SECRET


def test_what_an_older_version_encrypted_can_still_be_read() -> None:
    with keys("the key of an older version"):
        assert decrypt(OF_VERSION_0_1) == "kept since version 0.1"


def test_the_same_text_is_encrypted_differently_each_time() -> None:
    assert encrypted_with("this year's key") != encrypted_with("this year's key")


def test_after_a_change_of_keys_the_old_one_opens_it_for_as_long_as_it_is_named() -> None:
    encrypted = encrypted_with("last year's key")
    with keys("this year's key", "the year before", "last year's key"):
        assert decrypt(encrypted) == SECRET
        renewed = encrypt(SECRET)
    with keys("this year's key"):
        assert decrypt(renewed) == SECRET
        with pytest.raises(DecryptionFailed):
            decrypt(encrypted)


def test_what_was_not_encrypted_by_us_is_refused() -> None:
    changed = encrypted_with("this year's key")[:-3] + "AAA"
    with keys("this year's key"):
        for broken in ("", "nonsense", changed):
            with pytest.raises(DecryptionFailed):
                decrypt(broken)
