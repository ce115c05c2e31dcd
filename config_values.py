"""Values of settings that take more than a line to check. Pure; `config.py` reads the settings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import pairwise
from urllib.parse import unquote, urlsplit

_KEY_LENGTH = 32
_KEY_VARIETY = 8
"""The least number of different characters in a key. One in a million keys of 32 random hex digits has fewer."""
_PLACEHOLDER = re.compile(r"(change|replace)(me|this)|your(secret)?key|password|qwerty|letmein")


@dataclass(frozen=True)
class BounceMailbox:
    """The mailbox to which reports on our mails come, read by IMAP."""

    host: str
    port: int
    is_encrypted: bool
    username: str
    password: str = field(repr=False)
    folder: str = "Inbox"  # in any case (RFC 3501, 5.1)


def is_loopback(host: str) -> bool:
    """Whether a host name or address belongs to this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def key_weakness(key: str) -> str | None:
    """Why a key can be guessed, as the end of a sentence that begins with "it"; None for a random key."""
    if len(key) < _KEY_LENGTH:
        return f"is too short: it must have at least {_KEY_LENGTH} characters"
    if len(set(key)) < _KEY_VARIETY:
        return f"can be guessed: it must have at least {_KEY_VARIETY} different characters"
    if any(key.startswith(key[length:]) for length in range(1, len(key) // 2 + 1)):
        return "can be guessed: it repeats one block of characters"
    steps = [ord(after) - ord(before) for before, after in pairwise(key)]
    if sum(abs(step) <= 1 for step in steps) > len(steps) * 2 / 3:
        return "can be guessed: its characters follow each other in order"
    if _PLACEHOLDER.search(re.sub(r"[\W_]", "", key.casefold())):
        return "can be guessed: it is an example's"
    return None


def bounce_mailbox(url: str) -> BounceMailbox:
    """Read the address of a bounce mailbox. Raises ValueError with the rest of a sentence about the setting.

    It never quotes the address, because that holds a password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # unbalanced brackets, or an invalid port, as with a "/" in the password
        host = port = None
    is_whole = host and parts.username and parts.password and not (parts.query or parts.fragment)
    if not is_whole or port == 0 or parts.scheme not in {"imaps", "imap"}:
        raise ValueError(
            "must look like imaps://user:password@imap.example.com/INBOX, with @ : / ? # and % in user and password"
            " percent-encoded."
        )
    if parts.scheme == "imap" and not is_loopback(str(host)):
        raise ValueError(
            "may begin with imap:// only for a server on this machine, since the password is not encrypted there. Use"
            " imaps://."
        )
    return BounceMailbox(
        host=str(host),
        port=port or (993 if parts.scheme == "imaps" else 143),
        is_encrypted=parts.scheme == "imaps",
        username=unquote(str(parts.username)),
        password=unquote(str(parts.password)),
        folder=unquote(parts.path.strip("/")) or BounceMailbox.folder,
    )


def resolver(text: str) -> tuple[str, int]:
    """The address and the port of a DNS resolver, 53 if none is given. Raises ValueError."""
    bare = text.strip("[]")
    if bare.count(":") != 1 and "]:" not in text:
        return str(ip_address(bare)), 53
    host, _colon, port = text.rpartition(":")
    if not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError
    return str(ip_address(host.strip("[]"))), int(port)
