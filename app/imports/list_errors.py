"""The errors of a client list, with their remedies. Pure: no Flask, no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from flask_babel import gettext as _

from app.core.text_errors import N_, TextError

COMPANY_NAME: Final = "company_name"
EMAIL: Final = "email"
SHOWN_LENGTH: Final = 200
"""An error quotes at most this many characters of a cell."""

_HOW_TO_SAVE: Final = N_(
    "In Excel choose File, Save As, “CSV UTF-8 (Comma delimited)”; in LibreOffice choose File, "
    "Save As, “Text CSV” with the character set “Unicode (UTF-8)”."
)
_HOW_TO_SAVE_OPENED: Final = N_("Open it in Excel or LibreOffice and save it as “CSV UTF-8”.")
# code -> (what is wrong, what to do). The names in %(…)s are keys of `ListError.params`. The codes and sentences for a
# bad name or address are those of app.core.text.
SENTENCES: Final[Mapping[str, tuple[str, str]]] = {
    "file_too_large": (
        N_("The file is larger than 3 MiB (3,145,728 bytes)."),
        N_("Split it into several files of at most 1,000 rows each."),
    ),
    "file_empty": (
        N_("The file is empty."),
        N_("Download the template, fill in one client per line, and choose that file."),
    ),
    "file_no_rows": (
        N_("The file has a header but no clients."),
        N_("Add one client per line below the header."),
    ),
    "file_too_many_rows": (
        N_("The file has more than 1,000 rows; row 1,001 is on line %(at)s."),
        N_("Split it into several files of at most 1,000 rows, each with the header."),
    ),
    "file_too_wide": (
        N_("The file has very many columns."),
        N_("Delete all columns except company_name and email, including empty ones."),
    ),
    "file_utf16": (
        N_("The file seems to be saved as UTF-16 (“Unicode Text” in Excel), not as UTF-8."),
        _HOW_TO_SAVE,
    ),
    "file_workbook_broken": (
        N_("The workbook can't be read: %(why)s."),
        N_("Open it in Excel or LibreOffice, save it as .xlsx, and choose that file."),
    ),
    "file_workbook_encrypted": (
        N_("The workbook is protected with a password, so it can't be read."),
        N_("Open it in Excel or LibreOffice, save it without a password, and choose it again."),
    ),
    "file_workbook_too_large": (
        N_("The workbook is too large to read: %(why)s."),
        N_("Copy company_name and email with their rows into a new workbook, and choose that file."),
    ),
    "file_pdf": (
        N_("The file seems to be a PDF document, not a CSV file; upload the list it was made from."),
        _HOW_TO_SAVE,
    ),
    "file_nul": (
        N_("The file contains a NUL byte (on line %(at)s), so it may be damaged, or it isn't a CSV file."),
        _HOW_TO_SAVE,
    ),
    "file_not_utf8": (
        N_(
            "The file isn't saved as UTF-8 (see line %(at)s): it seems to use an older encoding such as Windows-1252, "
            "which Excel calls “CSV”."
        ),
        _HOW_TO_SAVE,
    ),
    "file_html": (
        N_("The file is a web page (HTML or XML), not a CSV file, whatever its name."),
        _HOW_TO_SAVE_OPENED,
    ),
    "file_json": (
        N_("The file contains JSON data, not a CSV file, whatever its name."),
        N_("Export the list as CSV, or copy the clients into the template."),
    ),
    "file_rtf": (
        N_("The file is a text document with formatting (RTF), not a CSV file, whatever its name."),
        N_("Copy the clients into the template."),
    ),
    "header_swapped": (
        N_("The columns are in the wrong order: the email addresses come before the company names."),
        N_("Move the column with the company names to the left, with its header, so that it is column A."),
    ),
    "header_one_cell": (
        N_("Both names of the header are in one cell: “%(found)s”."),
        N_("Put “%(first)s” in cell A%(at)s and “%(second)s” in cell B%(at)s, and split the rows below too."),
    ),
    "header_not_first": (
        N_("The header is on line %(at)s instead of line 1; above it is “%(found)s”."),
        N_("Delete everything above the header."),
    ),
    "header_separator": (
        N_("The separator between the header's cells is %(found)s instead of %(wanted)s."),
        N_("Save the file again as “CSV UTF-8”, or start from the template."),
    ),
    "header_name": (
        N_("The header must be company_name,email, but %(cells)s."),
        N_("Change the header to company_name,email, or start from the template."),
    ),
    "header_extra": (
        N_("The file has more columns than company_name and email: %(cells)s."),
        N_("Delete these columns: %(columns)s."),
    ),
    "header_missing": (
        N_("The header is missing: the first line is already a client, “%(found)s”."),
        N_("Add the line company_name,email above it, or start from the template."),
    ),
    "file_quotes": (
        N_(
            "The file can't be read from line %(at)s on: a quotation mark is never closed, or text follows a closing "
            "one."
        ),
        N_(
            'Put one " before and one after a cell that needs them, and double each quotation mark inside such a '
            'cell (""), or save the file again from Excel or LibreOffice.'
        ),
    ),
    "row_one_cell": (
        N_("The email address is in the same cell as the company name."),
        N_("Put the company name in column A and the address in column B, and leave out quotation marks around both."),
    ),
    "row_separator": (
        N_("The separator here is %(found)s, but the header uses %(wanted)s."),
        N_("Put %(wanted)s between the company name and the email address."),
    ),
    "row_too_few_cells": (
        N_("The line has only one cell; the email address is missing."),
        N_("Enter the company name, then “%(separator)s”, then the email address."),
    ),
    "row_too_many_cells": (
        N_("The line has %(count)s cells instead of two."),
        N_(
            "If the company name contains the separator, put the name in quotation marks; leave nothing to the right "
            "of the email address."
        ),
    ),
    "email_duplicate": (
        N_("This email address is a duplicate: it is already on line %(at)s."),
        N_("Delete one of the two lines, or correct the address."),
    ),
    "email_duplicate_in_table": (
        N_("This email address is a duplicate: it is already in the Imported Clients table."),
        N_("Delete this line. To send the invitation again, use Resend Invite in the table."),
    ),
    "email_duplicate_joined": (
        N_(
            "This email address is a duplicate: it is already in the Imported Clients table, and the client has joined."
        ),
        N_("Delete this line; this client needs no invitation."),
    ),
    "email_too_many_mails": (
        N_("This address has reached the limit of %(limit)s invitation emails an hour."),
        N_("Delete this line, or try again in %(minutes)s min."),
    ),
}
# What is said otherwise of a workbook, which has no separators and no quotation marks.
IN_WORKBOOKS: Final[Mapping[str, tuple[str, str]]] = {
    "file_empty": (
        N_("The first sheet, “%(sheet)s”, is empty."),
        N_("Move the sheet with the clients to the front, or start from the template."),
    ),
    "file_too_wide": (
        N_("Something is far to the right of the list, in cell %(at)s."),
        N_("Delete all columns except company_name and email."),
    ),
    "row_too_many_cells": (
        N_("The row has %(count)s cells instead of two."),
        N_("Leave nothing to the right of the email address."),
    ),
}


_IN_TABLE: Final = frozenset({"email_duplicate_in_table", "email_duplicate_joined"})


@dataclass(frozen=True, slots=True)
class ListError:
    """One error in a file, and its remedy.

    `line` is None and `column` empty if the error concerns the whole file; unclosed quotes have a line but no column.
    `column` is the name in the template. `value` is the cell as in the file, cut to `SHOWN_LENGTH` characters. `code`
    identifies the kind of error. `reason` and `remedy` are its English sentences, and `params` are the values for their
    translations.
    """

    line: int | None
    column: str
    value: str
    code: str
    reason: str
    remedy: str
    params: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_in_table(self) -> bool:
        """Whether nothing is wrong but that the table has the address already. Such a row may be left out."""
        return self.code in _IN_TABLE

    @property
    def message(self) -> str:
        """What is wrong and what to do, in one string."""
        return f"{self.reason} {self.remedy}"


def make_error(
    code: str, line: int | None, column: str, value: str, *, in_workbook: bool = False, **params: str
) -> ListError:
    reason, remedy = IN_WORKBOOKS[code] if in_workbook else SENTENCES[code]
    return ListError(line, column, quoted(value), code, _(reason) % params, _(remedy) % params, params)


def error_of_text(error: TextError, line: int, column: str, cell: str) -> ListError:
    """The error of a cell whose text cannot be stored."""
    return ListError(line, column, quoted(cell), error.code, error.reason, error.remedy, error.params)


def quoted(value: str) -> str:
    return value if len(value) <= SHOWN_LENGTH else value[: SHOWN_LENGTH - 1] + "…"
