"""The application's clock. It sets the times that people see and the moments at which links expire.

Leases and due times use the database's clock instead (`app.models.types.db_now`), so that machines whose clocks
disagree never both believe that a mail is theirs.
"""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The current moment, as an aware datetime in UTC."""
    return datetime.now(UTC)
