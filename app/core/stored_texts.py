"""Sentences that are stored in English and told in their reader's language: why a mail, a server or a webhook failed.

Whoever writes such a sentence makes it of a text that `stored` has marked. Whoever shows it calls `retold`, which finds
that text again by its words. So nothing but the sentence itself is stored, and a log can be read in English.
"""

from __future__ import annotations

import re

from flask_babel import gettext

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_texts: dict[str, re.Pattern[str]] = {}


def stored(text: str) -> str:
    """Mark an English text, which may have placeholders such as `%(fault)s`, for the translators and for `retold`.

    Returns it unchanged. (`pybabel extract -k stored` finds it.)
    """
    pieces = _PLACEHOLDER.split(text)
    # Every second piece is the name of a placeholder.
    pattern = "".join(re.escape(piece) if n % 2 == 0 else f"(?P<{piece}>.+?)" for n, piece in enumerate(pieces))
    _texts[text] = re.compile(pattern, re.DOTALL)
    return text


def retold(sentence: str) -> str:
    """A stored sentence in the reader's language, with what fills its placeholders. Other texts come back unchanged."""
    if sentence in _texts:
        return str(gettext(sentence))
    for text, pattern in _texts.items():
        found = pattern.fullmatch(sentence)
        if found and found.groupdict():
            values = {name: retold(value) for name, value in found.groupdict().items()}
            return str(gettext(text)) % values
    return sentence
