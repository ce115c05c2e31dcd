"""A client list in a workbook is read like one in CSV, and what cannot be read is told."""

from __future__ import annotations

import datetime
import io

import pytest
import xlsxwriter
import xlwt

from app.core.text import BLANKS
from app.imports.client_list import ClientRow
from app.imports.workbook import table_of
from app.imports.workbook_files import workbook_of
from tests.unit.imports.client_lists import lines_and_codes
from tests.unit.imports.workbooks import (
    ACME,
    HEADER,
    OLE,
    RAW_HEADER,
    archive,
    ods,
    other_ole,
    raw_ods,
    raw_row,
    raw_xlsx,
    read_here,
    xls,
    xls_with_a_password,
    xlsx,
)
from workbook_reader import answers
from workbook_reader.reading import read

MAKERS = {"xlsx": xlsx, "xls": xls, "ods": ods}


def test_the_reader_knows_what_is_blank() -> None:
    assert answers.BLANKS == BLANKS


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_rows_are_those_of_the_sheet_with_its_line_numbers(make: type) -> None:
    file = read_here(
        make(
            [
                [],
                HEADER,
                ["Müller & <Söhne>  KG".replace("<", "").replace(">", ""), "a@b.test"],
                [],
                [" ", ""],
                ["B", "b@", "x"],
            ]
        )
    )
    assert [(row.line, row.email) for row in file.rows] == [(3, "a@b.test")]
    assert lines_and_codes(file) == [(6, "company_name", "row_too_many_cells")]
    assert file.readable
    assert file.notes == ()


def test_a_list_may_begin_further_down_but_not_further_right() -> None:
    assert read_here(xlsx([HEADER, ACME], at=(9, 0))).rows == (ClientRow(11, *ACME),)
    (error,) = read_here(xlsx([HEADER, ACME], at=(4, 1))).errors
    assert (error.code, "A5 is empty" in error.reason) == ("header_name", True)


def a_sheet_of_values() -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True, "default_date_format": "dd.mm.yy"}) as book:
        sheet = book.add_worksheet()
        clock = book.add_format({"num_format": "hh:mm"})
        hours = book.add_format({"num_format": "[h]:mm:ss"})
        for line, value in enumerate(
            [3, 0.1 + 0.2, 441234567890, 1e20, datetime.date(2026, 3, 1), datetime.datetime(2026, 3, 1, 14, 30), True]
        ):
            sheet.write(line, 0, value)
        sheet.write_number(7, 0, 0.5, clock)
        sheet.write_number(8, 0, 1.25, hours)
        sheet.write_formula(9, 0, "=NA()", None, "#N/A")
        sheet.write_formula(10, 0, "=1+1", None, 2)
        sheet.write_formula(11, 0, '=A1&""', None, "three")
    return out.getvalue()


def test_cells_are_text_as_people_see_them() -> None:
    answer = read(a_sheet_of_values())
    assert "rows" in answer
    assert [cells[0] for _line, cells in answer["rows"]] == [
        "3", "0.3", "441234567890", "1E+20", "2026-03-01", "2026-03-01 14:30", "TRUE", "12:00", "30:00:00", "#N/A",
        "2", "three",
    ]  # fmt: skip


def test_cells_of_an_xls_are_the_same_text() -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Old")
    dates = xlwt.easyxf(num_format_str="YYYY-MM-DD")
    for line, value in enumerate([3.0, 0.1 + 0.2, True, "text"]):
        sheet.write(line, 0, value)
    sheet.write(4, 0, datetime.date(2026, 3, 1), dates)
    sheet.row(5).set_cell_error(0, 0x2A)
    hours = xlwt.easyxf(num_format_str="[h]:mm:ss")
    for line, number in enumerate([1.25, 1e300], 6):
        sheet.write(line, 0, number, hours)
    out = io.BytesIO()
    book.save(out)
    answer = read(out.getvalue())
    assert "rows" in answer
    assert [cells[0] for _line, cells in answer["rows"]] == [
        "3", "0.3", "TRUE", "text", "2026-03-01", "#N/A", "30:00:00", "1E+300",
    ]  # fmt: skip


