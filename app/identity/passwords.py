"""Passwords: which are good enough, how they are kept, how they are checked.

Rules: at least 12 and at most 128 characters; refused when common, or when a word of four or more letters of the
person's, company's or portal's name or of the e-mail's local part is in it. Checked offline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask_babel import gettext as _
from zxcvbn import zxcvbn

from app.text import fold

MIN_LENGTH = 12
MAX_LENGTH = 128
NO_PASSWORD = ""
"""In place of the hash, for an account that no password opens until its owner sets one."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_TOO_GUESSABLE = 1
"""zxcvbn's score, 0 to 4: up to 1 means that a million guesses find it."""
_ZXCVBN_MAX_LENGTH = 72

_hasher = PasswordHasher()
# Checked when there is no account, so that the answer takes as long as when there is one. Written and not made: nobody
# needs to know a password with this hash, and making one would take a tenth of a process's start.
_NO_ACCOUNT_HASH = (
    f"$argon2id$v=19$m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    f"$bm8gYWNjb3VudCBoYXMgaQ${'A' * 43}"
)


def password_fault(password: str, *, names: Iterable[str], email: str) -> str | None:
    """Why a password is not good enough, as a sentence; None if it is.

    `names` are the person's, company's and portal's names; `email` is the account's address.
    """
    if len(password) < MIN_LENGTH:
        return _("The password is too short: use at least %(min)s characters.", min=MIN_LENGTH)
    if len(password) > MAX_LENGTH:
        return _("The password is too long: use at most %(max)s characters.", max=MAX_LENGTH)
    if zxcvbn(password[:_ZXCVBN_MAX_LENGTH])["score"] <= _TOO_GUESSABLE:
        return _("This password is too common. Choose one that nobody else would think of: several words work well.")
    folded = fold(password)
    for text in (*names, email.partition("@")[0]):
        for word in _WORD.findall(fold(text)):
            if word in folded:
                return _(
                    "The password contains “%(word)s”, which is part of a name or of the e-mail address. "
                    "Choose one without it.",
                    word=word,
                )
    return None


def hash_password(password: str) -> str:
    """An argon2id hash, with its parameters and salt."""
    return _hasher.hash(password)


def is_password_of(password_hash: str | None, password: str) -> bool:
    """Whether the password matches. Takes the same time when there is no account (None), or one without a password."""
    try:
        _hasher.verify(password_hash or _NO_ACCOUNT_HASH, password)
    except (VerificationError, InvalidHashError):
        return False
    return bool(password_hash)
