"""A header, a row or a whole file that is refused is told what is wrong with it, by kind and not by example."""

from __future__ import annotations

import codecs

import pytest

from app.imports.csv_reader import annotated_csv, read_csv
from tests.unit.imports.client_lists import HEADER, cells_of, lines_and_codes, the_error

ROW = "Acme,ann@acme.test\n"

FILES = {
    "header_swapped": [
        "email,company_name\nann@acme.test,Acme\n",
        "Email address;Company Name\nann@acme.test;Acme\n",
        "email,company_name,,\n",
        "email,company_name,phone\n",
    ],
    "header_one_cell": [
        '"company_name,email"\n"Acme,ann@acme.test"\n',
        '"Company Name;Email address"\n',
        '"company_name,""email"""\n',
        '"company_name,email",,\n',
    ],
    "header_not_first": [
        f"Table 1\ncompany_name,email\n{ROW}",
        f"Table 1,,\n,,\nCompany Name,Email address\n{ROW}",
        "Clients of\n2026\ncompany_name;email\nAcme;ann@acme.test\n",
        f"Asked by eve@acme.test\ncompany_name,email\n{ROW}",
    ],
    "header_separator": [
        "company_name\temail\nAcme\tann@acme.test\n",
        '"company_name"\t"email"\n',
        "company_name|email\n",
        "Company Name\tEmail address\n",
        "company_name，email\n",
        f"sep=;\ncompany_name,email\n{ROW}",
        "sep=\t\ncompany_name\temail\n",
        "email\tcompany_name\n",
    ],
    "header_name": [
        "Company,E-mail\nAcme,ann@acme.test\n",
        "company_name,mail\n",
        "Company,email\n",
        "company_name,Email address\n",
        "Company Name,email\n",
        "company_name\n",
        "company_name,,email\n",
        "ï»¿company_name,email\n",
        "“company_name”,“email”\n",
    ],
    "header_extra": [
        "company_name,email,phone\n",
        "company_name,email,,phone\n",
        "id,company_name,email\n",
        "company_name,phone,email\n",
        "company_name;email;problem;note\n",
        "company_name,email,status\n",
    ],
    "header_missing": [ROW, "Acme;ann@acme.test\n", '"Acme, Inc.",ann@acme.test\n', "Acme\tann@acme.test\n"],
    "file_html": [
        "<html><table><tr><td>company_name</td></tr></table></html>",
        "\ufeff\n <!DOCTYPE html>\n<p>x",
        "<TABLE border=1>",
        '<?xml version="1.0"?><x/>',
    ],
    "file_json": ['[{"company_name": "Acme"}]', '{"clients": []}', "[]", '\ufeff[["Acme"]]', "{\n}"],
    "file_rtf": [r"{\rtf1\ansi company_name,email}"],
    "file_pdf": ["%PDF-1.7", "\ufeff%PDF-1.7"],
    "file_quotes": ['"company_name,email\nAcme\n'],
}


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in FILES.items() for text in texts])
def test_a_file_has_the_code_of_its_kind(code: str, text: str) -> None:
    file = read_csv(text.encode())
    assert lines_and_codes(file) == [(None, "", code)]
    assert (file.rows, file.readable) == ((), False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Company,E-mail\n", "A1 is “Company”, B1 is “E-mail”"),
        ("company_name,mail\n", "but B1 is “mail”"),
        ("Company Name,mail\n", "but B1 is “mail”"),
        ("\n\nCompany Name,email\n", "A3 is “Company Name”, B3 is “email”"),
        ("company_name,email,,phone\n", "D1 is “phone”. Delete these columns: C, D."),
        ("id,company_name,email\n", "Delete these columns: A."),
        ("company_name,email" + ",x" * 40 + "\n", "Delete these columns: C, D, E, F, G, …."),
        (f"Table 1\n\ncompany_name,email\n{ROW}", "on line 3"),
        ("company_name\temail\n", "is a tab instead of “,” or “;”"),
        (f"sep=;\ncompany_name,email\n{ROW}", "is “,” instead of “;”"),
    ],
)
def test_a_header_is_mended_in_the_words_of_a_spreadsheet(text: str, words: str) -> None:
    assert words in the_error(text.encode()).message


