"""The errors of a client list in CSV, with their remedies. Pure: no Flask, no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from app.core.text import N_

COMPANY_NAME: Final = "company_name"
EMAIL: Final = "email"
SHOWN_LENGTH: Final = 200
"""An error quotes at most this many characters of a cell."""

_HOW_TO_SAVE: Final = N_(
    "In Excel choose File, Save As, “CSV UTF-8 (Comma delimited)”; in LibreOffice choose File, "
    "Save As, “Text CSV” with the character set “Unicode (UTF-8)”."
)
# code -> (what is wrong, what to do). The names in %(…)s are keys of `CsvError.params`. The codes and sentences for a
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
    "file_workbook": (
        N_("The file seems to be a workbook (.xlsx or .ods) or a ZIP archive, not a CSV file."),
        _HOW_TO_SAVE,
    ),
    "file_old_workbook": (
        N_("The file seems to be an old Excel workbook (.xls), not a CSV file."),
        _HOW_TO_SAVE,
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
    "file_header": (
        N_("The first line must be the header company_name,email, but it is “%(found)s”."),
        N_("Change it to company_name,email and nothing else, or start from the template."),
    ),
    "file_header_missing": (
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
    "email_too_many_mails": (
        N_("This address has reached the limit of %(limit)s invitation emails an hour."),
        N_("Delete this line, or try again in %(minutes)s min."),
    ),
}


@dataclass(frozen=True, slots=True)
class CsvError:
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
    def message(self) -> str:
        """What is wrong and what to do, in one string."""
        return f"{self.reason} {self.remedy}"


def make_error(code: str, line: int | None, column: str, value: str, **params: str) -> CsvError:
    reason, remedy = SENTENCES[code]
    return CsvError(line, column, quoted(value), code, reason % params, remedy % params, params)


def quoted(value: str) -> str:
    return value if len(value) <= SHOWN_LENGTH else value[: SHOWN_LENGTH - 1] + "…"
