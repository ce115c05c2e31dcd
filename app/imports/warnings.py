"""Warnings: likely mistakes in a list that is otherwise fine. They never stop an import. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.core.mail_domains import domain_meant
from app.core.text import fold

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
        meant = domain_meant(domain)
        if meant:
            warnings.append(RowWarning(WarningKind.DOMAIN, name, email, meant))
        if names[fold(name)] > 1:
            warnings.append(RowWarning(WarningKind.SAME_NAME, name, email))
        if local in _ROLES:
            warnings.append(RowWarning(WarningKind.ROLE, name, email))
    order = list(WarningKind)
    return sorted(warnings, key=lambda warning: order.index(warning.kind))
