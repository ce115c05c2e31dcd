"""Times as people say them: "3 days ago", "in 2 days"."""

from __future__ import annotations

from datetime import datetime, timedelta

from flask_babel import format_timedelta
from flask_babel import gettext as _

from app.clock import now

_MINUTE = timedelta(minutes=1)
# Of two units the larger is used from here on: "in 7 days" and "30 hours ago" say more than "1 week" and "1 day".
_UNITS_BEFORE_NEXT = 2.0


def relative(at: datetime) -> str:
    """How long ago, or how soon, a moment is, in the reader's language."""
    distance = at - now()
    if -_MINUTE < distance <= timedelta(0):
        return _("just now")
    return str(format_timedelta(distance, add_direction=True, threshold=_UNITS_BEFORE_NEXT))
