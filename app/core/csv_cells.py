"""Cells of CSV files that hold what others have written."""

from __future__ import annotations

import re
from typing import Final

# At the start of a cell, and after whatever might be taken for the start of one by a spreadsheet
# that splits at another separator than ours. With the full-width forms, which Excel takes as well.
_FORMULA_START: Final = re.compile(r"(?:\A|(?<=[,;\t\r\n]))(?=[\t\r\n]|\s*[=+\-@＝＋－＠])")


def escape_formula(cell: str) -> str:
    """Return a cell that no spreadsheet runs as a formula: with an apostrophe where one begins.

    For every CSV file that others' cells are written to (CWE-1236).
    """
    return _FORMULA_START.sub("'", cell)
