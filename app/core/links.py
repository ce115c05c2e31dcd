"""Links that are derived, not stored.

A token is made of what it is for, whose it is, and a generation, signed with the secret key. Nothing that works
lies in the database, in the outbox or in a backup; a mail that is sent again carries the same link; and a newer
generation kills the older links without a list of them.
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
    """What a link is for. Also its path: a token of one kind never opens another's page."""

    INVITATION = "invitations"
    VERIFICATION = "verify-email"
    PASSWORD_RESET = "password-reset"


_CUT = "‹cut›"
# In a text that is read through its spelling (`app.core.spellings`), and so in lower case.
_PATH = rf"(?:{'|'.join(LinkKind)})[/\\]+"
_ACCOUNT = r"\d{1,12}\.\d{1,10}\."
_CLIENT = r"[0-9a-f]{32}\.\d{1,10}\."
_IN_A_WORD = re.compile(rf"[/\\]{_PATH}(?P<cut>[\w.-]+)|(?<![\w.-]){_ACCOUNT}(?P<bare>[\w-]{{43}})(?![\w-])")
_BROKEN = re.compile(
    rf"{_PATH}(?P<cut>(?:[\w.-]{{1,80}}\.{_CLIENT}|{_ACCOUNT})[\w-]{{1,43}})|{_CLIENT}(?P<bare>[\w-]{{12,43}})"
)
"""Found without what breaks a word, so it must not end later than a token does."""
_ENCODINGS = ((base64.b16encode, 4), (base64.b32encode, 5), (base64.b32hexencode, 5), (base64.b64encode, 6))
"""With how many bits a digit of theirs stands for."""
_TELLING = 8
"""So many letters and digits of a signature in a row tell something; by chance they stand nowhere."""


@dataclass(frozen=True)
class LinkClaim:
    """What a genuine token says: whose link it is, and of which generation."""

    subject: str
    generation: int


def make_token(kind: LinkKind, claim: LinkClaim) -> str:
    """The token of a claim: always the same one for the same key."""
    return _sign(_keys()[0], kind, f"{claim.subject}.{claim.generation}")


def make_url(kind: LinkKind, claim: LinkClaim) -> str:
    """The address to mail. Always below `PUBLIC_BASE_URL`; the Host header of a request plays no part."""
    return f"{current_app.config['PUBLIC_BASE_URL']}/{kind}/{make_token(kind, claim)}"


def cut_url(kind: LinkKind) -> str:
    """The address of a link as it may be shown to others than its owner: without the token."""
    return f"{current_app.config['PUBLIC_BASE_URL']}/{kind}/{_CUT}"


def cut_links(text: str) -> str:
    """A text of somebody else's, such as a mail server that names a link it dislikes, without our tokens.

    They are found by what they look like, however they are escaped, capitalised or broken into lines.
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
    """A text of somebody else's who was sent this token, without its signature or any telling part of it.

    Whatever the spelling, be it hexadecimal, base32 or base64: all but letters and digits is looked through.
    """
    reading = read(text).only(str.isalnum)
    telling = {form[n : n + _TELLING] for form in _forms(token) for n in range(len(form) - _TELLING + 1)}
    last = len(reading.chars) - _TELLING
    found = (n for n in range(last + 1) if reading.chars[n : n + _TELLING] in telling)
    return without(text, (reading.written((n, n + _TELLING)) for n in found), _CUT)


def token_in(url: str) -> str:
    """The token of a link that `make_url` has made."""
    return url.rpartition("/")[2]


def _forms(token: str) -> Iterator[str]:
    """How a token's signature reads as it is, and encoded, in each place at which it may stand in what is encoded."""
    signature = token.rpartition(".")[2].encode()
    yield _letters(signature)
    for encode, bits in _ENCODINGS:
        for before in range(lcm(8, bits) // 8):
            encoded = encode(bytes(before) + signature)
            # Digits at its ends may also say what stands before and after it.
            yield _letters(encoded[-(-8 * before // bits) : 8 * (before + len(signature)) // bits])


def _letters(text: bytes) -> str:
    return "".join(filter(str.isalnum, text.decode().lower()))


def read_token(kind: LinkKind, token: str) -> LinkClaim | None:
    """What a token says, or None if we never made it.

    A token is checked by deriving it anew, with the present key and the fallbacks, and comparing the whole text:
    so there is exactly one spelling of each link.
    """
    if len(token) > _MAX_TOKEN_LENGTH or not token.isascii():
        return None
    payload = token.rpartition(".")[0]
    subject, _, generation = payload.rpartition(".")
    genuine = False
    for key in _keys():
        genuine |= hmac.compare_digest(_sign(key, kind, payload), token)
    return LinkClaim(subject, int(generation)) if genuine else None


def _keys() -> list[str]:
    return [current_app.config["SECRET_KEY"], *current_app.config["SECRET_KEY_FALLBACKS"]]


def _sign(key: str, kind: LinkKind, payload: str) -> str:
    return _signer(key, kind).sign(payload).decode()


@lru_cache(maxsize=64)
def _signer(key: str, kind: LinkKind) -> Signer:
    """Signs with the kind's own key, derived once: a signer that derives it does so for each link."""
    deriving = Signer(key, salt=f"link:{kind}", key_derivation="hmac", digest_method=hashlib.sha256)
    return Signer(deriving.derive_key(), key_derivation="none", digest_method=hashlib.sha256)
