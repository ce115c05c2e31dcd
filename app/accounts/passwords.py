"""Passwords: the rules for good ones, their hashes, and how they are checked.

A password has 12 to 128 characters. It is refused if it is common, or if it contains a word of four or more letters
from the name of the person, company or portal, or from the local part of the email address. The check works offline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import current_app
from flask_babel import gettext as _
from zxcvbn import zxcvbn
from zxcvbn.matching import L33T_TABLE

from app.core.text import fold

MIN_LENGTH = 12
MAX_LENGTH = 128
NO_PASSWORD = ""
"""Stands in place of the hash of an account without a password. No password opens it until its owner sets one."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_REPEATED = re.compile(r"(.{1,2}?)\1{2,}|(.{3,}?)\2+", re.DOTALL)
"""The same one or two characters at least three times, or the same longer text at least twice."""
_TOO_GUESSABLE = 1
"""The highest of zxcvbn's scores (0 to 4) that we refuse: up to 1, a million guesses find the password."""
_JUDGED_LENGTH = 24
"""The most characters that zxcvbn gets at once, because its time grows with the third power of the length."""
_MOST_READINGS = 4
"""zxcvbn tries every combination of letters that the signs may stand for. Above this number we replace the signs."""
_SIGNS = str.maketrans("@({[<!|$+%", "accccilstx")
"""The letter that each sign usually stands for. Digits stay: they also form numbers, dates and keyboard rows."""


def password_fault(password: str, *, names: Iterable[str], email: str) -> str | None:
    """Why a password is not good enough, as a sentence for the user, or None if it is good enough.

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
                    "The password contains “%(word)s”, which is part of a name or of the email address. "
                    "Choose one without it.",
                    word=word,
                )
    if _is_common(password):
        return _(
            "This password is too common. Choose one that nobody else would think of: "
            "a phrase of several words works well."
        )
    return None


def hash_password(password: str) -> str:
    """An argon2id hash, with its parameters and salt."""
    return _hasher().hash(password)


def is_password_of(password_hash: str | None, password: str) -> bool:
    """Whether the password matches. Takes equally long if there is no account (None) or the account has no password."""
    hasher = _hasher()
    try:
        hasher.verify(password_hash or _hash_of_nobody(hasher), password)
    except (VerificationError, InvalidHashError):
        return False
    return bool(password_hash)


def _hasher() -> PasswordHasher:
    """The application's, whose parameters say what a hash costs."""
    hasher: PasswordHasher = current_app.config["PASSWORD_HASHER"]
    return hasher


def _hash_of_nobody(hasher: PasswordHasher) -> str:
    """Checked if there is no account, so that the answer takes equally long.

    It is written and not computed, because nobody needs to know a password with this hash, and computing one would take
    as long again.
    """
    return (
        f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
        f"$bm8gYWNjb3VudCBoYXMgaQ${'A' * 43}"
    )


def _is_common(password: str) -> bool:
    """Whether a few guesses find the password. Takes at most 50 ms of processor time for any password.

    A password is at least as hard to guess as each of its parts, so one good part is enough. Repetitions count once.
    """
    text = _REPEATED.sub(r"\1\2", password)
    parts = text[:_JUDGED_LENGTH], text[_JUDGED_LENGTH : 2 * _JUDGED_LENGTH]
    return not any(_is_hard_to_guess(part) for part in parts if part)


def _is_hard_to_guess(part: str) -> bool:
    return bool(zxcvbn(_readable(part))["score"] > _TOO_GUESSABLE)


def _readable(text: str) -> str:
    """The text for zxcvbn. Its signs become letters if zxcvbn would have too many combinations to try."""
    readings = prod(max(1, sum(sign in text for sign in signs)) for signs in L33T_TABLE.values())
    return text if readings <= _MOST_READINGS else text.translate(_SIGNS)
