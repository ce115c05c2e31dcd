"""The page says what is wrong with a file by a code, in its row where it is in one, and reads our own exports back."""

from __future__ import annotations

import pytest

from tests.conftest import ALPINE, HARBOUR
from tests.integration.imports.uploading import a_file, codes_in, refusal_in, upload
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words

CSV_OF_ALPINE = f"{ic(ALPINE)}/import"


@pytest.mark.parametrize(
    ("data", "code", "heading"),
    [
        (b"email,company_name\r\nann@acme.test,Acme\r\n", "header_swapped", "The header"),
        (b"<html><table>", "file_html", "The file"),
    ],
)
def test_what_is_wrong_with_a_whole_file_stands_outside_of_any_row(
    admin: Browser, data: bytes, code: str, heading: str
) -> None:
    refusal = refusal_in(upload(admin, data, htmx=True))
    assert codes_in(refusal) == [(None, code)]
    assert [words(group) for group in refusal.select("h3")] == [heading]


def test_a_file_that_can_be_read_only_in_part_is_no_bad_row(admin: Browser) -> None:
    refusal = refusal_in(upload(admin, a_file("Acme,ann@", '"Bolt,bob@acme.test'), htmx=True))
    assert sorted(codes_in(refusal), key=str) == [(2, "email_domain"), (None, "file_quotes")]
    assert "Line 3" in words(refusal)


def test_what_is_wrong_with_a_row_an_address_or_a_name_stands_in_its_row(admin: Browser) -> None:
    refusal = refusal_in(upload(admin, a_file('"Acme,ann@acme.test"', "Bolt,'bob@acme.test'", "#N/A,cy@acme.test")))
    assert codes_in(refusal) == [(2, "row_one_cell"), (3, "email_quote_mark"), (4, "name_spreadsheet_error")]


def test_names_that_nobody_typed_are_taken_and_warned_of(admin: Browser, app_driver: AppDriver) -> None:
    names = {"4711": "number", "1.86E+09": "scientific", "b@acme.test": "address", "-": "mark", "MÃ¼ller": "mojibake"}
    answer = upload(admin, a_file(*(f"{name},c{n}@acme.test" for n, name in enumerate(names))), htmx=True)
    assert answer.status_code == 200
    slips = {str(slip["data-slip"]): words(slip) for slip in parse(answer).select("[data-slip]")}
    assert sorted(slips) == sorted(names.values())
    for number, (name, kind) in enumerate(names.items()):
        assert name in slips[kind]
        assert f"c{number}@acme.test" in slips[kind]
    assert len(app_driver.clients()) == len(names)


@pytest.mark.parametrize("columns", [2, 9])
def test_an_export_comes_back_as_it_was(admin: Browser, stranger: Browser, app_driver: AppDriver, columns: int) -> None:
    for email, name in [
        ("-ten@acme.test", "'-10% Shop"),
        ("plus@acme.test", "+49 Reisen, @home"),
        ("a@acme.test", "007"),
    ]:
        app_driver.invite(email, name)
    export = admin.get(f"{ic(HARBOUR)}/export.csv").data
    if columns == 2:
        # None of the first two cells of these rows but one has a comma in it.
        export = b"".join(
            b",".join(line.split(b",")[: 3 if b'"' in line else 2]) + b"\r\n" for line in export.splitlines()
        )
    assert upload(stranger, export, to=CSV_OF_ALPINE).status_code == 303
    shown = [
        [words(cell) for cell in row.select("[data-col=company_name], [data-col=email]")]
        for row in parse(stranger.get(ic(ALPINE))).select("tr[data-client-id]")
    ]
    assert shown == [["007", "a@acme.test"], ["+49 Reisen, @home", "plus@acme.test"], ["'-10% Shop", "-ten@acme.test"]]


def test_a_file_that_is_in_the_table_already_is_told_so(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.invite("ann@acme.test", "Acme")
    export = admin.get(f"{ic(HARBOUR)}/export.csv").data
    refusal = refusal_in(upload(admin, export))
    assert codes_in(refusal) == [(2, "email_duplicate_in_table")]
    assert "All of it is in the table already." in words(refusal)
    partly = refusal_in(upload(admin, a_file("Acme,ann@acme.test", "Bolt,bob@acme.test")))
    assert "All of it" not in words(partly)


def test_a_duplicate_that_has_joined_is_told_so(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.invite("ann@acme.test", "Acme")
    app_driver.let_join("ann@acme.test")
    refusal = refusal_in(upload(admin, a_file("Acme,ann@acme.test")))
    assert codes_in(refusal) == [(2, "email_duplicate_joined")]
    assert "duplicate" in words(refusal)
    assert "has joined" in words(refusal)
    assert "All of it is in the table already." in words(refusal)


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_the_fields_of_manual_add_carry_the_codes_too(admin: Browser, htmx: bool) -> None:
    answer = admin.post(ic(HARBOUR), {"company_name": "#REF!", "email": "ann@acme.test,"}, htmx=htmx)
    assert answer.status_code == 422
    coded = parse(answer).select(".field-error[data-error-code]")
    errors = {str(error["id"]): error["data-error-code"] for error in coded}
    assert errors == {"company_name-error": "name_spreadsheet_error", "email-error": "email_trailing_mark"}