def test_a_time_of_more_than_a_day_in_an_ods_is_the_same_text() -> None:
    cell = '<table:table-cell office:value-type="time" office:time-value="PT30H00M00S"><text:p>30:00</text:p>'
    answer = read(raw_ods(raw_row(f"{cell}</table:table-cell>")))
    assert "rows" in answer
    assert answer["rows"] == [(1, ["30:00:00"])]


ERROR_CELL = (
    '<table:table-cell table:formula="of:=NA()" office:value-type="string" office:string-value=""'
    ' calcext:value-type="error"><text:p>#N/A</text:p></table:table-cell>'
)
TEXT_CELL = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
FORMULA_CELL = '<table:table-cell table:formula="of:=[.D1]"/>'
ODS_HEADER = raw_row(TEXT_CELL.format("company_name") + TEXT_CELL.format("email"))
FORMULAS = {
    "xlsx": raw_xlsx(
        RAW_HEADER
        + '<row r="2"><c r="A2" t="e"><f>NA()</f><v>#N/A</v></c><c r="B2"><f>D2</f></c></row>'
        + '<row r="4"><c r="A4"><f>D4</f><v/></c><c r="B4" t="e"><v>#REF!</v></c></row>'
        + '<row r="5"><c r="A5" t="str"><f>D5</f><v></v></c></row>'
    ),
    "ods": raw_ods(
        ODS_HEADER
        + raw_row(ERROR_CELL + FORMULA_CELL)
        + raw_row("<table:table-cell/>")
        + raw_row(FORMULA_CELL + ERROR_CELL)
    ),
}


@pytest.mark.parametrize("data", FORMULAS.values(), ids=FORMULAS.keys())
def test_errors_of_formulas_and_formulas_without_a_result_are_told_apart_from_empty_cells(data: bytes) -> None:
    assert lines_and_codes(read_here(data)) == [
        (2, "company_name", "name_spreadsheet_error"),
        (2, "email", "email_formula"),
        (4, "company_name", "name_formula"),
        (4, "email", "email_spreadsheet_error"),
    ]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_hidden_rows_are_read_and_told(make: type) -> None:
    file = read_here(make([HEADER, *([f"C{n}", f"c{n}@x.test"] for n in range(6))], hidden=[3, 5, 6]))
    assert len(file.rows) == 6
    assert [note.kind for note in file.notes] == ["hidden_rows"]
    assert "3 rows are hidden" in file.notes[0].text
    assert "lines 3, 5–6" in file.notes[0].text


def test_hidden_and_further_sheets_are_told_also_of_a_file_that_is_refused() -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        first, second = book.add_worksheet("Notes"), book.add_worksheet("Clients")
        second.activate()
        second.set_first_sheet()
        first.hide()
    file = read_here(out.getvalue())
    assert lines_and_codes(file) == [(None, "", "file_empty")]
    assert "“Notes”" in file.errors[0].reason
    assert [note.kind for note in file.notes] == ["hidden_sheet", "other_sheets"]
    assert "“Clients”" in file.notes[1].text


def one_row_of(cells: list[str]) -> bytes:
    return xlsx([HEADER, cells])


