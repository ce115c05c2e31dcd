"""The placeholders that a portal's own subject and greeting may hold: `{company}` and so on. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACEHOLDERS = ("company", "portal", "inviter", "expiry")
"""The company that is invited, the portal, the person who invites, and until when the link is valid."""

_PLACEHOLDER = re.compile(r"\{([^{}\n]*)\}")
# One letter may follow, as an ending does: no domain's last part is so short.
_TOUCHING = re.compile(
    r"[A-Za-z0-9\u00c0-\u024f](?P<before>\{[^{}\n]*\})|(?P<after>\{[^{}\n]*\})(?:[A-Za-z\u00c0-\u024f]{2}|[:/][\w{])"
)


def unknown_placeholder(text: str) -> str | None:
    """What stands in braces in a text and is no placeholder, or a brace that stands alone; None if all is well."""
    for found in _PLACEHOLDER.finditer(text):
        if found[1] not in PLACEHOLDERS:
            return found[0]
    rest = _PLACEHOLDER.sub("", text)
    return next((brace for brace in "{}" if brace in rest), None)


def touching_placeholder(text: str) -> str | None:
    """A placeholder whose value could make a link with what touches it, as `Evil.` would in `{company}com`."""
    found = _TOUCHING.search(text)
    return found and (found["before"] or found["after"])


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its placeholders' values."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)
