"""Reads an .xls file (Excel 5.0 to 2003) with xlrd, which tells errors of formulas and hidden rows as well."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import xlrd

from workbook_reader.answers import BROKEN, ENCRYPTED, Answer, Unreadable
from workbook_reader.cells import text_of
from workbook_reader.rows import answer

# What a number format has for a time of more than a day.
_DURATION: Final = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)


def read_xls(data: bytes) -> Answer:
    """Read the first worksheet. Raises `Unreadable`, and anything else if the file is damaged."""
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise Unreadable(ENCRYPTED, "")
    with open(os.devnull, "w") as log:
        try:
            book = xlrd.open_workbook(file_contents=data, formatting_info=True, ragged_rows=True, logfile=log)
        except xlrd.XLRDError as error:
            if "encrypted" in str(error):
                raise Unreadable(ENCRYPTED, "") from error
            if "find workbook" in str(error):
                raise Unreadable(BROKEN, "no_workbook") from error
            raise
    sheets = book.sheets()
    if not sheets:
        raise Unreadable(BROKEN, "no_worksheet")
    sheet = sheets[0]
    hidden = {line for line in range(1, sheet.nrows + 1) if _is_hidden(sheet, line)}
    return answer(
        _rows(sheet, book),
        is_hidden=hidden.__contains__,
        sheet=sheet.name,
        sheet_is_hidden=bool(sheet.visibility),
        other_sheets=[other.name for other in sheets[1:]],
    )


def _is_hidden(sheet: xlrd.sheet.Sheet, line: int) -> bool:
    information = sheet.rowinfo_map.get(line - 1)
    return bool(information and information.hidden)


def _rows(sheet: xlrd.sheet.Sheet, book: xlrd.Book) -> Iterator[tuple[int, int, list[str]]]:
    for row in range(sheet.nrows):
        yield row + 1, 0, [_text(cell, book) for cell in sheet.row(row)]


def _text(cell: xlrd.sheet.Cell, book: xlrd.Book) -> str:
    kind, value = cell.ctype, cell.value
    if kind == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(value, "#N/A"))
    if kind == xlrd.XL_CELL_BOOLEAN:
        return text_of(bool(value))
    if kind == xlrd.XL_CELL_DATE:
        number_format = book.format_map[book.xf_list[cell.xf_index].format_key].format_str
        try:
            if _DURATION.search(number_format):
                return text_of(timedelta(days=value))
            at: datetime = xlrd.xldate_as_datetime(value, book.datemode)
        except (ValueError, OverflowError):
            return text_of(value)
        rounded = at.replace(microsecond=0)
        return text_of(rounded.time() if isinstance(value, float) and 0 < value < 1 else rounded)
    return text_of(value)
