"""A client list in CSV is read as it was meant, and every odd file and bad row gets its answer."""

from __future__ import annotations

import codecs
import re

import pytest

from app.imports.client_list import MAX_ROWS, ClientList, ClientRow, duplicate_in_table
from app.imports.csv_reader import TEMPLATE, read_csv
from app.imports.file_faults import MAX_BYTES
from app.imports.list_errors import SENTENCES
from tests.unit.imports.client_lists import HEADER, ONE_ROW, lines_and_codes, many_rows, the_error

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
        b"company_name,email,,\r\nAcme,ann@acme.test,,,,\r\n",
        b"company_name;email;;;\r\nAcme;ann@acme.test; ;\r\n;;;;\r\n",
        b"company_name,email,problem,,\r\nAcme,ann@acme.test,was wrong,,,\r\n",
        codecs.BOM_UTF8 * 3 + ONE_ROW,
        codecs.BOM_UTF8 * 2 + b'"company_name","email"\r\nAcme,ann@acme.test\r\n',
        "\u200bcompany_name\u200e,\u2060email\ufeff\u00a0\nAcme,ann@acme.test\n".encode(),
        "company_name,email\nAcme,ａｎｎ＠ａｃｍｅ．test\n".encode(),
    ],
)  # fmt: skip
def test_a_file_as_spreadsheets_write_it_is_read(data: bytes) -> None:
    assert read_csv(data) == ClientList((ClientRow(2, "Acme", "ann@acme.test"),), (), readable=True)


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
    assert read_csv(data).rows == (ClientRow(2, 'Acme, "The" Inc.', "a@b.test"),)


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
        (HEADER + b"Ac\0me,a@b.test", "file_nul", "on line 2"),
        (ONE_ROW + b"\0" * 3, "file_nul", "on line 3"),
        (b"%PDF-1.7\n%\xe2\xe3", "file_pdf", "PDF"),
        (b"email,company_name\nann@acme.test,Acme", "header_swapped", "column A"),
        (b"company_name,email,phone\nAcme,ann@acme.test,1", "header_extra", "C1 is “phone”"),
        (b"company_name,email,DomainError\nAcme,ann@acme.test,1", "header_extra", "columns: C."),
        (b"company_name,email,problem,x\nA,a@b.test,,", "header_extra", "D1 is “x”"),
        (b"company_name,email address\nA,a@b.test", "header_name", "B1 is “email address”"),
        (b"company_name\temail\nA\ta@b.test", "header_separator", "a tab"),
        (b"sep=;\ncompany_name,email\nA,a@b.test", "header_separator", "“,” instead of “;”"),
        (b"company_name", "header_name", "B1 is empty"),
        ('company\u2028name,email\nA,a@b.test'.encode(), "header_name", "A1 is"),
        (b'"company_name,email\nA,a@b.test', "file_quotes", "from line 1 on"),
        (b"Acme,ann@acme.test\r\n", "header_missing", "Acme,ann@acme.test"),
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
        ("Acme;ann@acme.test", [("company_name", "row_separator")]),
        ("Acme, Inc.,ann@acme.test", [("company_name", "row_too_many_cells")]),
        ("Acme,ann@acme.test,x", [("company_name", "row_too_many_cells")]),
        ("<b>,ann@acme", [("company_name", "name_character"), ("email", "email_domain")]),
        ("A\u2028B,ann@acme.test", [("company_name", "name_line_break")]),
        ("A\x0bB,ann@acme.test", [("company_name", "name_line_break")]),
        ("A\x85B,ann@acme.test", [("company_name", "name_line_break")]),
        ('"A\nB",ann@acme.test', [("company_name", "name_line_break")]),
        ('Acme,"ann@acme.test\r\n"', [("email", "email_line_break")]),
        ("A\ufffdB,ann@acme.test", [("company_name", "name_character")]),
        ('Acme, "ann@acme.test"', [("email", "email_quote_mark")]),
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
