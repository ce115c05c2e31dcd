"""Client lists of every kind that is read: CSV files and workbooks, told apart by their content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.imports.client_list import ClientList
from app.imports.csv_reader import annotated_csv, read_csv
from app.imports.file_faults import MAX_BYTES, FileError
from app.imports.list_errors import ListError
from app.imports.workbook import is_workbook, list_of, table_of
from app.imports.workbook_files import XLSX, workbook_of
from app.imports.workbook_process import ask_reader

CSV = "text/csv; charset=utf-8"


@dataclass(frozen=True)
class OutFile:
    """A file that we give out. `ending` is that of its name, with the dot."""

    content: bytes
    content_type: str
    ending: str


def read_file(data: bytes) -> ClientList:
    """Read a client list. `data` may be any bytes. See `read_list`.

    Raises `Conflict` if a workbook cannot be read now.
    """
    if is_workbook(data) and len(data) <= MAX_BYTES:
        return list_of(ask_reader(data))
    return read_csv(data)


def annotated_file(data: bytes, errors: Iterable[ListError]) -> OutFile:
    """The annotated file: the admin's own file with a column `problem` that describes each bad row's errors.

    `read_file` accepts it again once the rows are corrected. That of a workbook is an .xlsx with the same rows in the
    same lines, all cells as text. Raises `ValueError` if the file cannot be split into cells: check
    `ClientList.readable` first. Raises `Conflict` as `read_file` does.
    """
    if not is_workbook(data):
        return OutFile(annotated_csv(data, errors), CSV, ".csv")
    try:
        table = table_of(ask_reader(data))
        return OutFile(workbook_of(table.annotated(errors), table.header_line), XLSX, ".xlsx")
    except FileError as fault:
        raise ValueError(fault.error.reason) from fault
