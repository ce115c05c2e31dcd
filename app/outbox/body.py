"""The texts of mails, in the form in which they go over the wire.

Mails of one kind differ in a few words only. All others are encoded once, by `Gaps`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import NamedTuple

LINE_LENGTH = 998
"""The most octets of a line, without its end (RFC 5322, 2.1.1)."""

# Private characters, which no name may hold.
_MARK = re.compile("\ue000([a-z_]+)\ue001")


def gap(name: str) -> str:
    """What stands in a text where a value of this name (a-z and _) belongs."""
    return f"\ue000{name}\ue001"


class Encoded(NamedTuple):
    """A text as bytes with CRLF, and by which Content-Transfer-Encoding (RFC 2045, 6)."""

    encoding: str
    content: bytes


def encoded(text: str) -> Encoded:
    """A text as it is where any server passes it on so, else in quoted-printable."""
    lines = _with_lf(text).split("\n")
    if text.isascii() and max(map(len, lines)) <= LINE_LENGTH:
        return Encoded("7bit", "\r\n".join(lines).encode("ascii"))
    return Encoded("quoted-printable", _quoted(_with_lf(text)))


class Gaps:
    """A text with a `gap` wherever a single mail has its own value."""

    def __init__(self, text: str) -> None:
        self._pieces = _MARK.split(_with_lf(text))  # text, name, text, name, …, text
        texts = self._pieces[::2]
        # In quoted-printable each text and each value has lines of bytes for itself; where a line of the text goes on
        # after one, the break between them is a soft one.
        self._quoted = [_quoted(piece, goes_on=_goes_on_after(piece)) for piece in texts[:-1]] + [_quoted(texts[-1])]
        goes_on = [not piece.startswith("\n") for piece in texts[1:]]
        if goes_on and not texts[-1]:
            goes_on[-1] = False
        self._gaps = list(zip(self._pieces[1::2], goes_on, strict=True))
        self._wanted = set(self._gaps)

    def filled(self, values: Mapping[str, str]) -> str:
        """The whole text with these values."""
        filled = list(self._pieces)
        filled[1::2] = [values[name] for name in self._pieces[1::2]]
        return "".join(filled)

    def encoded(self, values: Mapping[str, str]) -> Encoded:
        """The same in quoted-printable."""
        filled = [b""] * len(self._pieces)
        filled[::2] = self._quoted
        # Most values are in a text several times.
        quoted = {one: _quoted(_with_lf(values[one[0]]), goes_on=one[1]) for one in self._wanted}
        filled[1::2] = [quoted[one] for one in self._gaps]
        return Encoded("quoted-printable", b"".join(filled))


class Filled(NamedTuple):
    """A text with gaps, and what belongs into them."""

    gaps: Gaps
    values: Mapping[str, str]

    def __str__(self) -> str:
        return self.gaps.filled(self.values)

    def encoded(self) -> Encoded:
        """The text as bytes."""
        return self.gaps.encoded(self.values)


def _with_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _goes_on_after(piece: str) -> bool:
    return piece != "" and not piece.endswith("\n")


def _quoted(text: str, *, goes_on: bool = False) -> bytes:
    # With a letter more, there is room for the soft break, and white space does not stand at an end.
    content = binascii.b2a_qp(f"{text}x".encode())[:-1] + b"=\n" if goes_on else binascii.b2a_qp(text.encode())
    return content.replace(b"\n", b"\r\n")
