"""Redaction of texts that others may read: no working link and no whole e-mail address remains."""

from __future__ import annotations

import re

from app.core.links import cut_links

# Matches too much of what stands before the @ rather than too little. It begins only where the character before it
# cannot belong to it, so a text is scanned once, however long it is without an @.
_LOCAL = r"[^\s@<>\"(),:;\[\]]"
_ADDRESS = re.compile(rf"""(?<!{_LOCAL})(?:"[^"\s][^"\n]*"|('?)({_LOCAL}){_LOCAL}*)(@|%40)(?=[\w\[])""")


def redact(text: str) -> str:
    """The text with our links cut, and with each address masked, such as `i…@nordwind.test`."""
    return _ADDRESS.sub(lambda found: f"{found[1] or ''}{found[2] or ''}…{found[3]}", cut_links(text))
