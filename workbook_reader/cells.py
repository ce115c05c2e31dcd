"""Cells as text, as people see them in a spreadsheet without its number formats."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import Final

Value = str | int | float | bool | date | datetime | time | timedelta

# How an .ods file holds a time of more than a day. calamine hands it on as it is.
_DURATION: Final = re.compile(r"PT(\d+)H(\d\d)M(\d\d)(?:[.,]\d+)?S")


def text_of(value: Value) -> str:
    """The text of a cell: 3 for 3.0, 0.3 for 0.1 + 0.2, TRUE, 2026-03-01, 14:30, 36:00:00."""
    if isinstance(value, str):
        return _DURATION.sub(r"\1:\2:\3", value) if _DURATION.fullmatch(value) else value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        # Spreadsheets show at most 15 digits.
        return f"{value:.15G}"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", _precision(value.second))
    if isinstance(value, time):
        return value.isoformat(_precision(value.second))
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return str(value)  # a whole number, or a date: its ISO form


def _precision(seconds: int) -> str:
    return "seconds" if seconds else "minutes"
