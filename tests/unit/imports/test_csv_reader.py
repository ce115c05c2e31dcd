"""Client lists in CSV: every odd file gets its answer, and two readers agree on all others."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import subprocess
import sys
import time
from collections import deque

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.csv_cells import escape_formula
from app.imports.csv_errors import SENTENCES, CsvError
from app.imports.csv_reader import (
    MAX_BYTES,
    MAX_ROWS,
    TEMPLATE,
    CsvFile,
    CsvRow,
    annotated_csv,
    duplicate_in_table,
    read_csv,
    report_csv,
)
from tests.unit.imports.second_reader import second_read

HEADER = b"company_name,email\r\n"
ONE_ROW = HEADER + b"Acme,ann@acme.test\r\n"


def the_error(data: bytes) -> CsvError:
    """The single error of a file."""
    (error,) = read_csv(data).errors
    return error


def lines_and_codes(file: CsvFile) -> list[tuple[int | None, str, str]]:
    return [(error.line, error.column, error.code) for error in file.errors]


def many_rows(count: int) -> bytes:
    return b"".join(b"Acme %d,ann%d@acme.test\r\n" % (i, i) for i in range(count))


# --- files that are fine -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        ONE_ROW,
        ONE_ROW.removesuffix(b"\r\n"),
        codecs.BOM_UTF8 + ONE_ROW,
        ONE_ROW.replace(b"\r\n", b"\n"),
        ONE_ROW.replace(b"\r\n", b"\r"),
        ONE_ROW.replace(b",", b";"),
        b'"company_name","email"\r\n"Acme","ann@acme.test"\r\n',
        b'"company_name";"email"\r\n"Acme";"ann@acme.test"\r\n',
        b"Company Name,Email address\r\nAcme,ann@acme.test\r\n",
        b"COMPANY NAME;EMAIL ADDRESS\nAcme;ann@acme.test",
        " Company_Name\u00a0,\tEMAIL \nAcme,ann@acme.test".encode(),
        b"company_name,email\r\n  Acme ,\tANN@acme.test \r\n",
        b"company_name,email,problem\r\nAcme,ann@acme.test,email: wrong before\r\n",
        b"company_name,email,problem\r\nAcme,ann@acme.test\r\n",
    ],
)  # fmt: skip
def test_a_file_as_spreadsheets_write_it_is_read(data: bytes) -> None:
    assert read_csv(data) == CsvFile((CsvRow(2, "Acme", "ann@acme.test"),), (), readable=True)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"sep=,\r\n" + ONE_ROW, [3]),
        (b"sep=;\r\n" + ONE_ROW.replace(b",", b";"), [3]),
        (codecs.BOM_UTF8 + b"SEP=; \n" + ONE_ROW.replace(b",", b";"), [3]),
        (b"\r\n,\r\n" + ONE_ROW, [4]),
        (ONE_ROW + b"\r\n,\r\n , \r\n,,,,\r\nB,b@b.test\r\n\r\n,,\r\n", [2, 7]),
        (HEADER + b'"Acme, Inc.",a@b.test\n"O""Neill & ""Co""",b@b.test', [2, 3]),
        (b'company_name,email,problem\nA,a@b.test,"two\r\nlines\r\n"\nB,b@b.test,x', [2, 5]),
        (HEADER + b'A "quoted" word,a@b.test', [2]),
    ],
)
def test_rows_have_the_line_on_which_they_begin(data: bytes, lines: list[int]) -> None:
    file = read_csv(data)
    assert file.errors == ()
    assert [row.line for row in file.rows] == lines


def test_quoted_cells_are_taken_as_they_are_meant() -> None:
    data = HEADER + b'"Acme, ""The"" Inc.","a@b.test"'
    assert read_csv(data).rows == (CsvRow(2, 'Acme, "The" Inc.', "a@b.test"),)


def test_the_template_is_empty_until_it_is_filled_in() -> None:
    assert the_error(TEMPLATE).code == "file_no_rows"
    assert read_csv(TEMPLATE + b"Acme,ann@acme.test").readable


# --- limits --------------------------------------------------------------------------------------


def test_a_thousand_rows_pass_and_one_more_does_not() -> None:
    file = read_csv(HEADER + many_rows(MAX_ROWS) + b"\r\n,\r\n" * 50)
    assert (len(file.rows), file.errors) == (1000, ())
    error = the_error(HEADER + many_rows(MAX_ROWS + 1))
    assert (error.code, error.line) == ("file_too_many_rows", None)
    assert "line 1002" in error.reason


