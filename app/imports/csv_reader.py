"""The CSV reader of client lists: bytes in, rows or all errors out.

Pure: no Flask, no database. An import is all or nothing, so a file's errors are all reported at once. Nothing is
guessed: what cannot be read unambiguously is refused with a sentence that says how to correct it. A *line* is always a
physical line of the file, counted from 1 as in an editor. A row with quoted line breaks has the number of its first
line.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from app.core.csv_cells import escape_formula, unescape_formula
from app.core.text import BLANKS, clean_company_name, clean_email
from app.core.text_errors import TextError
from app.imports.csv_errors import COMPANY_NAME, EMAIL, CsvError, error_of_text, make_error
from app.imports.csv_lines import SEPARATORS, first_row, is_blank, lines
from app.imports.file_faults import BOM, FileError, decoded
from app.imports.header import PROBLEM, Header, header_of
from app.imports.header_faults import header_fault
from app.imports.row_faults import cell_count_fault, row_fault

MAX_ROWS: Final = 1000
TEMPLATE: Final = b"company_name,email\r\n"

_COLUMNS: Final = 2  # that are read: name and address
# A single line with a million cells takes 60 MB of memory. Only separators beyond one for each line break count,
# because blank lines (",") below a list are common and fine.
_MAX_SPARE_SEPARATORS: Final = 500_000

_SEPARATOR_LINE: Final = re.compile(rf"[{BLANKS}]*sep=([,;])[{BLANKS}]*(\r\n|\r|\n|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One client of the file, with both cells in the form in which we store them."""

    line: int
    company_name: str
    email: str


@dataclass(frozen=True, slots=True)
class CsvFile:
    """The content of a file: the rows without errors, and all errors.

    `readable` is False if the file could not be read to its end. Then there are no rows, and an annotated file cannot
    be made.
    """

    rows: tuple[CsvRow, ...]
    errors: tuple[CsvError, ...]
    readable: bool

    def with_errors(self, errors: Iterable[CsvError]) -> CsvFile:
        """The same file with further errors, ordered by line, and without the rows that have them.

        For errors that only the portal knows: see `duplicate_in_table` and `too_many_mails`.
        """
        added = tuple(errors)
        refused = {error.line for error in added}
        return CsvFile(
            rows=tuple(row for row in self.rows if row.line not in refused),
            errors=tuple(sorted(self.errors + added, key=lambda error: error.line or 0)),
            readable=self.readable,
        )


def read_csv(data: bytes) -> CsvFile:
    """Read a whole file and check each cell.

    `data` may be any bytes. Every line that is not blank yields either a row or at least one error. An error of the
    whole file (type, encoding, header, limits) is the only one reported; an unclosed quotation mark is reported after
    the errors of the lines before it. Raises nothing.
    """
    rows = _RowChecker()
    try:
        table = _open_table(data)
        for line, cells, is_row in table.lines():
            if is_row:
                rows.check(line, cells, table)
        if not rows.count:
            raise FileError("file_no_rows")
    except FileError as fault:
        errors = [*rows.errors, fault.error] if fault.error.line else [fault.error]
        return CsvFile(rows=(), errors=tuple(errors), readable=False)
    return CsvFile(rows=tuple(rows.accepted), errors=tuple(rows.errors), readable=True)


def duplicate_in_table(row: CsvRow) -> CsvError:
    """The error of a row whose address is already in the Imported Clients table."""
    return make_error("email_duplicate_in_table", row.line, EMAIL, row.email)


def duplicate_joined(row: CsvRow) -> CsvError:
    """The error of a row whose address belongs to a client that has joined."""
    return make_error("email_duplicate_joined", row.line, EMAIL, row.email)


def too_many_mails(row: CsvRow, limit: int, minutes: int) -> CsvError:
    """The error of a row whose address got `limit` mails within the hour and has to wait `minutes`."""
    return make_error("email_too_many_mails", row.line, EMAIL, row.email, limit=str(limit), minutes=str(minutes))


