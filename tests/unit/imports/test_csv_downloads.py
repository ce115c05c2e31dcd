"""The files that are given back name every error, keep the cells and run nothing."""

from __future__ import annotations

import codecs

import pytest

from app.core.csv_cells import escape_formula
from app.imports.csv_reader import annotated_csv, read_csv, report_csv
from tests.unit.imports.client_lists import HEADER, cells_of, lines_and_codes


def test_the_annotated_file_is_the_admins_own_with_a_third_column() -> None:
    data = HEADER + b'=1+1,ok@acme.test\r\n\r\n"A\nB", x \r\nOne\r\n"A, B", Inc.,c@acme.test\r\n'
    file = read_csv(data)
    header, formula, blank, broken, short, long = cells_of(annotated_csv(data, file.errors))
    assert header == ["company_name", "email", "problem"]
    assert formula[:2] == ["=1+1", "ok@acme.test"]
    assert blank == []
    assert broken[:2] == ["A\nB", " x "]
    assert broken[2].startswith("company_name: The name contains a line break.")
    assert " email: The email address has no @." in broken[2]
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
