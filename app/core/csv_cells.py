"""CSV cells that hold text written by other people, and the columns of the file in which we give them out."""

from __future__ import annotations

import re
from typing import Final

EXPORT_COLUMNS: Final = (
    "company_name",
    "email",
    "status",
    "email_last_sent",
    "health",
    "server_answer",
    "link_expires",
    "registered",
    "joined",
)

# A formula may begin at the start of a cell. It may also begin after a character that a spreadsheet with another
# separator than ours takes for the start of a cell. Excel accepts the full-width forms as well. The guard is an
# apostrophe; text that has apostrophes there already gets one more, so that the reader knows how many are its own.
_START: Final = r"(?:\A|(?<=[,;\t\r\n]))"
_FORMULA: Final = r"(?='*[\t\r\n]|[\s']*[=+\-@＝＋－＠])"
_FORMULA_START: Final = re.compile(_START + _FORMULA)
_GUARD: Final = re.compile(_START + "'" + _FORMULA)


def escape_formula(cell: str) -> str:
    """Return the cell with an apostrophe before every place where a spreadsheet could read a formula.

    Use it in every CSV file that holds cells written by other people (CWE-1236).
    """
    return _FORMULA_START.sub("'", cell)


def unescape_formula(cell: str) -> str:
    """Return the cell as it was before `escape_formula`: without the apostrophes that guard a formula, one each."""
    return _GUARD.sub("", cell) if "'" in cell else cell
