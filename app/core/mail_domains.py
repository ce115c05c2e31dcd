"""The domains of large mailbox providers, and which of them a mistyped domain is meant to be. Pure."""

from __future__ import annotations

from typing import Final

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
_LONGEST: Final = max(map(len, _COMMON_DOMAINS))


def domain_meant(domain: str) -> str | None:
    """The well-known domain that a domain is one slip of the keyboard away from. None if it is well known itself."""
    if domain in _COMMON_DOMAINS or len(domain) > _LONGEST + 1:
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
