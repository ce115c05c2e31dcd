"""The origins of host shells: which texts are origins, and their clean form."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

import idna
from flask_babel import gettext as _

from app.core.errors import DomainError

MOST_ORIGINS = 10
LONGEST_ORIGIN = 255

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_STANDARD_PORTS = {"https": 443, "http": 80}


def clean_origin(text: str) -> str:
    """An origin in the form that browsers send, such as `https://portal.example`.

    Scheme and host are in lower case, host names in their ASCII form. A standard port and a single trailing slash are
    dropped. Raises `DomainError` for anything but an origin, and for `http` to another machine than this one.
    """
    typed = text.strip()
    try:
        parts = urlsplit(typed.removesuffix("/"))
        host, port = _host(parts.hostname or ""), parts.port
    except ValueError:
        raise _refusal(typed) from None
    is_bare = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc or parts.netloc.endswith(":"))
    # urlsplit silently removes characters such as tabs. Without this check we would allow an origin nobody typed.
    if parts.scheme not in _STANDARD_PORTS or not is_bare or not typed.isprintable() or set(typed) & set("?#%\\ "):
        raise _refusal(typed)
    if parts.scheme == "http" and not _is_this_machine(host):
        raise DomainError(
            _("“%(origin)s” isn't encrypted: start it with https://. Only localhost may use http.", origin=typed)
        )
    origin = f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, _STANDARD_PORTS[parts.scheme]) else "")
    if len(origin) > LONGEST_ORIGIN:
        raise _refusal(typed)
    return origin


def _host(name: str) -> str:
    """A host name or IP address in the form that browsers use. Raises `ValueError` if it is neither."""
    if ":" in name:
        return f"[{IPv6Address(name).compressed}]"
    # UTS 46, as browsers do. Python's own codec has the older rules, which map faß.de to fass.de, somebody else's name.
    host = name if name.isascii() else idna.encode(name, uts46=True).decode()
    host = host.lower()
    labels = host.split(".")
    if not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(name)
    # Browsers parse any host whose last label is a number as an IPv4 address, also in unusual spellings.
    if labels[-1].isdigit() or labels[-1].startswith("0x"):
        return str(IPv4Address(host))
    return host


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost") or host == "[::1]":
        return True
    try:
        return IPv4Address(host).is_loopback
    except AddressValueError:
        return False


def _refusal(typed: str) -> DomainError:
    return DomainError(
        _(
            "“%(origin)s” isn't an origin. Enter it like https://portal.example or https://portal.example:8443,"
            " without a path or a *.",
            origin=typed[:100],
        )
    )
