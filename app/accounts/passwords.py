"""Passwords: which are good enough, how they are kept, how they are checked.

Rules: at least 12 and at most 128 characters; refused when common, or when a word of four or more letters of the
person's, company's or portal's name or of the e-mail's local part is in it. Checked offline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask_babel import gettext as _
from zxcvbn import zxcvbn
from zxcvbn.matching import L33T_TABLE

from app.core.text import fold

MIN_LENGTH = 12
MAX_LENGTH = 128
NO_PASSWORD = ""
"""In place of the hash, for an account that no password opens until its owner sets one."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_REPEATED = re.compile(r"(.{1,2}?)\1{2,}|(.{3,}?)\2+", re.DOTALL)
"""Three times the same one or two characters, or twice the same longer text."""
_TOO_GUESSABLE = 1
"""zxcvbn's score, 0 to 4: up to 1 means that a million guesses find it."""
_JUDGED_LENGTH = 24
"""How many characters zxcvbn is given at once: its time grows with the third power of the length."""
_MOST_READINGS = 4
"""Of signs that stand for letters, zxcvbn tries every combination, and there may be hundreds."""
_SIGNS = str.maketrans("@({[<!|$+%", "accccilstx")
"""What such a sign usually stands for. Digits are left: they make numbers, dates and rows of keys as well."""

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
    folded = fold(password)
    for text in (*names, email.partition("@")[0]):
        for word in _WORD.findall(fold(text)):
            if word in folded:
                return _(
                    "The password contains “%(word)s”, which is part of a name or of the e-mail address. "
                    "Choose one without it.",
                    word=word,
                )
    if _is_common(password):
        return _("This password is too common. Choose one that nobody else would think of: several words work well.")
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


def _is_common(password: str) -> bool:
    """Whether few guesses find it. Takes at most 50 ms of processor time, whatever the password is.

    A password is at least as hard to guess as any part of it, so one good part is enough. What is repeated counts once.
    """
    text = _REPEATED.sub(r"\1\2", password)
    parts = text[:_JUDGED_LENGTH], text[_JUDGED_LENGTH : 2 * _JUDGED_LENGTH]
    return not any(_is_hard_to_guess(part) for part in parts if part)


def _is_hard_to_guess(part: str) -> bool:
    return bool(zxcvbn(_readable(part))["score"] > _TOO_GUESSABLE)


def _readable(text: str) -> str:
    """The text, with letters for its signs where several signs could stand for one letter."""
    readings = prod(max(1, sum(sign in text for sign in signs)) for signs in L33T_TABLE.values())
    return text if readings <= _MOST_READINGS else text.translate(_SIGNS)
