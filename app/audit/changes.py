"""What a line of the audit trail says of a change: numbers, yes or no, and our own words. Texts never stand in it.

A text may be a secret, or name somebody, and a line can never be changed. So of texts it says only that they were set,
changed or removed. Texts that a line needs, such as the host of an endpoint, are the name of its target.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class TextChange(StrEnum):
    """What became of a text."""

    SET = "set"
    CHANGED = "changed"
    REMOVED = "removed"


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """The fields that differ, each with its old and new value. Without secrets: `record` takes it as it is."""
    return {name: [before.get(name), value] for name, value in after.items() if before.get(name) != value}


def redacted(change: Mapping[str, object]) -> dict[str, object]:
    """A change as it may be kept: see above. A list of two is an old and a new value."""
    return {name: _redacted(value) for name, value in change.items()}


def _redacted(value: object) -> object:
    if isinstance(value, list | tuple) and len(value) == 2:
        old, new = value
        if _is_plain(old) and _is_plain(new):
            return [old, new]
        if not old:
            return TextChange.SET.value
        return TextChange.CHANGED.value if new else TextChange.REMOVED.value
    return value if _is_plain(value) else TextChange.CHANGED.value


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | StrEnum)
