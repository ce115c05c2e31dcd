"""Finds what a report says to people about one recipient."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MOST_LINES = 2000
_LONGEST = 1000
# Where servers append the message itself to their own words: a line of dashes with one of these words, or a header.
_END = re.compile(
    r"--.*\b(copy|original|below|returned|message|header)|(received|return-path|message-id|mime-version):",
    re.IGNORECASE,
)


def line_naming(prose: str, addresses: Iterable[str]) -> str | None:
    """The line that names a recipient, with the lines that belong to it. None without one.

    `addresses`: in lower case, and in the order of preference. What belongs to a line is indented more than it is. A
    line that names nobody else and says nothing has all lines up to the next blank one.
    """
    lines = _own_lines(prose)
    for address in addresses:
        names = re.compile(rf"(?<![\w.+-]){re.escape(address)}(?![\w-]|\.\w)", re.IGNORECASE)
        for number, line in enumerate(lines):
            if names.search(line):
                return _with_its_lines(lines, number, is_bare=not re.search(r"\w", names.sub("", line)))
    return None


def _own_lines(prose: str) -> list[str]:
    lines = []
    for line in prose.splitlines()[:_MOST_LINES]:
        cut = line[:_LONGEST].expandtabs()
        if _END.match(cut.strip()):
            break
        lines.append(cut)
    return lines


def _with_its_lines(lines: Sequence[str], number: int, *, is_bare: bool) -> str:
    first, found = lines[number], list[str]()
    for line in lines[number + 1 :]:
        if not line.strip() or not (_indent(line) > _indent(first) or (is_bare and _indent(line) == _indent(first))):
            break
        found.append(line.strip())
    name = first.strip()
    return " ".join([name if not is_bare or not found else f"{name.rstrip(':')}:", *found])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
