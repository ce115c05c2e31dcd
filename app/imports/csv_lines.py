"""The lines of a text in CSV, split into cells and numbered as in an editor. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

from flask_babel import gettext as _

from app.core.text import BLANKS
from app.core.text_errors import N_
from app.imports.file_faults import MAX_BYTES, FileError

SEPARATORS: Final = ",;"
OTHER_SEPARATORS: Final = "\t|:^~，；、،؛ "
_NAMES: Final = {"\t": N_("a tab"), " ": N_("a space")}

# The csv module's limit is 131,072 characters a cell, for the whole process; a longer cell raises an exception that
# ends the reading. No cell is longer than an accepted file. So with this limit an overlong name or address becomes an
# ordinary error, reported with its line beside the others.
csv.field_size_limit(max(csv.field_size_limit(), MAX_BYTES))


def lines(text: str, delimiter: str, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """The lines of a text, each with the number of the physical line on which it begins. Raises `FileError`."""
    # newline="" keeps line breaks unchanged and ends lines only at LF, CR and CRLF; splitlines() would also end them at
    # U+2028 and others. Without strict=True an unclosed quotation mark would swallow the rows after it.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = first_line
    try:
        for cells in reader:
            yield line, cells
            line = first_line + reader.line_num
    except csv.Error as error:
        raise FileError("file_quotes", line, at=str(line)) from error


def first_row(text: str, delimiter: str, first_line: int) -> tuple[int, list[str]]:
    """Number and cells of the first line that is not blank, or (0, []) if the text cannot be read with this separator.

    With the wrong separator a file with quoted cells may be unreadable, which is not an error of the file.
    """
    try:
        return next((line, cells) for line, cells in lines(text, delimiter, first_line) if not is_blank(cells))
    except (FileError, StopIteration):
        return 0, []


def is_blank(cells: list[str]) -> bool:
    return not "".join(cells).strip(BLANKS)


def without_blank_end(cells: list[str]) -> list[str]:
    """The cells up to the last one that holds something."""
    end = len(cells)
    while end and not cells[end - 1].strip(BLANKS):
        end -= 1
    return cells[:end]


def separator_name(separator: str) -> str:
    """The name of a separator, in the reader's language."""
    return _(_NAMES[separator]) if separator in _NAMES else _("“%(text)s”", text=separator)
