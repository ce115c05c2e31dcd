"""CSV cells that hold text written by other people."""

from __future__ import annotations

import re
from typing import Final

# A formula may begin at the start of a cell. It may also begin after a character that a spreadsheet with another
# separator than ours takes for the start of a cell. Excel accepts the full-width forms as well.
_FORMULA_START: Final = re.compile(r"(?:\A|(?<=[,;\t\r\n]))(?=[\t\r\n]|\s*[=+\-@＝＋－＠])")


def escape_formula(cell: str) -> str:
    """Return the cell with an apostrophe before every place where a spreadsheet could read a formula.

    Use it in every CSV file that holds cells written by other people (CWE-1236).
    """
    return _FORMULA_START.sub("'", cell)
