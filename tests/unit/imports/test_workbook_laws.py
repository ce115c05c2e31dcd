"""The same rows as CSV and as a workbook give the same answer.

How many are tried can be set: WORKBOOK_FUZZ_EXAMPLES.
"""

from __future__ import annotations

import os

from hypothesis import example, given, settings

from app.imports.client_list import ClientList
from app.imports.csv_reader import read_csv
from app.imports.workbook import table_of
from app.imports.workbook_files import workbook_of
from app.imports.workbook_process import ask_reader
from tests.unit.imports.workbooks import HEADER, as_csv, ods, read_here, sheets, xls, xlsx
from workbook_reader.reading import read

FUZZ = settings(max_examples=int(os.environ.get("WORKBOOK_FUZZ_EXAMPLES", "30")), deadline=None)
Rows = list[list[str]]


def what_is_said(file: ClientList) -> tuple[object, ...]:
    # A workbook has no separator that could be a wrong one.
    codes = [(error.line, error.column, error.code.replace("row_separator", "row_one_cell")) for error in file.errors]
    return file.readable, file.rows, codes


@FUZZ
@given(sheets())
@example([HEADER, *([f"C{n}", f"c{n}@x.test"] for n in range(1000))])
@example([HEADER, *([f"C{n}", f"c{n}@x.test"] for n in range(1001)), ["", "", "x"]])
def test_the_same_rows_give_the_same_answer_as_csv_and_as_a_workbook(rows: Rows) -> None:
    assert what_is_said(read_here(xlsx(rows))) == what_is_said(read_csv(as_csv(rows)))


@settings(FUZZ, max_examples=FUZZ.max_examples // 5)
@given(sheets())
def test_so_they_do_in_the_other_formats(rows: Rows) -> None:
    # XML has no control characters, and only .xlsx has a way to write them.
    rows = [["".join(filter(str.isprintable, cell)) for cell in cells] for cells in rows]
    said = what_is_said(read_csv(as_csv(rows)))
    assert what_is_said(read_here(xls(rows))) == said
    assert what_is_said(read_here(ods(rows))) == said


@settings(FUZZ, max_examples=FUZZ.max_examples // 5)
@given(sheets())
def test_the_annotated_workbook_has_the_same_rows_and_the_same_bad_lines(rows: Rows) -> None:
    data = xlsx(rows)
    file = read_here(data)
    if file.readable:
        table = table_of(read(data))
        again = read_here(workbook_of(table.annotated(file.errors), table.header_line))
        assert again.rows == file.rows
        assert {error.line for error in again.errors} == {error.line for error in file.errors}


@settings(FUZZ, max_examples=max(4, FUZZ.max_examples // 100))
@given(sheets())
def test_the_process_says_what_its_function_says(rows: Rows) -> None:
    data = xlsx(rows)
    answer = ask_reader(data)
    expected = read(data)
    assert "rows" in answer
    assert "rows" in expected
    assert answer == {
        **expected,
        "rows": [[line, cells] for line, cells in expected["rows"]],
        "unsaved": [list(cell) for cell in expected["unsaved"]],
    }
