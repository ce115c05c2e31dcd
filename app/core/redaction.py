"""Redaction: what others may be told of a text: no link that works, no whole e-mail address."""

from __future__ import annotations

import re

from app.core.links import cut_links

# Rather too much than too little of what stands before the @. It begins where nothing of it can stand before it, so
# that a text is gone through once, however long it is without an @.
_LOCAL = r"[^\s@<>\"(),:;\[\]]"
_ADDRESS = re.compile(rf"""(?<!{_LOCAL})(?:"[^"\s][^"\n]*"|('?)({_LOCAL}){_LOCAL}*)(@|%40)(?=[\w\[])""")


def redact(text: str) -> str:
    """The text with our links cut, and with `i…@nordwind.test` in place of each address."""
    return _ADDRESS.sub(lambda found: f"{found[1] or ''}{found[2] or ''}…{found[3]}", cut_links(text))