def annotated_csv(data: bytes, errors: Iterable[CsvError]) -> bytes:
    """The annotated file: the admin's own file with a third column `problem` that describes each bad row's errors.

    The result is UTF-8 with BOM and CRLF and has the same separator and the same lines. Cells are unchanged, even those
    that look like formulas, because they are the admin's own. An existing `problem` column is overwritten. In a row
    with too many cells the problem follows the last cell. `read_csv` accepts the file again once the rows are
    corrected. Raises `ValueError` if the file cannot be split into cells: check `CsvFile.readable` first.
    """
    problems: dict[int | None, list[str]] = defaultdict(list)
    for error in errors:
        problems[error.line].append(f"{error.column}: {error.message}")
    try:
        table = _open_table(data)
        out = io.StringIO(newline="")
        out.write(table.separator_line)
        writer = csv.writer(out, delimiter=table.delimiter, lineterminator="\r\n")
        for line, cells, is_row in table.lines():
            if is_row:
                writer.writerow(table.annotated(cells, " ".join(problems[line])))
            elif line == table.header_line:
                writer.writerow(table.annotated(cells, PROBLEM))
            else:
                writer.writerow(cells)
    except FileError as fault:
        raise ValueError(fault.error.reason) from fault
    return BOM + out.getvalue().encode()


def report_csv(errors: Iterable[CsvError]) -> bytes:
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


@dataclass(frozen=True, slots=True)
class _Table:
    """The text of a file, after its header was found."""

    separator_line: str  # "sep=;" with its line break, or ""
    text: str  # the rest of the file
    first_line: int  # the number of the first line of `text`
    delimiter: str
    header_line: int
    header: Header

    def lines(self) -> Iterator[tuple[int, list[str], bool]]:
        """All lines: number, cells, and whether the line is a row (neither header nor blank)."""
        count = 0
        for line, cells in lines(self.text, self.delimiter, self.first_line):
            is_row = line != self.header_line and not is_blank(cells)
            count += is_row
            if count > MAX_ROWS:
                raise FileError("file_too_many_rows", at=str(line))
            yield line, cells, is_row

    def cells_to_read(self, cells: list[str]) -> list[str]:
        """The cells of a row as far as they are read: without our own columns and the empty ones to the right."""
        width = self.header.width
        ignored = width + self.header.has_problem_column
        if len(cells) > ignored and not is_blank(cells[ignored:]):
            # The problem of such a row is in its last cell.
            return cells[:-1] if self.header.has_problem_column else cells
        return cells[:_COLUMNS]

    def annotated(self, cells: list[str], problem: str) -> list[str]:
        """The cells of a line with the problem in the column after ours, or after the last cell if there are more."""
        width = self.header.width
        padded = [*cells, *[""] * (width - len(cells))]
        if is_blank(padded[width + self.header.has_problem_column :]):
            padded[width : width + 1] = [problem]
            return padded
        return [*cells, problem]


class _RowChecker:
    """Checks rows one by one, and keeps their addresses to find duplicates."""

    def __init__(self) -> None:
        self.accepted: list[CsvRow] = []
        self.errors: list[CsvError] = []
        self.count = 0
        self._first_line_of: dict[str, int] = {}

    def check(self, line: int, cells: list[str], table: _Table) -> None:
        self.count += 1
        if len(cells) != _COLUMNS:
            cells = table.cells_to_read(cells)
            if len(cells) != _COLUMNS:
                fault = row_fault(line, cells, table.delimiter) or cell_count_fault(line, cells, table.delimiter)
                self.errors.append(fault)
                return
        known_errors = len(self.errors)
        company_name = self._company_name(line, cells[0])
        email = self._email(line, cells[1])
        if len(self.errors) == known_errors:
            self.accepted.append(CsvRow(line, company_name, email))
        elif not email:
            # Cells that are displaced are one fault, and not one in each cell.
            displaced = row_fault(line, cells, table.delimiter)
            if displaced:
                self.errors[known_errors:] = [displaced]

    def _company_name(self, line: int, cell: str) -> str:
        try:
            return clean_company_name(unescape_formula(cell))
        except TextError as error:
            self.errors.append(error_of_text(error, line, COMPANY_NAME, cell))
            return ""

    def _email(self, line: int, cell: str) -> str:
        try:
            email = clean_email(unescape_formula(cell))
        except TextError as error:
            self.errors.append(error_of_text(error, line, EMAIL, cell))
            return ""
        first_line = self._first_line_of.setdefault(email, line)
        if first_line != line:
            duplicate = make_error("email_duplicate", line, EMAIL, cell, at=str(first_line))
            self.errors.append(duplicate)
        return email


def _open_table(data: bytes) -> _Table:
    """Find the text, separator and header of a file. Raises `FileError`."""
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
            return _Table(separator_line, body, first_line, delimiter, header_line, header)
    raise header_fault(body, separators, first_line)
