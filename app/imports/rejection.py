"""The rejection of a file, arranged for the admin: bad rows grouped by kind, each with all its errors. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.core.text_errors import N_
from app.imports.client_list import ClientList, Note
from app.imports.list_errors import ListError

# The prefix of an error's code -> the heading of its group, in the order of the page.
_HEADINGS = {
    "file_": N_("The file"),
    "header_": N_("The header"),
    "row_": N_("Lines with too few or too many cells"),
    "email_duplicate": N_("Duplicate email addresses"),
    "email_": N_("Invalid email addresses"),
    "name_": N_("Invalid company names"),
}


@dataclass(frozen=True)
class BadRow:
    """A line of the file with all its errors; `line` is None for errors of the whole file."""

    line: int | None
    errors: tuple[ListError, ...]

    @property
    def is_of_file(self) -> bool:
        """Whether the whole file is refused, be it that it can be read as far as this line."""
        return not self.errors[0].column


@dataclass(frozen=True)
class Group:
    """Bad rows whose first error is of one kind."""

    heading: str
    rows: tuple[BadRow, ...]


@dataclass(frozen=True)
class Rejection:
    """A file of which nothing was imported, with its bad rows and the numbers of good and bad ones.

    `is_only_in_table`: nothing is wrong but that some or all clients of the file are in the table already.
    """

    groups: tuple[Group, ...]
    fine: int
    bad: int
    readable: bool
    is_only_in_table: bool
    notes: tuple[Note, ...]

    @property
    def is_all_in_table(self) -> bool:
        return self.is_only_in_table and not self.fine


def rejection_of(file: ClientList) -> Rejection:
    """Arrange a file's errors for reading: groups in a fixed order, rows in the order of their lines."""
    rows = _bad_rows(file.errors)
    by_prefix: dict[str, list[BadRow]] = {prefix: [] for prefix in _HEADINGS}
    for row in rows:
        code = row.errors[0].code
        by_prefix[next(prefix for prefix in _HEADINGS if code.startswith(prefix))].append(row)
    return Rejection(
        groups=tuple(Group(_HEADINGS[prefix], tuple(found)) for prefix, found in by_prefix.items() if found),
        fine=len(file.rows),
        bad=len(rows),
        readable=file.readable,
        is_only_in_table=all(error.is_in_table for error in file.errors),
        notes=file.notes,
    )


def _bad_rows(errors: Iterable[ListError]) -> list[BadRow]:
    by_line: dict[int | None, list[ListError]] = {}
    for error in errors:
        by_line.setdefault(error.line, []).append(error)
    return [BadRow(line, tuple(found)) for line, found in by_line.items()]
