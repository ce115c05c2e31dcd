"""The application's clock: what people see, and what links expire by.

Leases and due times go by the database's own clock instead, `app.models.types.db_now`, so that machines whose clocks
disagree never both believe that a mail is theirs.
"""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)