def test_too_many_rows_are_said_without_the_errors_of_the_first_thousand() -> None:
    assert the_error(HEADER + b"bad\n" * 1001).code == "file_too_many_rows"


def test_three_mebibytes_pass_and_one_byte_more_does_not() -> None:
    padding = b"\n" * (MAX_BYTES - len(ONE_ROW))
    assert MAX_BYTES == 3_145_728
    assert len(read_csv(ONE_ROW + padding).rows) == 1
    assert the_error(ONE_ROW + padding + b"\n").code == "file_too_large"


# --- files of another kind -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "file_empty", "template"),
        (codecs.BOM_UTF8, "file_empty", "template"),
        (b"\r\n \t\r\n\n", "file_empty", "template"),
        (b"sep=;\r\n", "file_empty", "template"),
        (HEADER, "file_no_rows", "below the header"),
        (b"company_name;email", "file_no_rows", "below the header"),
        (HEADER + b"\r\n,\r\n ,\t", "file_no_rows", "below the header"),
        (ONE_ROW.decode().encode("utf-16"), "file_utf16", "CSV UTF-8"),
        (codecs.BOM_UTF16_BE + ONE_ROW.decode().encode("utf-16-be"), "file_utf16", "LibreOffice"),
        (ONE_ROW.decode().encode("utf-16-le"), "file_utf16", "CSV UTF-8"),
        (ONE_ROW.decode().encode("utf-16-be"), "file_utf16", "CSV UTF-8"),
        (ONE_ROW.decode().encode("utf-32"), "file_utf16", "CSV UTF-8"),
        (HEADER + "Müller,a@b.test".encode("cp1252"), "file_not_utf8", "see line 2"),
        (codecs.BOM_UTF8 + HEADER + b"A,a@b.test\r\rM\xfc,b@b.test", "file_not_utf8", "see line 4"),
        (HEADER + b"\xed\xa0\x80,a@b.test", "file_not_utf8", "CSV UTF-8"),
        (HEADER + b"Ac\0me,a@b.test", "file_nul", "in line 2"),
        (ONE_ROW + b"\0" * 3, "file_nul", "in line 3"),
        (b"PK\x03\x04\x14\0\x06\0" + b"\xff" * 99, "file_workbook", ".xlsx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99, "file_old_workbook", ".xls"),
        (b"%PDF-1.7\n%\xe2\xe3", "file_pdf", "PDF"),
        (b"email,company_name\nann@acme.test,Acme", "file_header", "email,company_name"),
        (b"company_name,email,phone\nAcme,ann@acme.test,1", "file_header", "template"),
        (b"company_name,email,DomainError\nAcme,ann@acme.test,1", "file_header", "template"),
        (b"company_name,email,problem,x\nA,a@b.test,,", "file_header", "template"),
        (b"company_name,email address\nA,a@b.test", "file_header", "template"),
        (b"company_name\temail\nA\ta@b.test", "file_header", "template"),
        (b"sep=;\ncompany_name,email\nA,a@b.test", "file_header", "template"),
        (b"company_name", "file_header", "template"),
        (codecs.BOM_UTF8 * 2 + ONE_ROW, "file_header", "template"),
        ('company\u2028name,email\nA,a@b.test'.encode(), "file_header", "template"),
        (b'"company_name,email\nA,a@b.test', "file_header", "template"),
        (b"Acme,ann@acme.test\r\n", "file_header_missing", "Acme,ann@acme.test"),
        (HEADER + b"ab," * 700_000, "file_too_wide", "columns"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_told_what_it_is(data: bytes, code: str, words: str) -> None:
    file = read_csv(data)
    assert lines_and_codes(file) == [(None, "", code)]
    assert words in file.errors[0].message
    assert (file.rows, file.readable) == ((), False)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (HEADER + b'A,a@b.test\n"Acme,ann@acme.test\nB,b@b.test\n', 3),
        (HEADER + b'A,a@b.test\nAcme,"ann@acme.test\n', 3),
        (HEADER + b'"Acme" Inc.,ann@acme.test\n', 2),
        (HEADER + b'\n"Acme\nInc."x,ann@acme.test\n', 3),
        (HEADER + b'"' + b"x\n" * 1_000_000, 2),
    ],
)
def test_an_unclosed_quotation_mark_swallows_nothing(data: bytes, line: int) -> None:
    file = read_csv(data)
    assert (file.rows, file.readable) == ((), False)
    assert lines_and_codes(file) == [(line, "", "file_quotes")]
    assert f"from line {line} on" in file.errors[0].reason


