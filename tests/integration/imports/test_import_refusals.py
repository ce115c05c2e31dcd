"""Nothing of a bad client list is imported, and every reason why is told."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import text

from app.db.transactions import transaction
from app.imports.file_faults import MAX_BYTES
from tests.conftest import ALPINE, HARBOUR
from tests.integration.imports.uploading import IMPORT, ROW, a_file, clients, errors_in, progress_in, refusal_in, upload
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words

MEBIBYTE = 1024 * 1024


def filled_up(data: bytes, size: int) -> bytes:
    """The same file with so many blank lines that it has this size."""
    blank, rest = divmod(size - len(data), 3)
    return data + b",\r\n" * blank + b"\n" * rest


# Nothing, and why


@pytest.mark.both_databases
def test_one_bad_row_among_a_thousand_stops_them_all(admin: Browser, app_driver: AppDriver) -> None:
    lines = clients(1000)
    lines[617] = "Client 617,client617@many"
    before = app_driver.dump()
    refused = upload(admin, a_file(*lines))
    (line, error), *others = errors_in(refused).items()
    assert (line, others) == (619, [])
    assert "email" in error
    assert "client617@many" in error
    assert "999 rows are fine" in words(refusal_in(refused))
    assert app_driver.dump() == before


def test_five_defects_are_named_at_once_each_with_line_column_value_and_remedy(admin: Browser) -> None:
    errors = errors_in(
        upload(
            admin,
            a_file(
                "Fine,fine@acme.test",
                "Acme <b>,bold@acme.test",
                ",nameless@acme.test",
                "At Sea,at.acme.test",
                "Again,FINE@acme.test",
                "Acme, Inc.,inc@acme.test",
            ),
        )
    )
    assert sorted(errors) == [3, 4, 5, 6, 7]
    for line, column, *said in [
        (3, "company_name", "Acme <b>", "“<”", "Remove it"),
        (4, "company_name", "empty", "up to 100 characters"),
        (5, "email", "at.acme.test", "no @", "name@example.com"),
        (6, "email", "FINE@acme.test", "duplicate", "line 2"),
        (7, "company_name", "3 cells", "quotation marks"),
    ]:
        assert f"Line {line} {column}" in errors[line]
        for part in said:
            assert part in errors[line]


def test_a_row_with_two_faults_is_one_row_with_both(admin: Browser) -> None:
    refused = upload(admin, a_file("<,nowhere"))
    (error,) = errors_in(refused).values()
    assert "company_name" in error
    assert "email" in error
    assert "1 row needs fixing; " in words(refusal_in(refused))


def test_every_bad_row_is_in_the_page_though_only_fifty_are_shown_at_first(admin: Browser) -> None:
    refused = upload(admin, a_file(*(f"Client {n},nowhere" for n in range(60)), "<,x@acme.test"))
    assert sorted(errors_in(refused)) == list(range(2, 63))
    refusal = refusal_in(refused)
    assert len(refusal.select("[data-error-line]")) - len(refusal.select("details [data-error-line]")) == 50


def test_bad_rows_are_grouped_by_kind(admin: Browser) -> None:
    refused = upload(admin, a_file("<,a@acme.test", "One", "Two,nowhere", "Three,a@acme.test", ">,b@acme.test"))
    groups = [words(heading) for heading in refusal_in(refused).select("h3")]
    assert groups == [
        "Lines with too few or too many cells 1",
        "Duplicate email addresses 1",
        "Invalid email addresses 1",
        "Invalid company names 2",
    ]


REFUSED_ROWS = {
    "a line of one cell": ("Acme", "only one cell"),
    "a line of three cells": ("Acme,ann@acme.test,x", "3 cells"),
    "another separator": ("Acme;ann@acme.test", "The separator here is “;”"),
    "no name": (",ann@acme.test", "empty"),
    "no address": ("Acme,", "empty"),
    "a line separator of Unicode": ("Ac\u2028me,ann@acme.test", "line break"),
    "a quoted line break": ('"Ac\nme",ann@acme.test', "line break"),
    "a bidi override": ("Ac\u202eme,ann@acme.test", "invisible character"),
    "a cell of 200 kB": (f"{'x' * 200_000},ann@acme.test", "longer than 100"),
    "an address of 200 kB": (f"Acme,{'x' * 200_000}@acme.test", "too long"),
    "two recipients": ('Acme,"ann@acme.test,eve@evil.test"', "more than one"),
    "a header to inject": ('Acme,"ann@acme.test\r\nBcc: eve@evil.test"', "line break"),
    "an address with a name": ("Acme,Ann <ann@acme.test>", "< or >"),
    "letters that need SMTPUTF8": ("Acme,jürgen@acme.test", "before the @"),
}
REFUSED_FILES = {
    "nothing at all": (b"", "The file is empty"),
    "a header alone": (a_file(), "no clients"),
    "a header and blank lines": (a_file("", ",", " , "), "no clients"),
    "no header": (b"Acme,ann@acme.test\r\n", "header is missing"),
    "another header": (b"Client,Mail\r\nAcme,ann@acme.test\r\n", "company_name,email"),
    "columns the other way round": (b"email,company_name\r\nann@acme.test,Acme\r\n", "wrong order"),
    "a column too many": (b"company_name,email,phone\r\nAcme,ann@acme.test,1\r\n", "Delete these columns: C."),
    "semicolons where sep= says comma": (b"sep=,\r\n" + a_file(ROW).replace(b",", b";"), "The separator"),
    "UTF-16": (a_file(ROW).decode().encode("utf-16"), "UTF-16"),
    "UTF-16 without a mark": (a_file(ROW).decode().encode("utf-16-le"), "UTF-16"),
    "Windows-1252": (a_file("Müller,ann@acme.test").decode().encode("cp1252"), "CSV UTF-8"),
    "a NUL byte": (a_file("Ac\0me,ann@acme.test"), "NUL"),
    "a workbook": (b"PK\x03\x04\x14\x00\x06\x00\x08\x00" + bytes(range(256)), ".xlsx"),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
    "1,001 rows": (a_file(*clients(1001)), "more than 1,000 rows"),
}
QUOTES = {
    "a quote that is never closed": (a_file(ROW, '"Bolt,bob@acme.test', "Cord,cy@acme.test"), 3),
    "text behind a closing quote": (a_file('"Acme" Inc.,ann@acme.test'), 2),
}


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_an_odd_row_is_refused_with_its_line(admin: Browser, app_driver: AppDriver, htmx: bool) -> None:
    before = app_driver.dump()
    for what, (row, reason) in REFUSED_ROWS.items():
        errors = errors_in(upload(admin, a_file("First,first@acme.test", row, "Last,last@acme.test"), htmx=htmx))
        assert list(errors) == [3], what
        assert reason in errors[3], what
    assert app_driver.dump() == before


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_a_file_that_cannot_be_read_is_told_what_it_is_and_what_to_do(
    admin: Browser, app_driver: AppDriver, htmx: bool
) -> None:
    before = app_driver.dump()
    for what, (data, reason) in REFUSED_FILES.items():
        refused = upload(admin, data, htmx=htmx)
        assert errors_in(refused) == {}, what
        assert reason in words(refusal_in(refused)), what
    for what, (data, line) in QUOTES.items():
        assert list(errors_in(upload(admin, data, htmx=htmx))) == [line], what
    assert app_driver.dump() == before


def test_a_thousand_rows_pass_however_many_blank_lines_there_are(admin: Browser, app_driver: AppDriver) -> None:
    accepted = upload(admin, a_file(*clients(1000), *[","] * 500))
    assert accepted.status_code == 303
    assert len(app_driver.clients()) == 1000
    assert progress_in(admin.get(accepted.location)) == "0 of 1,000 sent"


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_a_missing_file_is_said_to_be_missing(admin: Browser, htmx: bool) -> None:
    for path in (IMPORT, f"{IMPORT}/report.csv", f"{IMPORT}/annotated.csv"):
        for fields in ({}, {"file": (io.BytesIO(), "")}, {"file": "clients.csv"}):
            assert "no file was chosen" in words(refusal_in(admin.post(path, fields, htmx=htmx))), (path, fields)


def test_under_htmx_only_what_was_found_is_sent_so_that_the_file_stays_chosen(admin: Browser) -> None:
    part = parse(upload(admin, a_file("Acme"), htmx=True))
    assert not part.select("form, input, h2")
    page = parse(upload(admin, a_file("Acme")))
    assert page.select_one("html form[enctype='multipart/form-data'] input[type=file][name=file]")


FILE_NAMES = {
    "<b>bold</b>.csv": "<b>bold</b>.csv",
    "x" * 300 + ".csv": "x" * 255,
    "a\0b\u202ec.csv": "abc.csv",
    "Müller & 株式会社.csv": "Müller & 株式会社.csv",
}


def test_the_file_name_is_shown_as_text_whatever_it_is(admin: Browser) -> None:
    for n, (name, shown) in enumerate(FILE_NAMES.items()):
        location = upload(admin, a_file(f"Acme,ann{n}@acme.test"), name=name).location
        (bar,) = parse(admin.get(ic(HARBOUR))).select(f"[data-import-id='{location.rpartition('/')[2]}']")
        assert words(bar.strong) == shown
        assert not bar.select("b")


@pytest.fixture
def outbox_out_of_order(app_driver: AppDriver) -> Iterator[Callable[[], None]]:
    """The table of mails is away, so that the rows can be written and their mails cannot; call to bring it back."""

    def rename(old: str, new: str) -> None:
        with transaction() as session:
            session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    app_driver.do(rename, "outbox_mail", "outbox_mail_away")
    with ExitStack() as stack:
        stack.callback(app_driver.do, rename, "outbox_mail_away", "outbox_mail")
        yield stack.close


@pytest.mark.both_databases
def test_rows_without_their_mails_are_never_left_behind(
    admin: Browser, app_driver: AppDriver, outbox_out_of_order: Callable[[], None]
) -> None:
    failed = upload(admin, a_file(*clients(10)))
    assert failed.status_code in {500, 503}
    assert "Nothing was changed" in failed.text
    outbox_out_of_order()
    assert app_driver.clients() == []
    assert upload(admin, a_file(*clients(10))).status_code == 303
    assert len(app_driver.mails()) == 10


# Against the table


def test_whatever_clothes_a_known_address_wears_it_is_a_duplicate(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.invite("karl@kelvin-münchen.test", "Known")
    before = app_driver.dump()
    errors = errors_in(
        upload(
            admin,
            a_file(
                "New,new@acme.test",
                "Capitals,KARL@Kelvin-MÜNCHEN.test",
                "Blanks,\u00a0karl@kelvin-münchen.test\u3000",
            ),
        )
    )
    # The first is in the table, the other one stands in the file twice.
    assert sorted(errors) == [3, 4]
    for clothes in [
        "karl@xn--kelvin-mnchen-3ob.test",
        "karl@kelvin-mu\u0308nchen.test",
        "karl@\u212aelvin-münchen.test",
        "\u212aarl@kelvin-münchen.test",
        "karl@ｋｅｌｖｉｎ-münchen.test",
        "karl@kelvin-münchen。test",
    ]:
        errors = errors_in(upload(admin, a_file("New,new@acme.test", f"Karl,{clothes}")))
        assert list(errors) == [3], clothes
        assert "duplicate" in errors[3], clothes
        assert "Imported Clients table" in errors[3], clothes
    assert app_driver.dump() == before


@pytest.mark.both_databases
def test_all_duplicates_of_the_table_are_named_beside_the_other_faults(admin: Browser) -> None:
    assert upload(admin, a_file(*clients(300))).status_code == 303
    again = clients(300)
    again[150] = "New,nowhere"
    errors = errors_in(upload(admin, a_file(*again)))
    assert sorted(errors) == list(range(2, 302))
    assert "duplicate" not in errors[152]
    assert all("duplicate" in error for line, error in errors.items() if line != 152)


@pytest.mark.both_databases
def test_the_same_addresses_in_another_portal_are_no_duplicates(
    admin: Browser, stranger: Browser, app_driver: AppDriver
) -> None:
    assert upload(admin, a_file(*clients(2))).status_code == 303
    assert upload(stranger, a_file(*clients(2)), to=f"{ic(ALPINE)}/import").status_code == 303
    assert [portal for portal, _email, _status in app_driver.clients()] == [ALPINE, ALPINE, HARBOUR, HARBOUR]


# Size


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_three_mebibytes_pass_and_one_byte_more_does_not(admin: Browser, app_driver: AppDriver, htmx: bool) -> None:
    data = filled_up(a_file(*clients(3)), MAX_BYTES)
    assert len(data) == 3 * MEBIBYTE
    for size in (MAX_BYTES + 1, MAX_BYTES + 100_000):
        refused = upload(admin, filled_up(a_file(*clients(3)), size), htmx=htmx, name="x" * 2000 + ".csv")
        assert "larger than 3 MiB" in words(refusal_in(refused, status=413))
        assert ("<html" in refused.text) is not htmx
    assert app_driver.clients() == []
    assert upload(admin, data, htmx=htmx, name="x" * 2000 + ".csv").status_code == (200 if htmx else 303)
    assert len(app_driver.clients()) == 3


def test_a_request_of_twenty_megabytes_is_told_the_same_as_a_file_that_is_too_large(admin: Browser) -> None:
    for htmx in (True, False):
        slightly = upload(admin, filled_up(a_file(), MAX_BYTES + 1), htmx=htmx)
        vastly = upload(admin, bytes(20_000_000), htmx=htmx)
        assert refusal_in(vastly, status=413) == refusal_in(slightly, status=413)
        assert ("<html" in vastly.text) is not htmx
    for path in (f"{IMPORT}/report.csv", f"{IMPORT}/annotated.csv"):
        refusal_in(upload(admin, bytes(20_000_000), to=path), status=413)
