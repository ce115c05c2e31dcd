"""For any client list two readers agree, and no hostile one costs much time; its memory: tests/crash/test_memory."""

from __future__ import annotations

import csv
import io
import os
import time
from collections import deque

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.imports.csv_reader import annotated_csv, read_csv, report_csv
from app.imports.file_faults import MAX_BYTES
from tests.unit.imports.client_lists import HEADER, cells_of, client_lists, many_rows, spoilt_client_lists, the_error
from tests.unit.imports.second_reader import second_read

# --- laws for any file ---------------------------------------------------------------------------

FUZZ = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")), deadline=None)


@FUZZ
@given(client_lists() | spoilt_client_lists() | st.binary(max_size=60))
@example(HEADER + b'"A\r\nB",a@b.test\r\n"A\rB",x\r"C')
@example(HEADER + many_rows(1000))
@example(HEADER + many_rows(1001))
def test_two_readers_agree(data: bytes) -> None:
    first, second = read_csv(data), second_read(data)
    assert first.readable == second.readable
    assert [(row.line, row.company_name, row.email) for row in first.rows] == second.rows
    assert {error.line for error in first.errors} - {None} == second.bad_lines
    # accepted is what has rows and no error; nothing is ever neither
    assert bool(first.rows or first.errors)


@FUZZ
@given(client_lists() | spoilt_client_lists())
@example(b"company_name,email,problem,\xef\xbb\xbf \r\nAcme,a@b.test\r\n")
def test_the_annotated_file_has_the_same_rows_and_the_same_bad_lines(data: bytes) -> None:
    file = read_csv(data)
    if not file.readable:
        return
    again = read_csv(annotated_csv(data, file.errors))
    assert again.rows == file.rows
    assert {error.line for error in again.errors} == {error.line for error in file.errors}


@FUZZ
@given(client_lists() | spoilt_client_lists() | st.binary(max_size=60))
def test_the_report_of_any_file_runs_nothing(data: bytes) -> None:
    errors = read_csv(data).errors
    _, *rows = cells_of(report_csv(errors))
    assert len(rows) == len(errors)
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for row in rows for cell in row)


# --- hostile files -------------------------------------------------------------------------------


def filled(piece: bytes) -> bytes:
    return HEADER + piece * ((MAX_BYTES - len(HEADER)) // len(piece))


HOSTILE = {
    "blank lines": filled(b"\n"),
    "blank rows": filled(b",\n"),
    "rows": filled(b"a\n"),
    "separators": filled(b","),
    "quotation marks": filled(b'"'),
    "an open quotation mark": HEADER + b'"' + filled(b"x\n")[len(HEADER) : -2],
    "one name": filled(b"x"),
    "combining marks": filled("\u0316\u0301".encode()),
    "long names": HEADER + (b"x" * 3000 + b",x\n") * 1000,
    "no line break but LS": filled("\u2028".encode()),
    "long domains": HEADER + ("A,a@" + "üäж中" * 45 + ".de\n").encode() * 1000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_quickly(data: bytes) -> None:
    """No file of the size that is allowed takes much longer than the library needs for as many lines as fit in."""
    assert len(data) <= MAX_BYTES
    # A fifth of them are enough to see how long all take.
    lines = HOSTILE["blank lines"][: MAX_BYTES // 5].decode()
    began = time.process_time()
    deque(csv.reader(io.StringIO(lines, newline="")), maxlen=0)
    floor, began = 5 * (time.process_time() - began), time.process_time()
    assert read_csv(data).errors
    assert time.process_time() - began < 25 * floor


def test_a_lowered_limit_of_the_csv_module_is_no_exception() -> None:
    limit = csv.field_size_limit(100)
    try:
        assert the_error(HEADER + b"x" * 200 + b",a@b.test").code == "file_quotes"
    finally:
        csv.field_size_limit(limit)