WRONG = {
    "one cell": (one_row_of(["Acme ann@acme.test"]), 2, "row_one_cell"),
    "one cell with a comma": (one_row_of(["Acme;ann@acme.test"]), 2, "row_one_cell"),
    "three cells": (one_row_of([*ACME, "x"]), 2, "row_too_many_cells"),
    "no address": (one_row_of(["Acme"]), 2, "email_missing"),
    "a number and no address": (one_row_of(["42", "#N/A"]), 2, "email_spreadsheet_error"),
    "merged header": (xlsx([["company_name"], ACME]), None, "header_name"),
    "a title above": (xlsx([["Our clients"], HEADER, ACME]), None, "header_not_first"),
    "swapped": (xlsx([HEADER[::-1], ACME[::-1]]), None, "header_swapped"),
    "CSV in one column": (xlsx([["company_name;email"], ["Acme;ann@acme.test"]]), None, "header_one_cell"),
    "no header": (xlsx([ACME]), None, "header_missing"),
    "a further column": (xlsx([[*HEADER, "phone"], [*ACME, "1"]]), None, "header_extra"),
    "a header alone": (xlsx([HEADER]), None, "file_no_rows"),
    "1,001 rows": (xlsx([HEADER, *([f"C{n}", f"c{n}@x.test"] for n in range(1001))]), None, "file_too_many_rows"),
    "something in column Q": (xlsx([HEADER, [*ACME, *[""] * 14, "x"]]), None, "file_too_wide"),
    "a far cell": (
        raw_xlsx(RAW_HEADER + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'), None, "file_workbook_too_large",
    ),
    "a row a million times": (
        raw_ods(ODS_HEADER + raw_row(TEXT_CELL.format("a"), ' table:number-rows-repeated="1000000"')),
        None,
        "file_workbook_too_large",
    ),
    "a bomb": (raw_xlsx(RAW_HEADER + " " * (33 << 20)), None, "file_workbook_too_large"),
    "a bomb that lies": (
        raw_xlsx(RAW_HEADER + " " * (33 << 20)).replace(
            (len(RAW_HEADER) + (33 << 20) + 109).to_bytes(4, "little"), (9).to_bytes(4, "little")
        ),
        None,
        "file_workbook_too_large",
    ),
    "too much text": (xlsx([HEADER, *[["n" * 32_000, "x"]] * 100]), None, "file_workbook_too_large"),
    "an encrypted .xlsx": (other_ole("EncryptedPackage"), None, "file_workbook_encrypted"),
    "an encrypted .xls": (xls_with_a_password(), None, "file_workbook_encrypted"),
    "an encrypted .ods": (raw_ods("", "<manifest:encryption-data/>"), None, "file_workbook_encrypted"),
    "a Word document": (other_ole("WordDocument"), None, "file_workbook_broken"),
    "an OLE beginning": (OLE + bytes(99), None, "file_workbook_broken"),
    "a ZIP archive": (archive({"clients.csv": "company_name,email"}), None, "file_workbook_broken"),
    "an empty ZIP archive": (archive({}), None, "file_workbook_broken"),
    "a text document": (raw_ods("", kind="text"), None, "file_workbook_broken"),
    "a binary workbook": (archive({"xl/workbook.bin": b"\x83\x01"}), None, "file_workbook_broken"),
    "no sheet": (raw_xlsx("", sheets=""), None, "file_workbook_broken"),
    "only charts": (raw_xlsx("", kind="chartsheet"), None, "file_workbook_broken"),
    "only macros": (raw_xlsx("", kind="macrosheet"), None, "file_workbook_broken"),
    "entities": (
        raw_xlsx(RAW_HEADER, doctype='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
        None,
        "file_workbook_broken",
    ),
    "cut off": (xlsx([HEADER, ACME])[:-300], None, "file_workbook_broken"),
    "an .xls cut off": (xls([HEADER, ACME])[:2000], None, "file_workbook_broken"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "line", "code"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_with_a_workbook_is_told(data: bytes, line: int | None, code: str) -> None:
    file = read_here(data)
    assert [(error.line, error.code) for error in file.errors] == [(line, code)]
    said = file.errors[0].message
    assert not any(word in said for word in ("separator", "quotation", "%(")) or code == "row_one_cell"


def test_the_annotated_copy_has_the_same_rows_in_the_same_lines_and_is_read_again() -> None:
    data = xlsx([[], HEADER, ["=1+1", "a@b.test"], [], ["<", "nowhere"], ["Fine", "fine@b.test"], [*ACME, "x"]])
    file = read_here(data)
    table = table_of(read(data))
    copy = read(workbook_of(table.annotated(file.errors), table.header_line))
    assert "rows" in copy
    cells = dict(copy["rows"])
    assert cells[2][:3] == [*HEADER, "problem"]
    assert cells[3][0] == "=1+1"
    assert cells[6][:3] == ["Fine", "fine@b.test", ""]
    assert "cells instead of two" in cells[7][3]
    again = read_here(workbook_of(table.annotated(file.errors), table.header_line))
    assert again.rows == file.rows
    assert {error.line for error in again.errors} == {3, 5, 7}
