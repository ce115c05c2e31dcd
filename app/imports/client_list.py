"""The rules of a client list: numbered lines of cells in, rows or all errors out, whatever kind of file they are from.

Pure: no Flask, no database. An import is all or nothing, so a file's errors are all reported at once. Nothing is
guessed: what cannot be read unambiguously is refused with a sentence that says how to correct it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from app.core.csv_cells import unescape_formula
from app.core.text import clean_company_name, clean_email
from app.core.text_errors import TextError
from app.imports.csv_lines import is_blank
from app.imports.file_faults import FileError
from app.imports.header import PROBLEM, Header
from app.imports.list_errors import COMPANY_NAME, EMAIL, ListError, error_of_text, make_error
from app.imports.row_faults import cell_count_fault, row_fault

MAX_ROWS: Final = 1000

_COLUMNS: Final = 2  # that are read: name and address


@dataclass(frozen=True, slots=True)
class ClientRow:
    """One client of the file, with both cells in the form in which we store them."""

    line: int
    company_name: str
    email: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something about a file that the admin should know and that is no error. `text` is an English sentence."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class ClientList:
    """The content of a file: the rows without errors, and all errors.

    `readable` is False if the file could not be read to its end. Then there are no rows, and an annotated file cannot
    be made.
    """

    rows: tuple[ClientRow, ...]
    errors: tuple[ListError, ...]
    readable: bool
    notes: tuple[Note, ...] = ()

    def with_errors(self, errors: Iterable[ListError]) -> ClientList:
        """The same file with further errors, ordered by line, and without the rows that have them.

        For errors that only the portal knows: see `duplicate_in_table` and `too_many_mails`.
        """
        added = tuple(errors)
        refused = {error.line for error in added}
        return ClientList(
            rows=tuple(row for row in self.rows if row.line not in refused),
            errors=tuple(sorted(self.errors + added, key=lambda error: error.line or 0)),
            readable=self.readable,
            notes=self.notes,
        )


@dataclass(frozen=True, slots=True)
class Table:
    """The lines of a file after its header was found.

    `numbered` gives all lines with their numbers, and may raise `FileError`. `delimiter` stands between two cells of a
    CSV file; a workbook has none (""). `unsaved` are the cells, as (line, column from 0), whose text is a formula
    without a result.
    """

    numbered: Callable[[], Iterable[tuple[int, list[str]]]]
    delimiter: str
    header_line: int
    header: Header
    unsaved: frozenset[tuple[int, int]] = frozenset()

    def lines(self) -> Iterator[tuple[int, list[str], bool]]:
        """All lines: number, cells, and whether the line is a row (neither header nor blank). Raises `FileError`."""
        count = 0
        for line, cells in self.numbered():
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

    def annotated(self, errors: Iterable[ListError]) -> Iterator[tuple[int, list[str]]]:
        """All lines, with a column `problem` that describes each bad row's errors. Raises `FileError`.

        An existing `problem` column is overwritten. In a row with too many cells the problem follows the last cell.
        """
        problems: dict[int | None, list[str]] = defaultdict(list)
        for error in errors:
            problems[error.line].append(f"{error.column}: {error.message}")
        for line, cells, is_row in self.lines():
            if is_row:
                yield line, self._with_problem(cells, " ".join(problems[line]))
            elif line == self.header_line:
                # What stands to its right counts as empty, even an invisible character that makes a row too long.
                yield line, self._in_its_column(cells, PROBLEM)
            else:
                yield line, cells

    def _with_problem(self, cells: list[str], problem: str) -> list[str]:
        """The cells of a line with the problem in the column after ours, or after the last cell if there are more."""
        if is_blank(cells[self.header.width + self.header.has_problem_column :]):
            return self._in_its_column(cells, problem)
        return [*cells, problem]

    def _in_its_column(self, cells: list[str], problem: str) -> list[str]:
        """The cells of a line, with the problem in the column after ours."""
        width = self.header.width
        padded = [*cells, *[""] * (width - len(cells))]
        padded[width : width + 1] = [problem]
        return padded


def read_list(opened: Callable[[], Table]) -> ClientList:
    """Read a whole file and check each cell. `opened` finds its header, and may raise `FileError`.

    Every line that is not blank yields either a row or at least one error. An error of the whole file (type, encoding,
    header, limits) is the only one reported; an unclosed quotation mark is reported after the errors of the lines
    before it. Raises nothing.
    """
    rows = _RowChecker()
    try:
        table = opened()
        for line, cells, is_row in table.lines():
            if is_row:
                rows.check(line, cells, table)
        if not rows.count:
            raise FileError("file_no_rows")
    except FileError as fault:
        errors = [*rows.errors, fault.error] if fault.error.line else [fault.error]
        return ClientList(rows=(), errors=tuple(errors), readable=False)
    return ClientList(rows=tuple(rows.accepted), errors=tuple(rows.errors), readable=True)


def duplicate_in_table(row: ClientRow) -> ListError:
    """The error of a row whose address is already in the Imported Clients table."""
    return make_error("email_duplicate_in_table", row.line, EMAIL, row.email)


def duplicate_joined(row: ClientRow) -> ListError:
    """The error of a row whose address belongs to a client that has joined."""
    return make_error("email_duplicate_joined", row.line, EMAIL, row.email)


def too_many_mails(row: ClientRow, limit: int, minutes: int) -> ListError:
    """The error of a row whose address got `limit` mails within the hour and has to wait `minutes`."""
    return make_error("email_too_many_mails", row.line, EMAIL, row.email, limit=str(limit), minutes=str(minutes))


class _RowChecker:
    """Checks rows one by one, and keeps their addresses to find duplicates."""

    def __init__(self) -> None:
        self.accepted: list[ClientRow] = []
        self.errors: list[ListError] = []
        self.count = 0
        self._first_line_of: dict[str, int] = {}

    def check(self, line: int, cells: list[str], table: Table) -> None:
        self.count += 1
        if len(cells) != _COLUMNS:
            cells = table.cells_to_read(cells)
            if len(cells) != _COLUMNS:
                fault = row_fault(line, cells, table.delimiter) or cell_count_fault(line, cells, table.delimiter)
                self.errors.append(fault)
                return
        known_errors = len(self.errors)
        company_name = self._company_name(line, cells[0], is_unsaved=(line, 0) in table.unsaved)
        email = self._email(line, cells[1], is_unsaved=(line, 1) in table.unsaved)
        if len(self.errors) == known_errors:
            self.accepted.append(ClientRow(line, company_name, email))
        elif not email:
            # Cells that are displaced are one fault, and not one in each cell.
            displaced = row_fault(line, cells, table.delimiter)
            if displaced:
                self.errors[known_errors:] = [displaced]

    def _company_name(self, line: int, cell: str, *, is_unsaved: bool) -> str:
        try:
            if is_unsaved:
                raise TextError("name_formula")
            return clean_company_name(unescape_formula(cell))
        except TextError as error:
            self.errors.append(error_of_text(error, line, COMPANY_NAME, cell))
            return ""

    def _email(self, line: int, cell: str, *, is_unsaved: bool) -> str:
        try:
            if is_unsaved:
                raise TextError("email_formula")
            email = clean_email(unescape_formula(cell))
        except TextError as error:
            self.errors.append(error_of_text(error, line, EMAIL, cell))
            return ""
        first_line = self._first_line_of.setdefault(email, line)
        if first_line != line:
            duplicate = make_error("email_duplicate", line, EMAIL, cell, at=str(first_line))
            self.errors.append(duplicate)
        return email
