"""What the workbook reader answers, as JSON: an `Answer` for a workbook that was read, else a `Refusal`."""

from __future__ import annotations

from typing import Final, TypedDict, final

BROKEN: Final = "broken"
ENCRYPTED: Final = "encrypted"
TOO_LARGE: Final = "too_large"
OUT_OF_MEMORY: Final = 3
"""The process's exit code if Python itself finds no memory. If a library finds none, the process is aborted."""

# The same white space as in app/core/text.py, of which this program knows nothing. A test compares them.
BLANKS: Final = " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


@final
class Answer(TypedDict):
    """The first worksheet of a workbook.

    `rows` are (line, cells) of the first rows that are not blank, at most `MAX_ROWS`, with at most `MAX_COLUMNS` cells
    each. A line is the number of a row in the sheet, from 1; the first cell is that of column A. `unsaved` are
    (line, column from 0) of formulas without a result, whose text is in the cell. `hidden` are the lines of hidden rows
    among `rows`. `beyond` is the name of the first cell of these rows that is further right and not blank, or "".
    """

    rows: list[tuple[int, list[str]]]
    unsaved: list[tuple[int, int]]
    hidden: list[int]
    beyond: str
    sheet: str
    sheet_is_hidden: bool
    other_sheets: list[str]


@final
class Refusal(TypedDict):
    """A file that cannot be read. `refused` is one of the words above.

    `why` is a key of `_WHY` (app/imports/workbook.py), and `cell` the cell that it speaks of, or "".
    """

    refused: str
    why: str
    cell: str


class Unreadable(Exception):
    """The workbook cannot be read. Never leaves `reading.read`."""

    def __init__(self, refused: str, why: str, cell: str = "") -> None:
        super().__init__(why)
        self.refusal = Refusal(refused=refused, why=why, cell=cell)


def cell_name(line: int, column: int) -> str:
    """The name of a cell in a spreadsheet. `line` counts from 1 and `column` from 0: (3, 27) is AB3."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{line}"
