"""One mail goes to one invitee: whose it is, how it may be refused, and how time goes by meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import time_machine

INVITEE = "info@nordwind.test"
NEVER = "550 5.1.1 nobody of that name here"


def later(**delta: float) -> time_machine.travel:
    """Move the application's clock on; the database's stays."""
    return time_machine.travel(datetime.now(UTC) + timedelta(**delta), tick=True)
