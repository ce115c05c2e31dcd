"""A client list in a workbook (.xlsx, .xls, .ods): what its first sheet holds is read as a CSV file would be.

Pure: no Flask, no database. A *line* is the number of a row in the sheet, as the spreadsheet shows it. The sheet is
read by a process of its own, see `workbook_process.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from flask_babel import gettext as _

from app.core.i18n import number
from app.core.text_errors import N_
from app.imports.client_list import ClientList, Note, Table, read_list
from app.imports.file_faults import FileError
from app.imports.header import header_of
from app.imports.header_faults import sheet_header_fault
from workbook_reader.answers import BROKEN, ENCRYPTED, TOO_LARGE, Answer, Refusal

# How the files begin: a ZIP archive, an empty one, and what Excel wrote until 2003 (OLE).
_SIGNATURES: Final = (b"PK\x03\x04", b"PK\x05\x06", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_CODES: Final = {
    BROKEN: "file_workbook_broken",
    ENCRYPTED: "file_workbook_encrypted",
    TOO_LARGE: "file_workbook_too_large",
}
_WHY: Final = {
    "": "",
    "damaged": N_("it is damaged or cut off"),
    "entities": N_("it contains an XML document type, which no spreadsheet program writes"),
    "no_workbook": N_("it is a ZIP archive or a document of another kind"),
    "no_worksheet": N_("it has no worksheet, only charts or macros"),
    "xlsb": N_("it is a binary workbook (.xlsb)"),
    "unpacked": N_("it has more than 32 MiB when it is unpacked"),
    "text": N_("its cells hold more than 3 MiB of text"),
    "far": N_("cell %(cell)s is far away from the list, and it isn't empty"),
    "limit": N_("it takes too much memory or time"),
}
_HIDDEN_ROW: Final = N_("1 row is hidden in the workbook and counts like any other: line %(lines)s.")
_HIDDEN_ROWS: Final = N_("%(count)s rows are hidden in the workbook and count like any other: lines %(lines)s.")
_HIDDEN_SHEET: Final = N_("The first sheet, “%(sheet)s”, is hidden. It is the one that was read.")
_OTHER_SHEETS: Final = N_("Only the first sheet, “%(sheet)s”, was read. Not read: %(others)s.")
_NAMED_SHEETS: Final = 5


def is_workbook(data: bytes) -> bool:
    """Whether a file is to be read as a workbook: by its content, whatever its name."""
    return data.startswith(_SIGNATURES)


def list_of(answer: Answer | Refusal) -> ClientList:
    """The client list in a workbook, of which the reader says this. See `read_list`. Raises nothing."""
    notes = () if "refused" in answer else tuple(_notes(answer))
    return replace(read_list(lambda: table_of(answer)), notes=notes)


def table_of(answer: Answer | Refusal) -> Table:
    """The first sheet, after its header was found. Raises `FileError`."""
    if "refused" in answer:
        why = _WHY[answer["why"]]
        raise FileError(_CODES[answer["refused"]], why=_(why) % {"cell": answer["cell"]} if why else "")
    rows = [(line, [*cells, *[""] * (2 - len(cells))]) for line, cells in answer["rows"]]
    if not rows:
        raise FileError("file_empty", in_workbook=True, sheet=answer["sheet"])
    if answer["beyond"]:
        raise FileError("file_too_wide", in_workbook=True, at=answer["beyond"])
    header_line, cells = rows[0]
    header = header_of(cells)
    if not header:
        raise sheet_header_fault(rows)
    unsaved = frozenset((line, column) for line, column in answer["unsaved"])
    return Table(lambda: rows, "", header_line, header, unsaved)


def _notes(answer: Answer) -> list[Note]:
    sheet, hidden = answer["sheet"], answer["hidden"]
    notes = []
    if hidden:
        said = _HIDDEN_ROW if len(hidden) == 1 else _HIDDEN_ROWS
        notes.append(Note("hidden_rows", _(said) % {"count": number(len(hidden)), "lines": _ranges(hidden)}))
    if answer["sheet_is_hidden"]:
        notes.append(Note("hidden_sheet", _(_HIDDEN_SHEET) % {"sheet": sheet}))
    if others := answer["other_sheets"]:
        named = ", ".join(_("“%(text)s”", text=name) for name in others[:_NAMED_SHEETS])
        if len(others) > _NAMED_SHEETS:
            named = _("%(some)s and %(num)s more", some=named, num=number(len(others) - _NAMED_SHEETS))
        notes.append(Note("other_sheets", _(_OTHER_SHEETS) % {"sheet": sheet, "others": named}))
    return notes


def _ranges(lines: Sequence[int]) -> str:
    """Ascending numbers in short: 2, 5–7."""
    ranges: list[list[int]] = []
    for line in lines:
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in ranges)
