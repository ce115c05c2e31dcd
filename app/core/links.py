"""Links that are derived, not stored.

A token holds its purpose, its subject and a generation, and is signed with the secret key. So no working link lies in
the database, in the outbox or in a backup. A mail that is sent again carries the same link. A newer generation kills
the older links, and no list of them is needed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import lcm

from flask import current_app
from itsdangerous import Signer

from app.core.spellings import read, without

_MAX_TOKEN_LENGTH = 256


class LinkKind(StrEnum):
    """The purpose of a link, and its path. A token of one kind never opens the page of another kind."""

    INVITATION = "invitations"
    COLLEAGUE = "team-invitations"
    """Opens a colleague's invitation to a portal's team."""
    VERIFICATION = "verify-email"
    PASSWORD_RESET = "password-reset"
    STOP_NOTICES = "unsubscribe-notices"
    """Turns off a client admin's mails about joined clients of one portal."""
    STOP_REMINDERS = "unsubscribe-reminders"
    """Turns off further reminders of one client's invitation."""
    EMAIL_CHANGE = "email-change"
    """Confirms a change of an account's address, or refuses it, from the present address."""
    NEW_EMAIL = "new-email"
    """The same from the new address."""


_CUT = "‹cut›"
# These patterns match a text as `app.core.spellings` reads it, so everything is in lower case.
_PATH = rf"(?:{'|'.join(LinkKind)})[/\\]+"
_ACCOUNT = r"(?:[\w-]{1,32}\.)?\d{1,12}\.\d{1,10}\."
"""An account's, perhaps in a portal."""
_CLIENT = r"[0-9a-f]{32}\.\d{1,10}\."
_IN_A_WORD = re.compile(rf"[/\\]{_PATH}(?P<cut>[\w.-]+)|(?<![\w.-]){_ACCOUNT}(?P<bare>[\w-]{{43}})(?![\w-])")
_BROKEN = re.compile(
    rf"{_PATH}(?P<cut>(?:[\w.-]{{1,80}}\.{_CLIENT}|{_ACCOUNT})[\w-]{{1,43}})|{_CLIENT}(?P<bare>[\w-]{{12,43}})"
)
"""Matches a text without the characters that break a word, so a match must end where a token does, not later."""
_ENCODINGS = ((base64.b16encode, 4), (base64.b32encode, 5), (base64.b32hexencode, 5), (base64.b64encode, 6))
"""Each with the number of bits that one of its digits encodes."""
_TELLING = 8
"""This many letters and digits of a signature in a row reveal something. They do not occur by chance."""


@dataclass(frozen=True)
class LinkClaim:
    """The content of a genuine token: whose link it is, and of which generation."""

    subject: str
    generation: int


def make_token(kind: LinkKind, claim: LinkClaim) -> str:
    """The token of a claim. The same key always gives the same token."""
    return _sign(signing_keys()[0], kind, f"{claim.subject}.{claim.generation}")


def make_url(kind: LinkKind, claim: LinkClaim) -> str:
    """The address to put into a mail. It always begins with `PUBLIC_BASE_URL`, never with a request's Host header."""
    return f"{current_app.config['PUBLIC_BASE_URL']}/{kind}/{make_token(kind, claim)}"


def cut_url(kind: LinkKind) -> str:
    """The address of a link without its token, for showing to anyone but its owner."""
    return f"{current_app.config['PUBLIC_BASE_URL']}/{kind}/{_CUT}"


def cut_links(text: str) -> str:
    """Return a text that somebody else wrote, with our tokens cut out.

    Such a text is, for example, the answer of a mail server that quotes a link it dislikes. The tokens are found by
    their form, however they are escaped, capitalised or broken into lines.
    """
    reading = read(text)
    broken = reading.only(lambda char: char not in "=\xad\u200b\u200c\u200d\u2060\ufeff" and not char.isspace())
    parts = []
    for found_in, pattern in ((reading, _IN_A_WORD), (broken, _BROKEN)):
        for found in pattern.finditer(found_in.chars):
            name = "cut" if found["cut"] else "bare"
            parts.append(found_in.written(found.span(name)))
    return without(text, parts, _CUT)


def cut_token(text: str, token: str) -> str:
    """Return a text without the signature of this token and without any part of it that reveals something.

    The text comes from somebody to whom the token was sent. The signature is found in any spelling: as it is, in
    hexadecimal, in base32 or in base64. All characters other than letters and digits are ignored.
    """
    reading = read(text).only(str.isalnum)
    telling = {form[n : n + _TELLING] for form in _forms(token) for n in range(len(form) - _TELLING + 1)}
    last = len(reading.chars) - _TELLING
    found = (n for n in range(last + 1) if reading.chars[n : n + _TELLING] in telling)
    return without(text, (reading.written((n, n + _TELLING)) for n in found), _CUT)


def token_in(url: str) -> str:
    """The token of a link that `make_url` made."""
    return url.rpartition("/")[2]


def _forms(token: str) -> Iterator[str]:
    """The spellings of a token's signature: as it is, and in each encoding at each offset where it may begin."""
    signature = token.rpartition(".")[2].encode()
    yield _letters(signature)
    for encode, bits in _ENCODINGS:
        for before in range(lcm(8, bits) // 8):
            encoded = encode(bytes(before) + signature)
            # The first and the last digit may also encode the neighbouring bytes.
            yield _letters(encoded[-(-8 * before // bits) : 8 * (before + len(signature)) // bits])


def _letters(text: bytes) -> str:
    return "".join(filter(str.isalnum, text.decode().lower()))


def read_token(kind: LinkKind, token: str) -> LinkClaim | None:
    """Read a token. Returns None if we never made it.

    The check derives the token anew, with SECRET_KEY and with each fallback, and compares the whole text. So each link
    has exactly one spelling.
    """
    if len(token) > _MAX_TOKEN_LENGTH or not token.isascii():
        return None
    payload = token.rpartition(".")[0]
    subject, _, generation = payload.rpartition(".")
    genuine = False
    for key in signing_keys():
        genuine |= hmac.compare_digest(_sign(key, kind, payload), token)
    return LinkClaim(subject, int(generation)) if genuine else None


def signing_keys() -> list[str]:
    """SECRET_KEY, which signs, and then the former keys, whose signatures still count."""
    return [current_app.config["SECRET_KEY"], *current_app.config["SECRET_KEY_FALLBACKS"]]


def _sign(key: str, kind: LinkKind, payload: str) -> str:
    return _signer(key, kind).sign(payload).decode()


@lru_cache(maxsize=64)
def _signer(key: str, kind: LinkKind) -> Signer:
    """Signs with the key of the kind. The key is derived once, not again for each link."""
    deriving = Signer(key, salt=f"link:{kind}", key_derivation="hmac", digest_method=hashlib.sha256)
    return Signer(deriving.derive_key(), key_derivation="none", digest_method=hashlib.sha256)
