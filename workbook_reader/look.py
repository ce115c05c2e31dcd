"""What a look at a sheet's XML finds, beside what calamine reads from it.

calamine gives an error of a formula (#N/A) and a formula without a result as empty cells, does not tell which rows are
hidden, and allocates the whole rectangle around everything in the sheet.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from workbook_reader.answers import TOO_LARGE, Unreadable, cell_name
from workbook_reader.limits import MAX_AREA, MAX_COLUMNS, MAX_ROWS

_NOWHERE: Final = (1 << 20) + 1  # one more than the lines of a sheet
_SHEET_COLUMNS: Final = 16_384


class SheetLook:
    """Lines count from 1, columns from 0. `lost` are the texts that calamine leaves out, by line and column."""

    def __init__(self) -> None:
        self.lost: dict[int, dict[int, str]] = {}
        self.unsaved: set[tuple[int, int]] = set()
        self._hidden: list[list[int]] = []  # [first line, first line after], in order
        self._top = self._left = _NOWHERE
        self._bottom = self._right = (-1, -1)  # the lowest cell and the one furthest right, as (line, column)

    def is_hidden(self, line: int) -> bool:
        place = bisect_right(self._hidden, line, key=lambda hidden: hidden[0])
        return place > 0 and line < self._hidden[place - 1][1]

    def hide(self, line: int, count: int = 1) -> None:
        """Note that this line, and as many as `count` in all, are hidden."""
        if self._hidden and self._hidden[-1][1] == line:
            self._hidden[-1][1] += count
        else:
            self._hidden.append([line, line + count])

    def occupy(self, line: int, column: int, lines: int = 1, columns: int = 1) -> None:
        """Note that these cells are not empty."""
        self._top = min(self._top, line)
        self._left = min(self._left, column)
        last = min(line + lines, _NOWHERE) - 1, min(column + columns, _SHEET_COLUMNS) - 1
        if last[0] > self._bottom[0]:
            self._bottom = last
        if last[1] > self._right[1]:
            self._right = last

    def lose(self, line: int, column: int, text: str, *, is_unsaved: bool = False) -> None:
        """Note the text of a cell that calamine gives as empty. Further rows and columns than are read are left out."""
        row = self.lost.get(line)
        if row is None:
            if len(self.lost) == MAX_ROWS:
                return
            row = self.lost[line] = {}
        if column < MAX_COLUMNS or not any(other >= MAX_COLUMNS for other in row):
            row[column] = text
            if is_unsaved:
                self.unsaved.add((line, column))

    def check_area(self) -> None:
        """Refuse a sheet with something so far from the rest that its rectangle is too large. Raises `Unreadable`."""
        lines, columns = max(0, self._bottom[0] - self._top + 1), self._right[1] - self._left + 1
        if lines * columns > MAX_AREA:
            far = self._right if columns > MAX_COLUMNS else self._bottom
            raise Unreadable(TOO_LARGE, "far", cell_name(*far))
