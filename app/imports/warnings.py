"""Warnings: likely mistakes in a list that is otherwise fine. They never stop an import. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.core.text import fold

_COMMON_DOMAINS: Final = frozenset(
    {
        "aol.com",
        "gmail.com",
        "gmx.com",
        "gmx.de",
        "gmx.net",
        "googlemail.com",
        "hotmail.com",
        "icloud.com",
        "live.com",
        "mail.com",
        "msn.com",
        "orange.fr",
        "outlook.com",
        "proton.me",
        "protonmail.com",
        "t-online.de",
        "web.de",
        "yahoo.com",
        "yandex.ru",
    }
)
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


class WarningKind(StrEnum):
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
    names = Counter(fold(name) for name, _ in pairs)
    warnings = []
    for name, email in pairs:
        local, _, domain = email.partition("@")
        meant = _domain_meant(domain)
        if meant:
            warnings.append(RowWarning(WarningKind.DOMAIN, name, email, meant))
        if names[fold(name)] > 1:
            warnings.append(RowWarning(WarningKind.SAME_NAME, name, email))
        if local in _ROLES:
            warnings.append(RowWarning(WarningKind.ROLE, name, email))
    order = list(WarningKind)
    return sorted(warnings, key=lambda warning: order.index(warning.kind))


def _domain_meant(domain: str) -> str | None:
    if domain in _COMMON_DOMAINS:
        return None
    return next((common for common in sorted(_COMMON_DOMAINS) if _one_slip_apart(domain, common)), None)


def _one_slip_apart(a: str, b: str) -> bool:
    """Whether `b` is `a` with one letter added, removed, replaced, or swapped with its neighbour."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    x, y = a[start:], b[start:]
    if len(x) != len(y):
        return x[1:] == y or x == y[1:]
    return x[1:] == y[1:] or (x[:2] == y[1::-1] and x[2:] == y[2:])