def test_what_is_wrong_before_an_unclosed_quotation_mark_is_named_too() -> None:
    file = read_csv(HEADER + b'A,a@\n"B,b@b.test\n')
    assert lines_and_codes(file) == [(2, "email", "email_domain"), (3, "", "file_quotes")]


# --- bad rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (",a@b.test", [("company_name", "name_missing")]),
        ("Acme,", [("email", "email_missing")]),
        ("Acme", [("email", "row_too_few_cells")]),
        ("Acme;ann@acme.test", [("email", "row_too_few_cells")]),
        ("Acme, Inc.,ann@acme.test", [("company_name", "row_too_many_cells")]),
        ("Acme,ann@acme.test,", [("company_name", "row_too_many_cells")]),
        ("<b>,ann@acme", [("company_name", "name_character"), ("email", "email_domain")]),
        ("A\u2028B,ann@acme.test", [("company_name", "name_line_break")]),
        ("A\x0bB,ann@acme.test", [("company_name", "name_line_break")]),
        ("A\x85B,ann@acme.test", [("company_name", "name_line_break")]),
        ('"A\nB",ann@acme.test', [("company_name", "name_line_break")]),
        ('Acme,"ann@acme.test\r\n"', [("email", "email_line_break")]),
        ("A\ufffdB,ann@acme.test", [("company_name", "name_character")]),
        ('Acme, "ann@acme.test"', [("email", "email_quoted")]),
        ('Acme,"ann@acme.test,eve@acme.test"', [("email", "email_several")]),
        ("x" * 101 + ",ann@acme.test", [("company_name", "name_too_long")]),
        ("x" * 200_000 + ",ann@acme.test", [("company_name", "name_too_long")]),
        ("Acme," + "x" * 200_000, [("email", "email_too_long")]),
        ("Acme,FIRST@acme.test", [("email", "email_duplicate")]),
    ],
)
def test_a_bad_row_is_named_with_its_columns(row: str, expected: list[tuple[str, str]]) -> None:
    file = read_csv(HEADER + f"First,first@acme.test\n{row}\nLast,last@acme.test\n".encode())
    assert [(error.column, error.code) for error in file.errors] == expected
    assert {error.line for error in file.errors} == {3}
    assert [row.company_name for row in file.rows] == ["First", "Last"]
    assert file.readable
    assert all(len(error.value) <= 200 for error in file.errors)


def test_every_bad_row_of_a_file_is_named_at_once() -> None:
    data = HEADER + (
        b"Fine,fine@acme.test\n\nNo Mail,\n,no-name@acme.test\n<b>,at.acme.test\n"
        b'"Two\nLines",two@acme.test\nFine Again,FINE@acme.test\nToo,many,cells\nOne\n'
    )
    file = read_csv(data)
    assert [(error.line, error.code) for error in file.errors] == [
        (4, "email_missing"),
        (5, "name_missing"),
        (6, "name_character"),
        (6, "email_no_at"),
        (7, "name_line_break"),
        (9, "email_duplicate"),
        (10, "row_too_many_cells"),
        (11, "row_too_few_cells"),
    ]
    assert [row.line for row in file.rows] == [2]


def test_a_repeat_is_called_a_duplicate_and_names_the_first() -> None:
    file = read_csv(HEADER + b"<,a@b.test\nB,A@B.test\nC,a@b.test\n")
    repeats = [error for error in file.errors if error.code == "email_duplicate"]
    assert [error.line for error in repeats] == [3, 4]
    for error in repeats:
        assert "duplicate" in error.reason
        assert "line 2" in error.reason


def test_the_same_address_in_other_clothes_is_a_duplicate() -> None:
    rows = ["K,k@müller.de", "B,\u212a@MU\u0308LLER.de", "C,K@xn--mller-kva.de"]
    file = read_csv(HEADER + "\n".join(rows).encode())
    assert [(error.line, error.code) for error in file.errors] == [
        (3, "email_duplicate"),
        (4, "email_duplicate"),
    ]


def test_an_error_tells_the_cell_as_it_stands_in_the_file() -> None:
    (error,) = read_csv(HEADER + b"Acme,  Ann@Acme \n").errors
    assert error.value == "  Ann@Acme "
    assert error.message == f"{error.reason} {error.remedy}"


