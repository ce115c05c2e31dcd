"""The workbooks that we give out: the template, and an admin's own list with a column of errors. Pure."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Final

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from app.imports.header import PROBLEM
from app.imports.list_errors import COMPANY_NAME, EMAIL

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_CELL_LENGTH: Final = 32_767  # what a cell of Excel can hold
_WIDTHS: Final = (36, 36)  # characters
_PROBLEM_WIDTH: Final = 90
_HEADER: Final = {"bold": True, "bg_color": "#E8EEF4", "bottom": 1, "num_format": "@"}


def template_xlsx() -> bytes:
    """The template as a workbook. Its columns are text, so that a spreadsheet changes nothing that is typed there."""
    return workbook_of([(1, [COMPANY_NAME, EMAIL])], header_line=1)


def workbook_of(lines: Iterable[tuple[int, list[str]]], header_line: int) -> bytes:
    """A workbook with these lines in its only sheet, each in the row of its number. All cells are text.

    A cell longer than Excel allows is cut.
    """
    out = io.BytesIO()
    with Workbook(out, {"in_memory": True}) as book:
        sheet: Worksheet = book.add_worksheet("Clients")
        text: Format = book.add_format({"num_format": "@"})
        header: Format = book.add_format(_HEADER)
        for column, width in enumerate(_WIDTHS):
            sheet.set_column(column, column, width, text)
        for line, cells in lines:
            for column, cell in enumerate(cells):
                if line == header_line and cell.strip().lower() == PROBLEM:
                    sheet.set_column(column, column, _PROBLEM_WIDTH, text)
                sheet.write_string(line - 1, column, cell[:_CELL_LENGTH], header if line == header_line else text)
        sheet.freeze_panes(header_line, 0)
    return out.getvalue()
