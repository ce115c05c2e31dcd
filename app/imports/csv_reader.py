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

from app.core.csv_cells import escape_formula
from app.core.text import BLANKS, TextError, clean_company_name, clean_email
from app.imports.csv_errors import COMPANY_NAME, EMAIL, SHOWN_LENGTH, CsvError, make_error, quoted

MAX_BYTES: Final = 3 * 1024 * 1024
MAX_ROWS: Final = 1000
TEMPLATE: Final = b"company_name,email\r\n"

PROBLEM: Final = "problem"
_COLUMNS: Final = (COMPANY_NAME, EMAIL)
_HEADERS: Final = frozenset({_COLUMNS, ("company name", "email address")})
# A single line with a million cells takes 60 MB of memory. Only separators beyond one for each line break count,
# because blank lines (",") below a list are common and fine.
_MAX_SPARE_SEPARATORS: Final = 500_000

# Excel reads a CSV file as UTF-8 only if it begins with this mark.
_BOM: Final = b"\xef\xbb\xbf"
_UTF16_AND_UTF32_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_SIGNATURES: Final = {
    b"PK\x03\x04": "file_workbook",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "file_old_workbook",
    b"%PDF-": "file_pdf",
}
_SEPARATOR_LINE: Final = re.compile(rf"[{BLANKS}]*sep=([,;])[{BLANKS}]*(\r\n|\r|\n|\Z)", re.IGNORECASE)
_LINE_BREAK: Final = re.compile(rb"\r\n|\r|\n")

# The csv module's limit is 131,072 characters a cell, for the whole process; a longer cell raises an exception that
# ends the reading. No cell is longer than an accepted file. So with this limit an overlong name or address becomes an
# ordinary error, reported with its line beside the others.
csv.field_size_limit(max(csv.field_size_limit(), MAX_BYTES))


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
            raise _FileError("file_no_rows")
    except _FileError as fault:
        errors = [*rows.errors, fault.error] if fault.error.line else [fault.error]
        return CsvFile(rows=(), errors=tuple(errors), readable=False)
    return CsvFile(rows=tuple(rows.accepted), errors=tuple(rows.errors), readable=True)


def duplicate_in_table(row: CsvRow) -> CsvError:
    """The error of a row whose address is already in the Imported Clients table."""
    return make_error("email_duplicate_in_table", row.line, EMAIL, row.email)


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
    except _FileError as fault:
        raise ValueError(fault.error.reason) from fault
    return _BOM + out.getvalue().encode()


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
    return _BOM + out.getvalue().encode()


class _FileError(Exception):
    """The file cannot be read, or not any further. Never leaves this module."""

    def __init__(self, code: str, line: int | None = None, **params: str) -> None:
        super().__init__(code)
        self.error = make_error(code, line, "", "", **params)


def _is_blank(cells: list[str]) -> bool:
    return not "".join(cells).strip(BLANKS)


@dataclass(frozen=True, slots=True)
class _Table:
    """The text of a file, after its header was found."""

    separator_line: str  # "sep=;" with its line break, or ""
    text: str  # the rest of the file
    first_line: int  # the number of the first line of `text`
    delimiter: str
    header_line: int
    has_problem_column: bool

    def lines(self) -> Iterator[tuple[int, list[str], bool]]:
        """All lines: number, cells, and whether the line is a row (neither header nor blank)."""
        count = 0
        for line, cells in _lines(self.text, self.delimiter, self.first_line):
            is_row = line != self.header_line and not _is_blank(cells)
            count += is_row
            if count > MAX_ROWS:
                raise _FileError("file_too_many_rows", at=str(line))
            yield line, cells, is_row

    def annotated(self, cells: list[str], problem: str) -> list[str]:
        """The cells of a line with the problem in the third column, or after the last cell if there are too many."""
        if self.has_problem_column and len(cells) == len(_COLUMNS) + 1:
            cells = cells[: len(_COLUMNS)]
        padding = [""] * (len(_COLUMNS) - len(cells))
        return [*cells, *padding, problem]


