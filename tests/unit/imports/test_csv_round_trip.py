"""Whatever the table holds comes back from our own export, whole or cut to its first two columns."""

from __future__ import annotations

import csv
import io
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.csv_cells import EXPORT_COLUMNS, escape_formula, unescape_formula
from app.core.text import clean_company_name, clean_email
from app.core.text_errors import TextError
from app.imports.csv_reader import annotated_csv, read_csv
from tests.unit.imports.client_lists import lines_and_codes

FUZZ = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")), deadline=None)

MARKS = "'+-@=,; \"&＋－＠’#"
RAW_NAMES = st.text(st.sampled_from(MARKS + "Aé1"), min_size=1, max_size=12) | st.text(min_size=1, max_size=40)
RAW_LOCAL_PARTS = st.text(st.sampled_from("'+-=#a1"), min_size=1, max_size=8)


def cleaned(names: list[str], local_parts: list[str]) -> list[tuple[str, str]]:
    """A table with those of them that can be stored."""
    table: dict[str, str] = {}
    for name, local_part in zip(names, local_parts, strict=False):
        try:
            table[clean_email(f"{local_part}@acme.test")] = clean_company_name(name)
        except TextError:
            continue
    return [(name, email) for email, name in table.items()]


def exported(table: list[tuple[str, str]], columns: int) -> bytes:
    """The table as the export writes it, cut to so many columns."""
    out = io.StringIO(newline="")
    rows = [EXPORT_COLUMNS, *((*client, "invite_sent", "", "sent", "550 5.1.1, no", "", "", "") for client in table)]
    csv.writer(out).writerows([escape_formula(cell) for cell in row][:columns] for row in rows)
    return ("\ufeff" + out.getvalue()).encode()


@FUZZ
@given(st.lists(RAW_NAMES, max_size=8), st.lists(RAW_LOCAL_PARTS, min_size=8, max_size=8), st.sampled_from([2, 9]))
@example(["+49 Reisen", "'+49 Reisen", "''-10 %"], ["+a", "-b", "=c"], 2)
@example(["A,-b;'@c", "@home", "＠home"], ["a", "b", "c"], 9)
def test_a_table_comes_back_from_its_export(names: list[str], local_parts: list[str], columns: int) -> None:
    table = cleaned(names, local_parts)
    file = read_csv(exported(table, columns))
    assert [(row.company_name, row.email) for row in file.rows] == table
    assert file.readable is bool(table)


@FUZZ
@given(st.text(st.sampled_from(MARKS + "\t\r\n A"), max_size=12) | st.text(max_size=30))
def test_exactly_the_guards_are_taken_off(cell: str) -> None:
    assert unescape_formula(escape_formula(cell)) == cell


@pytest.mark.parametrize(
    ("guarded", "cell"),
    [
        ("'+49 Reisen", "+49 Reisen"),
        ("''+49 Reisen", "'+49 Reisen"),
        ("'＠home", "＠home"),
        ("A,' -b", "A, -b"),
        ("'s Gravenhage", "'s Gravenhage"),
        ("O'-Neill", "O'-Neill"),
        ("'quoted'", "'quoted'"),
        ("+49", "+49"),
    ],
)
def test_an_apostrophe_that_guards_nothing_stays(guarded: str, cell: str) -> None:
    assert unescape_formula(guarded) == cell


def test_an_export_that_excel_saved_with_semicolons_is_read() -> None:
    data = exported([("'+49 Reisen", "-ten@acme.test")], 9).replace(b"550 5.1.1, no", b"").replace(b",", b";")
    assert [(row.company_name, row.email) for row in read_csv(data).rows] == [("'+49 Reisen", "-ten@acme.test")]


def test_an_export_with_errors_is_annotated_behind_its_own_columns() -> None:
    data = exported([("Acme", "ann@acme.test"), ("Bolt", "bob@acme.test")], 9)
    bad = data.replace(b"bob@acme.test", b"bob@acme,test").replace(b"bob@acme,test", b'"bob@acme,test"')
    file = read_csv(bad)
    assert lines_and_codes(file) == [(3, "email", "email_comma_in_domain")]
    annotated = annotated_csv(bad, file.errors)
    assert annotated.splitlines()[0].endswith(b",joined,problem")
    assert lines_and_codes(read_csv(annotated)) == lines_and_codes(file)
    assert len(read_csv(annotated.replace(b'"bob@acme,test"', b"bob@acme.test")).rows) == 2
