"""The check of `flask check` whether anything is sent from here."""

from __future__ import annotations

from app.core.checks import CheckResult, ok, warn
from app.queue.sending import stopped


def sending() -> CheckResult:
    """Never fails: a service on a copy of the database may start."""
    found = stopped()
    return ok("Mails and webhooks are sent.") if found is None else warn(found.sentence)