ROWS = {
    ("company_name", "row_one_cell"): [
        '"Acme,ann@acme.test"',
        '"Acme, Inc.,ann@acme.test"',
        '"""Acme"",""ann@acme.test"""',
        '"Acme,ann@acme.test",,',
        "Acme ann@acme.test",
        "Acme <ann@acme.test>",
    ],
    ("company_name", "row_separator"): [
        "Acme;ann@acme.test",
        "Acme\tann@acme.test",
        "Acme|ann@acme.test",
        "Acme;ann@acme.test,",
        "Acme, Inc.;ann@acme.test",
        "A, B, C;ann@acme.test",
    ],
    ("email", "row_too_few_cells"): ["Acme", "ann@acme.test", '"Acme, Inc."'],
    ("company_name", "row_too_many_cells"): ["Acme,ann@acme.test,x", "Acme, Inc.,ann@acme.test", ",Acme,ann@acme.test"],
    ("email", "email_comma_in_domain"): [
        "Acme,ann@acme,test",
        "Acme,ann@acme.co,uk",
        '"A, B",ann@mail,acme,test',
        'Acme,"ann@acme,test"',
    ],
    ("email", "email_missing"): ["Acme,", "ann@acme.test,,"],
    ("email", "email_no_at"): ["Acme,x", "ann@acme.test,Acme"],
    ("company_name", "name_spreadsheet_error"): ["#N/A,ann@acme.test"],
    ("email", "email_spreadsheet_error"): ["Acme,#N/A"],
}


@pytest.mark.parametrize(("expected", "row"), [(expected, row) for expected, rows in ROWS.items() for row in rows])
def test_a_row_has_the_code_of_its_kind(expected: tuple[str, str], row: str) -> None:
    data = HEADER + f"First,first@acme.test\n{row}\nLast,last@acme.test\n".encode()
    file = read_csv(data)
    assert lines_and_codes(file) == [(3, *expected)]
    assert [row.line for row in file.rows] == [2, 4]
    # The annotated file has the missing cell, an empty one.
    again = ("email", "email_missing") if expected[1] == "row_too_few_cells" else expected
    assert lines_and_codes(read_csv(annotated_csv(data, file.errors))) == [(3, *again)]


def test_a_row_of_a_file_with_semicolons_is_told_of_its_comma() -> None:
    (error,) = read_csv(b"company_name;email\nAcme,ann@acme.test\n").errors
    assert (error.code, error.reason) == ("row_separator", "The separator here is “,”, but the header uses “;”.")


def test_a_row_with_two_faults_in_its_own_cells_keeps_both() -> None:
    file = read_csv(HEADER + b"<,'ann@acme.test'\n")
    assert [error.code for error in file.errors] == ["name_character", "email_quote_mark"]


def test_empty_columns_keep_their_place_in_the_annotated_file() -> None:
    data = b"company_name;email;;\nAcme;ann@acme;;\nB;b@b.test;;\n"
    annotated = annotated_csv(data, read_csv(data).errors)
    header, bad, good = cells_of(annotated, ";")
    assert (header, good) == (["company_name", "email", "problem", ""], ["B", "b@b.test", "", ""])
    assert (bad[:2], bad[3:]) == (["Acme", "ann@acme"], [""])
    assert bad[2].startswith("email: ")
    mended = annotated.replace(b"ann@acme;", b"ann@acme.test;")
    assert [row.email for row in read_csv(mended).rows] == ["ann@acme.test", "b@b.test"]


def test_any_number_of_marks_before_the_first_line_is_nothing() -> None:
    for marks in (codecs.BOM_UTF8 * 5, "\u200b\ufeff\u200e".encode()):
        assert len(read_csv(marks + b"sep=;\ncompany_name;email\nA;a@b.test\n").rows) == 1
