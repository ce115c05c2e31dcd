"""The header of a client list: which ones are accepted. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from app.core.csv_cells import EXPORT_COLUMNS
from app.core.text import BLANKS
from app.imports.csv_lines import without_blank_end
from app.imports.file_faults import INVISIBLE
from app.imports.list_errors import COMPANY_NAME, EMAIL

PROBLEM: Final = "problem"
PAIRS: Final = ((COMPANY_NAME, EMAIL), ("company name", "email address"))
_AROUND: Final = f"[{re.escape(BLANKS)}{INVISIBLE}\\r\\n\\x0b\\x0c\\x85\u2028\u2029]+"
_ENDS: Final = re.compile(rf"\A{_AROUND}|{_AROUND}\Z")


@dataclass(frozen=True, slots=True)
class Header:
    """An accepted header: the number of its columns, and whether a column `problem` of ours follows them.

    There are two columns, or those of our export, of which only the first two are read.
    """

    width: int
    has_problem_column: bool


def visible(cell: str) -> str:
    """A cell without the white space and the invisible characters around it."""
    return _ENDS.sub("", cell)


def names_of(cells: list[str]) -> list[str]:
    """The names in a header as they are compared, without the empty columns on its right."""
    return without_blank_end([visible(cell).lower() for cell in cells])


def header_of(cells: list[str]) -> Header | None:
    """The header that these cells are, or None if they are none."""
    names = names_of(cells)
    for columns in (EXPORT_COLUMNS, *PAIRS):
        width = len(columns)
        if tuple(names[:width]) == columns and names[width:] in ([], [PROBLEM]):
            return Header(width, len(names) > width)
    return None