def test_duplicates_in_the_table_join_the_errors_of_the_file() -> None:
    file = read_csv(HEADER + b"A,a@b.test\nB,b@b.test\nC,c@\n")
    joined = file.with_errors([duplicate_in_table(file.rows[1])])
    assert lines_and_codes(joined) == [
        (3, "email", "email_duplicate_in_table"),
        (4, "email", "email_domain"),
    ]
    assert "duplicate" in joined.errors[0].reason
    assert [row.line for row in joined.rows] == [2]


def test_every_sentence_can_be_filled_and_ends_with_a_full_stop() -> None:
    for reason, remedy in SENTENCES.values():
        assert reason.endswith(".")
        assert remedy.endswith(".")
        assert set(re.findall(r"%(.)", reason + remedy)) <= {"("}


# --- downloads -----------------------------------------------------------------------------------


def cells_of(data: bytes, delimiter: str = ",") -> list[list[str]]:
    text = data.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


def test_the_annotated_file_is_the_admins_own_with_a_third_column() -> None:
    data = HEADER + b'=1+1,ok@acme.test\r\n\r\n"A\nB", x \r\nOne\r\n"A, B", Inc.,c@acme.test\r\n'
    file = read_csv(data)
    header, formula, blank, broken, short, long = cells_of(annotated_csv(data, file.errors))
    assert header == ["company_name", "email", "problem"]
    assert formula[:2] == ["=1+1", "ok@acme.test"]
    assert blank == []
    assert broken[:2] == ["A\nB", " x "]
    assert broken[2].startswith("company_name: The name contains a line break.")
    assert " email: The e-mail address has no @." in broken[2]
    assert short[:2] == ["One", ""]
    assert short[2].startswith("email: ")
    assert long[:3] == ["A, B", " Inc.", "c@acme.test"]
    assert long[3].startswith("company_name: ")


@pytest.mark.parametrize("first_line", [b"", b"sep=;\r\n"])
@pytest.mark.parametrize("line_break", [b"\n", b"\r", b"\r\n"])
def test_the_annotated_file_keeps_separator_and_lines(first_line: bytes, line_break: bytes) -> None:
    data = first_line + line_break.join([b"company_name;email", b'"A;B";a@b.test', b";", b'"C\rD";c@b.test', b"E;e@"])
    errors = read_csv(data).errors
    annotated = annotated_csv(data, errors)
    assert annotated.startswith(codecs.BOM_UTF8 + first_line)
    assert lines_and_codes(read_csv(annotated)) == lines_and_codes(read_csv(data))
    assert annotated_csv(annotated, errors) == annotated


def test_a_mended_annotated_file_is_accepted() -> None:
    data = HEADER + b"Acme,ann@acme\nB,b@b.test\n"
    annotated = annotated_csv(data, read_csv(data).errors)
    assert not read_csv(annotated).rows[1:]
    mended = annotated.replace(b"ann@acme,", b"ann@acme.test,")
    assert [row.email for row in read_csv(mended).rows] == ["ann@acme.test", "b@b.test"]
    assert read_csv(mended).errors == ()


def test_a_file_without_cells_cannot_be_annotated() -> None:
    for data in (b"", b"PK\x03\x04", HEADER + b'"A', HEADER + b"x\n" * 1001):
        with pytest.raises(ValueError, match=r"\.$"):
            annotated_csv(data, read_csv(data).errors)


def test_the_report_names_every_error_and_runs_nothing() -> None:
    file = read_csv(HEADER + b'"=HYPERLINK(""x"")",a@b.test\n"a;=1",+1@\n')
    report = report_csv(file.errors)
    assert report.startswith(codecs.BOM_UTF8)
    header, *rows = cells_of(report)
    assert header == ["line", "column", "value", "problem", "remedy"]
    assert [row[:3] for row in rows] == [
        ["2", "company_name", '\'=HYPERLINK("x")'],
        ["3", "company_name", "a;'=1"],
        ["3", "email", "'+1@"],
    ]
    assert cells_of(report_csv(read_csv(b"").errors))[1][0] == ""


@pytest.mark.parametrize(
    ("cell", "escaped"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t'=1"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\nx", "'\nx"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ("a;=1", "a;'=1"),
        ("a\n=1", "a\n'=1"),
        ("", ""),
        ("Acme - Sons + Co = us @ home", "Acme - Sons + Co = us @ home"),
        ("ann-marie@acme.test", "ann-marie@acme.test"),
    ],
)
def test_formulas_are_escaped(cell: str, escaped: str) -> None:
    assert escape_formula(cell) == escaped


