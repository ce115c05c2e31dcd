"""Health checks for load balancers and supervisors: alive, and ready."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue
from itsdangerous import BadSignature, TimestampSigner
from sqlalchemy.exc import SQLAlchemyError

from app.db.schema import AWAY, OTHER_SCHEMA, may_run_on_schema
from app.observability import quiet

bp = Blueprint("health", __name__)

_PROBE = "X-Imported-Clients-Probe"
_PROBE_SECONDS = 60
_FORWARDED_FOR = "X-Forwarded-For"
_MADE_UP_ADDRESS = "192.0.2.1"
"""Of the range for documentation (RFC 5737), so nobody comes from there."""


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """200 whenever the process answers. To `flask check` it also says what proxies have told us."""
    return {"status": "ok"} | (_forwarded() if _is_probe() else {})


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """200 if the database can be reached and this code may run on its schema, else 503.

    It may run on its own schema, and on a newer one that allows older code.
    """
    try:
        may_run = may_run_on_schema()
    except SQLAlchemyError:
        quiet.warn("database", AWAY)
        return {"status": "database not reachable"}, 503
    if not may_run:
        quiet.warn("database", OTHER_SCHEMA)
        return {"status": "schema not current: run 'flask --app wsgi db upgrade'"}, 503
    quiet.over("database", "The database can be used again")
    return {"status": "ready"}


def probe_headers() -> Mapping[str, str]:
    """The headers of a request to /healthz that asks what proxies add on its way. Only who has SECRET_KEY can ask."""
    return {_PROBE: _signer().sign("probe").decode(), _FORWARDED_FOR: _MADE_UP_ADDRESS}


def _is_probe() -> bool:
    try:
        _signer().unsign(request.headers.get(_PROBE, ""), max_age=_PROBE_SECONDS)
    except BadSignature:
        return False
    return True


def _forwarded() -> dict[str, object]:
    """How many proxies added an address, how many we trust, and the path under which they say that we are mounted."""
    addresses = [address.strip() for address in request.headers.get(_FORWARDED_FOR, "").split(",")]
    # A proxy either appends an address to the header, or replaces the header by one address.
    added = addresses[::-1].index(_MADE_UP_ADDRESS) if _MADE_UP_ADDRESS in addresses else len(addresses)
    settings = current_app.config["SETTINGS"]
    return {"proxies": added, "trusted_proxies": settings.trusted_proxies, "root": request.script_root}


def _signer() -> TimestampSigner:
    keys = [*reversed(current_app.config["SECRET_KEY_FALLBACKS"]), current_app.config["SECRET_KEY"]]
    return TimestampSigner(keys, salt="proxy-probe", key_derivation="hmac", digest_method=hashlib.sha256)
