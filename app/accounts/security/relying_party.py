"""Whom passkeys are made for: the site at `PUBLIC_BASE_URL`. Never what a request names as its host."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import current_app

_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class RelyingParty:
    """A site as WebAuthn names it."""

    id: str
    """The host name. A passkey works for this name only, and is worthless once the site has another."""
    origin: str


def relying_party() -> RelyingParty | None:
    """The site, or None if no browser makes passkeys for it: they need a host name, and https or this machine."""
    parts = urlsplit(current_app.config["PUBLIC_BASE_URL"])
    try:
        host = (parts.hostname or "").encode("idna").decode()
    except UnicodeError:
        return None
    is_local = host == "localhost" or host.endswith(".localhost")
    if not host or _is_ip_address(host) or not (parts.scheme == "https" or is_local):
        return None
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return RelyingParty(host, f"{parts.scheme}://{host}{port}")


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
