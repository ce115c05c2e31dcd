"""Encoded words: how a header holds what is not ASCII (RFC 2047)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

_LINE_LENGTH = 76  # of a line with an encoded word (RFC 2047, 2)
_HEADER = "Reply-To: "  # the longest one with such words
# The header and the frame of the word leave 54 characters, which hold this many octets in base64.
_MOST_OCTETS = 39
_FOLD = "\r\n "


def is_plain(text: str) -> bool:
    """Whether a header can hold a text as it is. "=?" would be taken for the start of an encoded word."""
    return text.isascii() and "=?" not in text


def encoded_words(text: str) -> str:
    """A text for a header in encoded words, one a line. The first line has room for the header's name."""
    return _FOLD.join(_words(text))


def encoded_mailbox(name: str, address: str) -> str:
    """A mailbox whose name is in encoded words. The address gets a line of its own where it makes one too long."""
    words = encoded_words(name)
    length = len(_HEADER + words.rpartition("\n")[2] + f" <{address}>")
    return f"{words}{' ' if length <= _LINE_LENGTH else _FOLD}<{address}>"


def _words(text: str) -> Iterator[str]:
    """Each word holds whole characters, so that a reader can decode it alone (RFC 2047, 5).

    Only the last one has padding: some readers, such as GMime, put words together before they decode them, and stop at
    the first padding.
    """
    while len(text.encode()) > _MOST_OCTETS:
        size = _whole_triples(text)
        # With one ASCII letter before Chinese ones, for example, no number of characters has a multiple of 3 octets.
        yield _base64(text[:size]) if size else _quoted(text[0])
        text = text[size or 1 :]
    if text:
        yield _base64(text)


def _whole_triples(text: str) -> int:
    """The most characters at the start of a text that need no padding and fit into a word; 0 if there are none."""
    octets = best = 0
    for size, character in enumerate(text, start=1):
        octets += len(character.encode())
        if octets > _MOST_OCTETS:
            break
        if octets % 3 == 0:
            best = size
    return best


def _base64(text: str) -> str:
    return f"=?utf-8?b?{b64encode(text.encode()).decode('ascii')}?="


def _quoted(character: str) -> str:
    return f"=?utf-8?q?{''.join(f'={octet:02X}' for octet in character.encode())}?="
