"""Relative times: "3 days ago", "in 2 days"."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from babel import Locale
from babel.dates import format_timedelta
from flask_babel import get_locale
from flask_babel import gettext as _
from markupsafe import Markup

from app.core.clock import now
from app.core.i18n import moment

_MINUTE, _HOUR, _DAY = 60, 60 * 60, 24 * 60 * 60
_UNITS = (365 * _DAY, 30 * _DAY, 7 * _DAY, _DAY, _HOUR, _MINUTE)
# A larger unit is used from this number on: "in 7 days" and "30 hours ago" say more than "1 week" and "1 day".
_UNITS_BEFORE_NEXT = 2


def ago(at: datetime) -> Markup:
    """A time as pages show it: how long ago it was, with the exact time as a tooltip."""
    return _time_element(at, relative(at), moment(at))


def exact(at: datetime) -> Markup:
    """A time as pages show it where the date itself matters."""
    return _time_element(at, moment(at), moment(at))


def relative(at: datetime) -> str:
    """How long ago a time was, or how soon it comes, in the reader's language."""
    seconds = (at - now()).total_seconds()
    if -_MINUTE < seconds <= 0:
        return _("just now")
    unit = next((unit for unit in _UNITS if abs(seconds) >= _UNITS_BEFORE_NEXT * unit), 1)
    return _in_words(round(seconds / unit) * unit, get_locale())


@lru_cache(maxsize=2000)
def _in_words(seconds: int, locale: Locale) -> str:
    """Cached, because a table shows dozens of these, and rounding leaves only few different values."""
    return format_timedelta(seconds, add_direction=True, threshold=_UNITS_BEFORE_NEXT, locale=locale)


@lru_cache(maxsize=2000)
def _time_element(at: datetime, words: str, exactly: str) -> Markup:
    """Cached, because an open page shows the same times again and again."""
    return Markup('<time datetime="{:%Y-%m-%dT%H:%M:%SZ}" data-exact="{}" tabindex="0">{}</time>').format(
        at, exactly, words
    )
