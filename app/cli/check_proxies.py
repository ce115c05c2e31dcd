"""The check of `flask check` about the headers that proxies add, by a request that goes through them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from flask import current_app

from app.core.checks import CheckResult, ok, warn
from app.net.dialer import any_address
from app.net.http import Answer, Unreachable, send
from app.web.health import probe_headers
from config import Settings

_SECONDS = 5.0


def proxy_headers() -> CheckResult:
    """Whether we know the address that somebody comes from, and the path under which a proxy shows us."""
    settings: Settings = current_app.config["SETTINGS"]
    url = settings.public_base_url
    try:
        answer = send("GET", f"{url}/healthz", headers=probe_headers(), permits=any_address, seconds=_SECONDS)
    except Unreachable:
        return warn(f"Not known, since {url} cannot be reached from here.")
    said = _said(answer)
    if said is None:
        return warn(f"Not known, since whatever answers at {url} is another version or has another SECRET_KEY.")
    added, trusted = said["proxies"], said["trusted_proxies"]
    differ = f"On the way from here {added} of the proxies add X-Forwarded-For, but TRUSTED_PROXIES is {trusted}"
    if added > trusted:
        return warn(f"{differ}: everyone seems to come from one address and shares its limits. Set it to {added}.")
    if added < trusted:
        return warn(
            f"{differ}: whoever comes this way can make up an address. Set it to {added}, unless this check has come"
            " another way than people do."
        )
    path = urlsplit(url).path
    if said["root"] != path:
        return warn(
            f"Pages are under {path or '/'}, but the proxy says {said['root'] or '/'}. Let it set X-Forwarded-Prefix."
        )
    return ok(f"The number of proxies that add X-Forwarded-For is {added}, as TRUSTED_PROXIES says.")


def _said(answer: Answer) -> dict[str, Any] | None:
    try:
        said = json.loads(answer.body)
    except ValueError:
        return None
    return said if isinstance(said, dict) and "proxies" in said else None
