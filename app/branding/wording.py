"""The placeholders of a portal's own subject and greeting: `{company}` and so on. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACEHOLDERS = ("company", "portal", "inviter", "expiry")
"""The invited company, the portal, the person who invites, and the moment until which the link is valid."""

_PLACEHOLDER = re.compile(r"\{([^{}\n]*)\}")
# One letter may follow, as a grammatical ending, because no top-level domain has only one letter.
_TOUCHING = re.compile(
    r"[A-Za-z0-9\u00c0-\u024f](?P<before>\{[^{}\n]*\})|(?P<after>\{[^{}\n]*\})(?:[A-Za-z\u00c0-\u024f]{2}|[:/][\w{])"
)


def unknown_placeholder(text: str) -> str | None:
    """The first unknown name in braces, with its braces, or a stray brace. None if all is well."""
    for found in _PLACEHOLDER.finditer(text):
        if found[1] not in PLACEHOLDERS:
            return found[0]
    rest = _PLACEHOLDER.sub("", text)
    return next((brace for brace in "{}" if brace in rest), None)


def touching_placeholder(text: str) -> str | None:
    """A placeholder whose value could form a link with the text beside it, as `Evil.` would in `{company}com`."""
    found = _TOUCHING.search(text)
    return found and (found["before"] or found["after"])


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with the values of its placeholders filled in."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)
