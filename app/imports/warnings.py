"""Warnings: likely mistakes in a list that is otherwise fine. They never stop an import. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.core.mail_domains import domain_meant
from app.core.text import fold, is_email

_ROLES: Final = frozenset(
    {
        "abuse",
        "admin",
        "billing",
        "contact",
        "hello",
        "hostmaster",
        "info",
        "mail",
        "marketing",
        "no-reply",
        "noreply",
        "office",
        "postmaster",
        "reception",
        "sales",
        "support",
        "team",
        "webmaster",
    }
)

_SCIENTIFIC: Final = re.compile(r"[+-]?\d+(?:[.,]\d+)?E[+-]?\d+", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?=.*\d)[\d\s.,:'’/()%+\-–$€£¥]+")
# UTF-8 is mostly mistaken for the encoding of the machine, which depends on its language.
_MISTAKEN_FOR: Final = ("cp1252", "latin-1", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "mac_roman", "gb18030")


class WarningKind(StrEnum):
    """The kinds, in the order in which they are shown."""

    NUMBER = "number"
    SCIENTIFIC = "scientific"
    ADDRESS = "address"
    MARK = "mark"
    MOJIBAKE = "mojibake"
    DOMAIN = "domain"
    SAME_NAME = "same_name"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class RowWarning:
    """One warning about a client. `hint` is the domain probably meant, if `kind` is `DOMAIN`."""

    kind: WarningKind
    company_name: str
    email: str
    hint: str = ""


def find_warnings(clients: Iterable[tuple[str, str]]) -> list[RowWarning]:
    """The warnings about (company name, address) pairs, both as we store them, ordered by kind."""
    pairs = list(clients)
    folded = [fold(name) for name, _ in pairs]
    times = Counter(folded)
    warnings = []
    for (name, email), folded_name in zip(pairs, folded, strict=True):
        local, _, domain = email.partition("@")
        meant = domain_meant(domain)
        if meant:
            warnings.append(RowWarning(WarningKind.DOMAIN, name, email, meant))
        if times[folded_name] > 1:
            warnings.append(RowWarning(WarningKind.SAME_NAME, name, email))
        if local in _ROLES:
            warnings.append(RowWarning(WarningKind.ROLE, name, email))
        odd = _odd_name(name)
        if odd:
            warnings.append(RowWarning(odd, name, email))
    order = list(WarningKind)
    return sorted(warnings, key=lambda warning: order.index(warning.kind))


def _odd_name(name: str) -> WarningKind | None:
    """What is odd about a name as we store it, or None."""
    if _SCIENTIFIC.fullmatch(name):
        return WarningKind.SCIENTIFIC
    if _NUMBER.fullmatch(name):
        return WarningKind.NUMBER
    if not any(character.isalnum() for character in name):
        return WarningKind.MARK
    if "@" in name and is_email(name):
        return WarningKind.ADDRESS
    return WarningKind.MOJIBAKE if _is_mojibake(name) else None


def _is_mojibake(text: str) -> bool:
    """Whether a text is UTF-8 that was read in another encoding (`MÃ¼ller`): then it can be put right exactly."""
    return not text.isascii() and any(_reads_as_utf8(text, encoding) for encoding in _MISTAKEN_FOR)


def _reads_as_utf8(text: str, encoding: str) -> bool:
    try:
        meant = text.encode(encoding).decode("utf-8")
    except UnicodeError:
        return False
    return len(meant) < len(text) and meant.isprintable()
