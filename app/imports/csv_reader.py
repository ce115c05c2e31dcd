"""The CSV reader of client lists: bytes in, rows or all errors out; and the CSV files that tell the errors.

Pure: no Flask, no database. A *line* is always a physical line of the file, counted from 1 as in an editor. A row with
quoted line breaks has the number of its first line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from functools import partial
from typing import Final

from app.core.csv_cells import escape_formula
from app.core.text import BLANKS
from app.imports.client_list import ClientList, Table, read_list
from app.imports.csv_lines import SEPARATORS, first_row, lines
from app.imports.file_faults import BOM, FileError, decoded
from app.imports.header import PROBLEM, header_of
from app.imports.header_faults import header_fault
from app.imports.list_errors import ListError

TEMPLATE: Final = b"company_name,email\r\n"

# A single line with a million cells takes 60 MB of memory. Only separators beyond one for each line break count,
# because blank lines (",") below a list are common and fine.
_MAX_SPARE_SEPARATORS: Final = 500_000

_SEPARATOR_LINE: Final = re.compile(rf"[{BLANKS}]*sep=([,;])[{BLANKS}]*(\r\n|\r|\n|\Z)", re.IGNORECASE)


def read_csv(data: bytes) -> ClientList:
    """Read a client list in CSV. `data` may be any bytes. See `read_list`. Raises nothing."""
    return read_list(lambda: _open_table(data)[1])


def annotated_csv(data: bytes, errors: Iterable[ListError]) -> bytes:
    """The annotated file: the admin's own file with a third column `problem` that describes each bad row's errors.

    The result is UTF-8 with BOM and CRLF and has the same separator and the same lines. Cells are unchanged, even those
    that look like formulas, because they are the admin's own. `read_csv` accepts the file again once the rows are
    corrected. Raises `ValueError` if the file cannot be split into cells: check `ClientList.readable` first.
    """
    try:
        separator_line, table = _open_table(data)
        out = io.StringIO(newline="")
        out.write(separator_line)
        writer = csv.writer(out, delimiter=table.delimiter, lineterminator="\r\n")
        writer.writerows(cells for _line, cells in table.annotated(errors))
    except FileError as fault:
        raise ValueError(fault.error.reason) from fault
    return BOM + out.getvalue().encode()


def report_csv(errors: Iterable[ListError]) -> bytes:
    """The errors as a CSV file, to be read in a spreadsheet.

    The result is UTF-8 with BOM and CRLF. All cells are quoted, and none can run as a formula.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(["line", "column", "value", PROBLEM, "remedy"])
    for error in errors:
        line = "" if error.line is None else str(error.line)
        cells = [line, error.column, error.value, error.reason, error.remedy]
        writer.writerow([escape_formula(cell) for cell in cells])
    return BOM + out.getvalue().encode()


def _open_table(data: bytes) -> tuple[str, Table]:
    """Find the text, separator and header of a file. Raises `FileError`.

    Returns a first line such as "sep=;" with its line break, or "", and the table below it.
    """
    text = decoded(data)
    separator = _SEPARATOR_LINE.match(text)
    separator_line = separator[0] if separator else ""
    body = text[len(separator_line) :]
    first_line = 2 if separator else 1
    if not body.strip(BLANKS + "\r\n"):
        raise FileError("file_empty")
    separators = separator[1] if separator else SEPARATORS
    for delimiter in separators:
        if body.count(delimiter) - body.count("\n") - body.count("\r") > _MAX_SPARE_SEPARATORS:
            raise FileError("file_too_wide")
        header_line, cells = first_row(body, delimiter, first_line)
        header = header_of(cells)
        if header:
            return separator_line, Table(partial(lines, body, delimiter, first_line), delimiter, header_line, header)
    raise header_fault(body, separators, first_line)
