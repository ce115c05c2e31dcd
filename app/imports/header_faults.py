"""What is wrong with a header that is not accepted, in the words of a spreadsheet. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from flask_babel import gettext as _

from app.core.text import BLANKS
from app.imports.csv_lines import OTHER_SEPARATORS, SEPARATORS, first_row, lines, separator_name, without_blank_end
from app.imports.file_faults import FileError
from app.imports.header import PAIRS, header_of, names_of, visible
from app.imports.list_errors import SHOWN_LENGTH

# A header that is not found so far is not looked for any further.
_SEARCHED_LENGTH: Final = 64 * 1024
_NAMED_CELLS: Final = 5
_SEPARATOR_LINE: Final = re.compile(rf"sep=(.?)[{BLANKS}]*", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[^\s@]@[^\s@]")
_CELL_ENDS: Final = re.compile(r"[,;\t|]")


def header_fault(text: str, separators: str, first_line: int) -> FileError:
    """Why none of these separators gives a header. `text` is not blank and begins on `first_line`."""
    text = text[:_SEARCHED_LENGTH]
    found = text.lstrip(BLANKS + "\r\n")[:SHOWN_LENGTH].splitlines()[0]
    rows = [(line, cells) for line, cells in (first_row(text, one, first_line) for one in separators) if cells]
    return (
        _other_separator(text, separators, first_line, found)
        or _in_one_cell(rows)
        or _swapped(rows)
        or _extra_columns(rows)
        or next(filter(None, (_not_first(partial(lines, text, one, first_line), found) for one in separators)), None)
        or (FileError("header_missing", found=found) if _ADDRESS.search(found) else None)
        or (_wrong_names(rows) if rows else FileError("file_quotes", at=str(first_line)))
    )


def sheet_header_fault(rows: list[tuple[int, list[str]]]) -> FileError:
    """Why the first of these rows of a workbook, of which none is blank, is no header."""
    first = rows[:1]
    found = ", ".join(without_blank_end(first[0][1]))[:SHOWN_LENGTH].strip(BLANKS + "\r\n")
    return (
        _in_one_cell(first)
        or _swapped(first)
        or _extra_columns(first)
        or _not_first(lambda: rows, found)
        or (FileError("header_missing", found=found) if _ADDRESS.search(found) else None)
        or _wrong_names(first)
    )


def _other_separator(text: str, separators: str, first_line: int, found: str) -> FileError | None:
    wanted = _listed_as_choice(separators)
    named = _SEPARATOR_LINE.fullmatch(found)
    if named:
        return FileError(
            "header_separator", found=separator_name(named[1]) if named[1] else _("not named"), wanted=wanted
        )
    for other in SEPARATORS + OTHER_SEPARATORS:
        _line, cells = first_row(text, other, first_line)
        if other not in separators and (header_of(cells) or _is_swapped(names_of(cells))):
            return FileError("header_separator", found=separator_name(other), wanted=wanted)
    return None


def _in_one_cell(rows: list[tuple[int, list[str]]]) -> FileError | None:
    for line, cells in rows:
        names = names_of(cells)
        pieces = [visible(piece).strip('"').strip(BLANKS) for piece in _CELL_ENDS.split(names[0])] if names else []
        if len(names) == 1 and tuple(pieces) in PAIRS:
            return FileError(
                "header_one_cell", found=visible(cells[0]), first=pieces[0], second=pieces[1], at=str(line)
            )
    return None


def _swapped(rows: list[tuple[int, list[str]]]) -> FileError | None:
    return FileError("header_swapped") if any(_is_swapped(names_of(cells)) for _line, cells in rows) else None


def _is_swapped(names: list[str]) -> bool:
    return tuple(names[1::-1]) in PAIRS


def _extra_columns(rows: list[tuple[int, list[str]]]) -> FileError | None:
    """Both names of a pair in their order, and others beside them."""
    for line, cells in rows:
        names = names_of(cells)
        for first, second in PAIRS:
            if first in names and second in names[names.index(first) + 1 :]:
                own = {names.index(first), names.index(second, names.index(first) + 1)}
                others = [column for column, name in enumerate(names) if name and column not in own]
                if others:
                    columns = [_letters(column) for column in range(len(names)) if column not in own]
                    return FileError("header_extra", cells=_cells_named(others, cells, line), columns=_listed(columns))
    return None


def _not_first(numbered: Callable[[], Iterable[tuple[int, list[str]]]], found: str) -> FileError | None:
    try:
        line = next((line for line, cells in numbered() if header_of(cells)), None)
    except FileError:
        return None
    return None if line is None else FileError("header_not_first", at=str(line), found=found)


def _wrong_names(rows: list[tuple[int, list[str]]]) -> FileError:
    line, cells = max(rows, key=lambda row: min(len(names_of(row[1])), 2))
    names = [*names_of(cells), "", ""]
    columns = range(max(len(names) - 2, 2))
    pair = max(PAIRS, key=lambda pair: (names[0] == pair[0]) + (names[1] == pair[1]))
    is_mixed = all(names[column] in {one[column] for one in PAIRS} for column in (0, 1))
    wrong = [column for column in columns if is_mixed or column > 1 or names[column] != pair[column]]
    wrong = [column for column in wrong if column < 2 or names[column]]
    return FileError("header_name", cells=_cells_named(wrong, cells, line))


def _cells_named(columns: list[int], cells: list[str], line: int) -> str:
    """Cells as a spreadsheet names them, with what they hold."""
    described = []
    for column in columns:
        held = visible(cells[column])[:50] if column < len(cells) else ""
        cell = f"{_letters(column)}{line}"
        described.append(
            _("%(cell)s is “%(text)s”", cell=cell, text=held) if held else _("%(cell)s is empty", cell=cell)
        )
    return _listed(described)


def _listed_as_choice(separators: str) -> str:
    """One separator, or two of which either will do."""
    first, *others = map(separator_name, separators)
    return _("%(first)s or %(second)s", first=first, second=others[0]) if others else first


def _listed(parts: list[str]) -> str:
    return ", ".join([*parts[:_NAMED_CELLS], *(["…"] if len(parts) > _NAMED_CELLS else [])])


def _letters(column: int) -> str:
    """The name of a column: A to Z, then AA."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
