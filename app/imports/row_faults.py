"""What is wrong with a row whose cells do not fit the columns. Pure."""

from __future__ import annotations

import re
from typing import Final

from app.core.text import BLANKS, is_email
from app.core.text_errors import TextError
from app.imports.csv_lines import separator_name, without_blank_end
from app.imports.list_errors import COMPANY_NAME, EMAIL, SHOWN_LENGTH, ListError, error_of_text, make_error

_SEPARATORS: Final = ",;\t|"
# "firm.co" is a domain too, but where "uk" is the next cell, a comma was typed for the dot of "firm.co.uk".
_IN_THE_DOMAIN: Final = re.compile(
    rf"\.(?:co|ac|ne|or|go)[{BLANKS}]*\.[{BLANKS}]*[a-z]{{2}}[{BLANKS}]*\Z", re.IGNORECASE
)


def row_fault(line: int, cells: list[str], delimiter: str) -> ListError | None:
    """The error of a row whose name and address are not in the first two cells, or None if that cannot be told.

    `cells` is the row without the columns that are not read. `delimiter` is "" in a workbook.
    """
    own = without_blank_end(cells)
    row = _as_shown(own, delimiter)
    value = row[: SHOWN_LENGTH + 1]
    if len(row) > 4 * SHOWN_LENGTH or "@" not in row:
        return None
    if not delimiter:
        is_one_cell = len(own) == 1 and any(_holds_both(row, separator) for separator in (*_SEPARATORS, None))
        return make_error("row_one_cell", line, COMPANY_NAME, value) if is_one_cell else None
    if len(own) == 1 and _holds_both(row, delimiter):
        return make_error("row_one_cell", line, COMPANY_NAME, value)
    for other in _SEPARATORS.replace(delimiter, ""):
        if _holds_both(row, other) if len(own) == 1 else _is_pair(row, other):
            found, wanted = separator_name(other), separator_name(delimiter)
            return make_error("row_separator", line, COMPANY_NAME, value, found=found, wanted=wanted)
    if len(own) == 1 and _holds_both(row, None):
        return make_error("row_one_cell", line, COMPANY_NAME, value)
    if len(own) > 2 and "@" in own[1] and (not is_email(own[1]) or _IN_THE_DOMAIN.search(".".join(own[1:]))):
        address = ".".join(cell.strip(BLANKS) for cell in own[1:])
        if is_email(address):
            fault = TextError("email_comma_in_domain", mark=delimiter)
            return error_of_text(fault, line, EMAIL, delimiter.join(own[1:]))
    return None


def cell_count_fault(line: int, cells: list[str], delimiter: str) -> ListError:
    """The error of a row with one cell, or with more than two."""
    if len(cells) < 2:
        return make_error("row_too_few_cells", line, EMAIL, cells[0], separator=delimiter)
    value, count = _as_shown(cells[:SHOWN_LENGTH], delimiter), str(len(cells))
    return make_error("row_too_many_cells", line, COMPANY_NAME, value, in_workbook=not delimiter, count=count)


def _as_shown(cells: list[str], delimiter: str) -> str:
    return (delimiter or ", ").join(cells)


def _holds_both(text: str, separator: str | None) -> bool:
    """Whether a cell holds one address and something else, with a separator (or white space) between them."""
    pieces = [piece for piece in text.split(separator) if piece.strip(BLANKS + '"')]
    return len(pieces) > 1 and sum("@" in piece for piece in pieces) == 1


def _is_pair(row: str, separator: str) -> bool:
    """Whether a row that this separator splits is a name and an address."""
    pieces = without_blank_end(row.split(separator))
    return len(pieces) == 2 and bool(pieces[0].strip(BLANKS)) and "@" not in pieces[0] and is_email(pieces[1])
