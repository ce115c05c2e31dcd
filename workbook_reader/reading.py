"""The bytes of a workbook, to an answer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

from python_calamine import CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from workbook_reader import ods, xlsx
from workbook_reader.answers import BROKEN, Answer, Refusal, Unreadable
from workbook_reader.archive import opened
from workbook_reader.cells import text_of
from workbook_reader.look import SheetLook
from workbook_reader.rows import answer

OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ODS: Final = b"application/vnd.oasis.opendocument.spreadsheet"


def read(data: bytes) -> Answer | Refusal:
    """Read the first worksheet of an .xlsx, .xls or .ods file. Raises `MemoryError` and nothing else."""
    try:
        if data.startswith(OLE):
            from workbook_reader.xls import read_xls

            return read_xls(data)
        return _read_archive(data)
    except Unreadable as refused:
        return refused.refusal
    except MemoryError:
        raise
    except BaseException as error:
        # A panic in Rust is no Exception. What else a damaged file makes the libraries raise is of many kinds.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return Unreadable(BROKEN, "damaged").refusal


def _read_archive(data: bytes) -> Answer:
    archive = opened(data)
    names = {name.lower() for name in archive.namelist()}
    is_ods = "mimetype" in names and archive.read("mimetype").startswith(_ODS)
    if "xl/workbook.bin" in names:
        raise Unreadable(BROKEN, "xlsb")
    if not is_ods and "xl/workbook.xml" not in names:
        raise Unreadable(BROKEN, "no_workbook")
    look = ods.look_at(archive) if is_ods else None
    book = CalamineWorkbook.from_filelike(io.BytesIO(data))
    sheets = book.sheets_metadata
    number = next((n for n, sheet in enumerate(sheets) if sheet.typ == SheetTypeEnum.WorkSheet), None)
    if number is None:
        raise Unreadable(BROKEN, "no_worksheet")
    look = look or xlsx.look_at(archive, number)
    return answer(
        _rows(book.get_sheet_by_index(number), look),
        is_hidden=look.is_hidden,
        unsaved=look.unsaved,
        sheet=sheets[number].name,
        sheet_is_hidden=sheets[number].visible != SheetVisibleEnum.Visible,
        other_sheets=[sheet.name for n, sheet in enumerate(sheets) if n != number],
    )


def _rows(sheet: CalamineSheet, look: SheetLook) -> Iterator[tuple[int, int, list[str]]]:
    """The rows of a sheet, with the texts that calamine leaves out."""
    lost = dict(look.lost)
    first = sheet.start[1] if sheet.start else 0
    for line, values in enumerate(sheet.iter_rows() if sheet.start else (), 1):
        cells = [text_of(value) for value in values]
        if line in lost:
            yield line, 0, _with(lost.pop(line), [*[""] * first, *cells])
        else:
            yield line, first, cells
    for line in sorted(lost):
        yield line, 0, _with(lost[line], [])


def _with(lost: dict[int, str], cells: list[str]) -> list[str]:
    for column, text in lost.items():
        cells += [""] * (column + 1 - len(cells))
        cells[column] = cells[column] or text
    return cells
