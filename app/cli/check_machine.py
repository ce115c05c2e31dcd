"""Checks of `flask check`: settings, database, schema, clock and base URL."""

from __future__ import annotations

from flask import current_app
from sqlalchemy import select

from app.accounts.security.relying_party import relying_party
from app.core.checks import CheckResult, fail, ok, warn
from app.core.clock import now
from app.db.schema import OTHER_SCHEMA, may_run_on_schema, wrong_encoding
from app.extensions import db
from app.models.types import db_now
from app.net.dialer import any_address
from app.net.http import Unreachable, send
from config import Settings

_URL_SECONDS = 5.0
_CLOCK_SECONDS = 5.0


def settings() -> CheckResult:
    """The process would not have started with a wrong one: `wsgi.py` prints that line."""
    return ok("All settings can be read.")


def database() -> CheckResult:
    db.session.execute(select(1))
    if wrong := wrong_encoding(db.session.connection()):
        return fail(wrong)
    name = "PostgreSQL" if db.engine.dialect.name == "postgresql" else "SQLite"
    return ok(f"{name} answers.")


def schema() -> CheckResult:
    if may_run_on_schema():
        return ok("The schema fits this code.")
    return fail(f"{OTHER_SCHEMA}.")


def clock() -> CheckResult:
    """Links end by this machine's clock, leases by the database's."""
    off = abs((db.session.scalars(select(db_now())).one() - now()).total_seconds())
    if off <= _CLOCK_SECONDS:
        return ok("This machine and the database have the same time.")
    return warn(f"This machine's clock and the database's differ by {off:.0f} s. Set both by NTP.")


def base_url() -> CheckResult:
    """Whether the links that we mail can be opened, as far as can be told from here."""
    settings: Settings = current_app.config["SETTINGS"]
    url = settings.public_base_url
    if settings.is_public_url_local:
        return warn(f"Links in emails begin with {url}, which works on this machine only. Set PUBLIC_BASE_URL.")
    if not settings.is_https:
        return warn(f"{url} is not https, so passwords and sessions can be read on the way.")
    try:
        answer = send("GET", f"{url}/healthz", permits=any_address, seconds=_URL_SECONDS)
    except Unreachable as error:
        return warn(f"{url} cannot be reached from here. {error.reason}")
    if answer.status != 200 or "x-imported-clients" not in answer.headers:
        return warn(f"{url} is answered by something else (status {answer.status} at /healthz).")
    return ok(f"{url} answers.")


def passkeys() -> CheckResult:
    """Whether browsers make passkeys for the address of this service."""
    site = relying_party()
    if site is None:
        return warn("Nobody can add a passkey: PUBLIC_BASE_URL needs a host name, no IP address, and https.")
    return ok(f"Passkeys are bound to {site.id}.")
