"""Reads a text through its spelling: escapes are decoded, and case and width of letters are ignored.

Whoever quotes a text may spell it differently. A part that is found in the reading can be cut out of the original.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import unescape
from itertools import repeat

_DEPTH = 4
"""How many times a text may have been escaped. An example of two: `%252E` is `%2E`, which is a dot."""
_HEX = "[0-9A-Fa-f]"
_ESCAPE = re.compile(
    rf"""
    [%=](?P<byte>{_HEX}{{2}})
    | \\(?:x|u00|U000000)(?P<escaped>{_HEX}{{2}})
    | \\[ux]\{{0{{0,6}}(?P<braced>{_HEX}{{1,2}})\}}
    | (?<![\w.-])0[xX](?P<number>{_HEX}{{2}})(?![\w.-])[,;]?
    | \\(?P<octal>[01]?[0-7]{{2}})
    | (?P<entity>&(?:\#[0-9]{{1,12}};?|\#[xX]{_HEX}{{1,12}};?|[A-Za-z]{{2,32}};))
    """,
    re.VERBOSE,
)
_UNUSUAL = re.compile(r"[^\x00-\x7f]")

Range = tuple[int, int]
"""A part of a text: the index of its beginning, and the index after its end."""


@dataclass(frozen=True)
class Reading:
    """The meaning of a text. `chars`: its characters. `places`: the range of the original text that each stands for."""

    chars: str
    places: Sequence[Range]

    def only(self, is_kept: Callable[[str], bool]) -> Reading:
        """The reading with only the characters that `is_kept` accepts."""
        kept = [n for n, char in enumerate(self.chars) if is_kept(char)]
        return Reading("".join(self.chars[n] for n in kept), [self.places[n] for n in kept])

    def written(self, part: Range) -> Range:
        """The range of the original text that a part of the reading stands for."""
        begin, end = part
        return self.places[begin][0], self.places[end - 1][1]


def read(text: str) -> Reading:
    """Read a text without case and width. Decodes percent-encoding, quoted-printable, and escapes of HTML and code."""
    reading = Reading(text, [(n, n + 1) for n in range(len(text))])
    for _time in range(_DEPTH):
        decoded = _replaced(reading, _ESCAPE, _meaning)
        if decoded is reading:
            break
        reading = decoded
    reading = _replaced(reading, _UNUSUAL, lambda found: unicodedata.normalize("NFKC", found[0]).casefold())
    return Reading(reading.chars.lower(), reading.places)


def without(text: str, parts: Iterable[Range], mark: str) -> str:
    """The text with a mark in place of each part. The parts may overlap."""
    pieces, done = [], 0
    for begin, end in sorted(parts):
        if begin >= done:
            pieces += [text[done:begin], mark]
        done = max(done, end)
    return "".join([*pieces, text[done:]])


def _replaced(reading: Reading, pattern: re.Pattern[str], meaning: Callable[[re.Match[str]], str]) -> Reading:
    """The reading with each match of a pattern replaced by its meaning. Returns `reading` itself if nothing matches."""
    pieces: list[str] = []
    places: list[Range] = []
    done = 0
    for found in pattern.finditer(reading.chars):
        means = meaning(found)
        pieces += [reading.chars[done : found.start()], means]
        places += reading.places[done : found.start()]
        places += repeat(reading.written(found.span()), len(means))
        done = found.end()
    if not done:
        return reading
    return Reading("".join([*pieces, reading.chars[done:]]), [*places, *reading.places[done:]])


def _meaning(found: re.Match[str]) -> str:
    digits = found[found.lastgroup or 0]
    match found.lastgroup:
        case "entity":
            return unescape(digits)
        case "octal":
            return chr(int(digits, 8))
        case _:
            return chr(int(digits, 16))
