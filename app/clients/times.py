"""Times as people say them: "3 days ago", "in 2 days"."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from babel import Locale
from babel.dates import format_timedelta
from flask_babel import get_locale
from flask_babel import gettext as _

from app.clock import now

_MINUTE = timedelta(minutes=1)
# Of two units the larger is used from here on: "in 7 days" and "30 hours ago" say more than "1 week" and "1 day".
_UNITS_BEFORE_NEXT = 2.0
_UNITS = [timedelta(days=days) for days in (365, 30, 7, 1)] + [timedelta(hours=1), _MINUTE]


def relative(at: datetime) -> str:
    """How long ago, or how soon, a moment is, in the reader's language."""
    distance = at - now()
    if -_MINUTE < distance <= timedelta(0):
        return _("just now")
    unit = next((unit for unit in _UNITS if abs(distance) >= _UNITS_BEFORE_NEXT * unit), timedelta(seconds=1))
    return _in_words(round(distance / unit) * unit, get_locale())


@lru_cache(maxsize=2000)
def _in_words(distance: timedelta, locale: Locale) -> str:
    """Kept, because a table says dozens of them, and there are few: a distance is a round one."""
    return format_timedelta(distance, add_direction=True, threshold=_UNITS_BEFORE_NEXT, locale=locale)