# --- laws for any file ---------------------------------------------------------------------------

FUZZ = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "200")), deadline=None)

NAMES = st.sampled_from(["Acme", "Müller", "A,B", "A;B", 'A "B"', "A\nB", "A\r\nB", "A\u2028B", "<", "", " ", "\u00a0"])
GOOD_NAMES = st.sampled_from(["Acme", "Müller & Co. KG", "A, B; C", '"The" Inc.', '"', "  株式会社 "])
EMAILS = st.sampled_from(["a@b.test", "A@B.test ", "c@d.test", "g@", "", "k@x.test", "\u212a@x.test", "a@b.test\n"])
MANY_EMAILS = st.integers(0, 10**9).map("p{}@many.test".format)
# Cells put down raw: quotation marks and separators where they belong and where they do not.
RAW_CELLS = st.text(st.sampled_from('ab,;"\r\n \t\u2028é'), max_size=8)
LINE_BREAKS = st.sampled_from(["\n", "\r\n", "\r"])
HEADERS = st.sampled_from(
    [["company_name", "email"]] * 16
    + [["company_name", "email", "problem"]] * 4
    + [
        [" COMPANY_NAME", "Email\t"],
        ["Company Name", "Email address"],
        ["company_name", "email", "DomainError"],
        ["company_name", "email address"],
        ["email", "company_name"],
    ]
)
PROLOGUES = st.sampled_from(["", "", "", "\n", ",\n", "sep=;\r\n", "sep=,\n", "Sep=; \r"])
MARKS = st.sampled_from([b"", b"", codecs.BOM_UTF8])


def quoted(cell: str, separator: str) -> str:
    if re.search(rf'[{separator}"\r\n]', cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell


@st.composite
def client_lists(draw: st.DrawFn) -> bytes:
    """Files near to what spreadsheets write: half of them well made, half with broken lines."""
    prologue = draw(PROLOGUES)
    separator = ";" if "=;" in prologue else draw(st.sampled_from(",,;"))
    well_made = draw(st.booleans())
    lines = [draw(HEADERS)]
    for number in range(draw(st.integers(0, 12))):
        if well_made:
            cells = [draw(GOOD_NAMES), f"ann{number}@many.test", "x"]
        else:
            cells = [draw(NAMES), draw(EMAILS | MANY_EMAILS), "x"]
        odd = not well_made and draw(st.integers(0, 4)) == 0
        lines.append(cells[: draw(st.sampled_from([1, 3])) if odd else 2])
    text = ""
    for cells in lines:
        text += separator.join(quoted(cell, separator) for cell in cells) + draw(LINE_BREAKS)
        if draw(st.integers(0, 9)) == 0:
            rubbish = st.sampled_from(["", separator, " "]) if well_made else RAW_CELLS
            text += draw(rubbish) + draw(LINE_BREAKS)
    return draw(MARKS) + (prologue + text).encode()


ODD_BYTES = st.sampled_from([b"\0", b"\xfc", b"\xff\xfe", b'"', b"\r", b",", codecs.BOM_UTF8, "\u2028".encode()])


@st.composite
def spoilt_client_lists(draw: st.DrawFn) -> bytes:
    data = draw(client_lists())
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(ODD_BYTES) + data[at + draw(st.integers(0, 2)) :]


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
    lines = HOSTILE["blank lines"].decode()
    began = time.process_time()
    deque(csv.reader(io.StringIO(lines, newline="")), maxlen=0)
    floor, began = time.process_time() - began, time.process_time()
    assert read_csv(data).errors
    assert time.process_time() - began < 25 * floor


def test_a_hostile_file_takes_bounded_memory() -> None:
    """In a process of its own, since the tests before this one have raised the peak already."""
    script = (
        "import resource\n"
        "from app.imports.csv_reader import read_csv\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "read_csv(b'company_name,email\\n' + b'ab,' * 499_990 + b'\\n' * 1_600_000)\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert int(done.stdout) < 64 * 1024


def test_a_lowered_limit_of_the_csv_module_is_no_exception() -> None:
    limit = csv.field_size_limit(100)
    try:
        assert the_error(HEADER + b"x" * 200 + b",a@b.test").code == "file_quotes"
    finally:
        csv.field_size_limit(limit)