class _RowChecker:
    """Checks rows one by one, and keeps their addresses to find duplicates."""

    def __init__(self) -> None:
        self.accepted: list[CsvRow] = []
        self.errors: list[CsvError] = []
        self.count = 0
        self._first_line_of: dict[str, int] = {}

    def check(self, line: int, cells: list[str], table: _Table) -> None:
        self.count += 1
        wrong_count = _cell_count_error(line, cells, table)
        if wrong_count:
            self.errors.append(wrong_count)
            return
        known_errors = len(self.errors)
        company_name = self._company_name(line, cells[0])
        email = self._email(line, cells[1])
        if len(self.errors) == known_errors:
            self.accepted.append(CsvRow(line, company_name, email))

    def _company_name(self, line: int, cell: str) -> str:
        try:
            return clean_company_name(cell)
        except TextError as error:
            self._refuse(line, COMPANY_NAME, cell, error)
            return ""

    def _email(self, line: int, cell: str) -> str:
        try:
            email = clean_email(cell)
        except TextError as error:
            self._refuse(line, EMAIL, cell, error)
            return ""
        first_line = self._first_line_of.setdefault(email, line)
        if first_line != line:
            duplicate = make_error("email_duplicate", line, EMAIL, cell, at=str(first_line))
            self.errors.append(duplicate)
        return email

    def _refuse(self, line: int, column: str, cell: str, error: TextError) -> None:
        self.errors.append(CsvError(line, column, quoted(cell), error.code, error.reason, error.remedy, error.params))


def _cell_count_error(line: int, cells: list[str], table: _Table) -> CsvError | None:
    if len(cells) < len(_COLUMNS):
        separator = table.delimiter
        return make_error("row_too_few_cells", line, EMAIL, cells[0], separator=separator)
    if len(cells) > len(_COLUMNS) + table.has_problem_column:
        value = table.delimiter.join(cells[:SHOWN_LENGTH])
        return make_error("row_too_many_cells", line, COMPANY_NAME, value, count=str(len(cells)))
    return None


def _open_table(data: bytes) -> _Table:
    """Find the text, separator and header of a file. Raises `_FileError`."""
    text = _decoded(data)
    separator = _SEPARATOR_LINE.match(text)
    separator_line = separator[0] if separator else ""
    body = text[len(separator_line) :]
    first_line = 2 if separator else 1
    if not body.strip(BLANKS + "\r\n"):
        raise _FileError("file_empty")
    for delimiter in separator[1] if separator else ",;":
        if body.count(delimiter) - body.count("\n") - body.count("\r") > _MAX_SPARE_SEPARATORS:
            raise _FileError("file_too_wide")
        header_line, header = _first_row(body, delimiter, first_line)
        if _is_header(header):
            has_problem_column = len(header) > len(_COLUMNS)
            return _Table(separator_line, body, first_line, delimiter, header_line, has_problem_column)
    found = body.lstrip(BLANKS + "\r\n")[:SHOWN_LENGTH].splitlines()[0]
    raise _FileError("file_header_missing" if "@" in found else "file_header", found=found)


def _decoded(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _FileError("file_too_large")
    if data.startswith(_UTF16_AND_UTF32_MARKS):
        raise _FileError("file_utf16")
    for signature, code in _SIGNATURES.items():
        if data.startswith(signature):
            raise _FileError(code)
    if b"\0" in data:
        raise _nul_fault(data)
    try:
        return data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        bad = len(data) - len(error.object) + error.start
        raise _FileError("file_not_utf8", at=str(_line_at(data, bad))) from error


def _nul_fault(data: bytes) -> _FileError:
    # UTF-16 without a byte order mark: in Latin text every other byte is NUL.
    if max(data[::2].count(0), data[1::2].count(0)) * 4 > len(data):
        return _FileError("file_utf16")
    return _FileError("file_nul", at=str(_line_at(data, data.index(0))))


def _line_at(data: bytes, position: int) -> int:
    return 1 + sum(1 for _ in _LINE_BREAK.finditer(data, 0, position))


def _first_row(text: str, delimiter: str, first_line: int) -> tuple[int, list[str]]:
    """Number and cells of the first line that is not blank, or (0, []) if the text cannot be read with this separator.

    With the wrong separator a file with quoted cells may be unreadable, which is not an error of the file.
    """
    try:
        return next((line, cells) for line, cells in _lines(text, delimiter, first_line) if not _is_blank(cells))
    except (_FileError, StopIteration):
        return 0, []


def _is_header(cells: list[str]) -> bool:
    names = tuple(cell.strip(BLANKS).lower() for cell in cells[: len(_COLUMNS)])
    return names in _HEADERS and cells[len(_COLUMNS) :] in ([], [PROBLEM])


def _lines(text: str, delimiter: str, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """The lines of a text, each with the number of the physical line on which it begins. Raises `_FileError`."""
    # newline="" keeps line breaks unchanged and ends lines only at LF, CR and CRLF; splitlines() would also end them at
    # U+2028 and others. Without strict=True an unclosed quotation mark would swallow the rows after it.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = first_line
    try:
        for cells in reader:
            yield line, cells
            line = first_line + reader.line_num
    except csv.Error as error:
        raise _FileError("file_quotes", line, at=str(line)) from error
