"""Which rows are handed on, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from workbook_reader.answers import BLANKS, TOO_LARGE, Answer, Unreadable, cell_name
from workbook_reader.limits import MAX_COLUMNS, MAX_ROWS, MAX_TEXT


def answer(
    rows: Iterable[tuple[int, int, list[str]]],
    *,
    is_hidden: Callable[[int], bool],
    unsaved: Collection[tuple[int, int]] = (),
    sheet: str,
    sheet_is_hidden: bool,
    other_sheets: list[str],
) -> Answer:
    """The answer for a sheet. `rows` are (line, column of the first cell, cells) in the order of their lines."""
    handed_on: list[tuple[int, list[str]]] = []
    beyond = ""
    length = 0
    for line, first, cells in rows:
        held = [column for column, cell in enumerate(cells, first) if cell.strip(BLANKS)]
        if not held:
            continue
        beyond = beyond or next((cell_name(line, column) for column in held if column >= MAX_COLUMNS), "")
        kept = [*[""] * min(first, MAX_COLUMNS), *cells][:MAX_COLUMNS]
        length += sum(map(len, kept))
        if length > MAX_TEXT:
            raise Unreadable(TOO_LARGE, "text")
        handed_on.append((line, kept))
        if len(handed_on) == MAX_ROWS:
            break
    lines = [line for line, _cells in handed_on]
    return Answer(
        rows=handed_on,
        unsaved=sorted(unsaved),
        hidden=list(filter(is_hidden, lines)),
        beyond=beyond,
        sheet=sheet,
        sheet_is_hidden=sheet_is_hidden,
        other_sheets=other_sheets,
    )
