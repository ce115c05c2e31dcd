"""Links that are derived, not stored.

A token is made of what it is for, whose it is, and a generation, signed with the secret key. Nothing that works
lies in the database, in the outbox or in a backup; a mail that is sent again carries the same link; and a newer
generation kills the older links without a list of them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from flask import current_app
from itsdangerous import Signer

_MAX_TOKEN_LENGTH = 256


class LinkKind(StrEnum):
    """What a link is for. Also its path: a token of one kind never opens another's page."""

    INVITATION = "invitations"
    VERIFICATION = "verify-email"
    PASSWORD_RESET = "password-reset"


_CUT = "‹cut›"
_LINK = re.compile(rf"/({'|'.join(LinkKind)})/[\w.-]+")


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
    """A text of somebody else's, such as a mail server that names a link it dislikes, without our tokens."""
    return _LINK.sub(rf"/\1/{_CUT}", text)


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
