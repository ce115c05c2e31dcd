"""Bulk Invite: what a client admin uploads, and what comes of it: all of it, or nothing and every reason why."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from bs4 import Tag
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.clients.service import ADDS_OF_ADMIN
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import Base, db
from app.imports.csv_reader import MAX_BYTES
from app.models import EventKind, ImportedClient
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, ic, parse, words
from tests.support.production import Visitor, gunicorn
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

IMPORT = f"{ic(HARBOUR)}/import"
BOM = b"\xef\xbb\xbf"
MEBIBYTE = 1024 * 1024


def a_file(*lines: str) -> bytes:
    """A client list: the header, which is line 1, and these lines."""
    return "\r\n".join(["company_name,email", *lines, ""]).encode()


def clients(count: int, host: str = "many.test") -> list[str]:
    return [f"Client {n},client{n}@{host}" for n in range(count)]


def filled_up(data: bytes, size: int) -> bytes:
    """The same file with so many blank lines that it has this size."""
    blank, rest = divmod(size - len(data), 3)
    return data + b",\r\n" * blank + b"\n" * rest


def upload(
    browser: Browser, data: bytes, *, to: str = IMPORT, name: str = "clients.csv", **kwargs: Any
) -> TestResponse:
    return browser.post(to, {"file": (io.BytesIO(data), name)}, **kwargs)


def refusal_in(response: TestResponse, status: int = 422) -> Tag:
    """The part of an answer that says why nothing was imported."""
    assert response.status_code == status
    (refusal,) = parse(response).select("[data-import-errors]")
    assert "Nothing was imported" in words(refusal)
    return refusal


def errors_in(response: TestResponse) -> dict[int, str]:
    """What is said about each bad line."""
    named = refusal_in(response).select("[data-error-line]")
    errors = {int(str(row["data-error-line"])): words(row) for row in named}
    assert len(errors) == len(named), "a line is named once"
    return errors


def progress_in(response: TestResponse) -> str:
    assert response.status_code == 200
    (progress,) = parse(response).select("[data-import-progress]")
    return words(progress)


def addresses(app_driver: AppDriver) -> list[str]:
    return [email for _portal, email, _status in app_driver.clients()]


# All of it


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_row_becomes_a_client_with_a_mail_to_each(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    count = 120  # more than a worker takes at once
    accepted = upload(admin, a_file(*clients(count)))
    assert accepted.status_code == 303
    assert progress_in(admin.get(accepted.location)) == "0 of 120 sent"
    everybody = sorted(f"client{n}@many.test" for n in range(count))
    assert addresses(app_driver) == everybody

    outbox.flush()
    assert sorted(mail.recipient for mail in mail_server.mails) == everybody
    assert len({mail.link for mail in mail_server.mails}) == count
    assert progress_in(admin.get(accepted.location)) == "120 of 120 sent"


def test_the_first_row_of_the_file_is_the_first_of_the_table(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.invite("earlier@harbour.test")
    lines = ["Zeta,z@greek.test", "Alpha,a@greek.test", "Mu,m@greek.test"]
    assert upload(admin, a_file(*lines)).status_code == 303
    assert [row.email for row in admin.rows(HARBOUR)] == [
        "z@greek.test",
        "a@greek.test",
        "m@greek.test",
        "earlier@harbour.test",
    ]
    assert [row.company_name for row in admin.rows(HARBOUR)][:3] == ["Zeta", "Alpha", "Mu"]


def test_a_client_out_of_a_file_is_like_one_added_by_hand(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    assert upload(admin, a_file(" Straße\t Reisen ,POST@by-file.test ")).status_code == 303
    app_driver.invite("post@by-hand.test", "Straße Reisen")
    assert columns(app_driver.client("post@by-file.test"), but={"import_id", "email"}) == columns(
        app_driver.client("post@by-hand.test"), but={"import_id", "email"}
    )
    assert columns(app_driver.mail("post@by-file.test"), but={"client_id", "message_id", "recipient"}) == columns(
        app_driver.mail("post@by-hand.test"), but={"client_id", "message_id", "recipient"}
    )
    outbox.flush()
    by_file, by_hand = mail_server.to("post@by-file.test"), mail_server.to("post@by-hand.test")
    assert len(by_file) == len(by_hand) == 1
    assert by_file[0].message["Subject"] == by_hand[0].message["Subject"]


def columns(row: Base, *, but: set[str]) -> dict[str, object]:
    """What a row holds, but for its id and what depends on the moment."""
    names = {column.key for column in row.__table__.columns} - {"id"} - but
    return {name: getattr(row, name) for name in names if not name.endswith(("_at", "_last_sent_at"))}


def test_each_client_has_its_history_with_the_admin_who_did_it(admin: Browser, app_driver: AppDriver) -> None:
    assert upload(admin, a_file(*clients(3))).status_code == 303
    for address in addresses(app_driver):
        assert app_driver.events(app_driver.client(address).id) == [
            (EventKind.INVITED, "ada@harbour.test"),
            (EventKind.MAIL_QUEUED, None),
        ]


def test_names_that_spreadsheets_would_run_are_kept_as_typed(admin: Browser, app_driver: AppDriver) -> None:
    assert upload(admin, a_file("+Plus,p@odd.test", "-Minus,m@odd.test", "@Home,h@odd.test")).status_code == 303
    assert [row.company_name for row in admin.rows(HARBOUR)] == ["+Plus", "-Minus", "@Home"]


ACCEPTED = {
    "a byte order mark": BOM + a_file("Acme,ann@acme.test", "Bolt,bob@acme.test"),
    "line ends of Unix": a_file("Acme,ann@acme.test", "Bolt,bob@acme.test").replace(b"\r", b""),
    "line ends of old Macs": a_file("Acme,ann@acme.test", "Bolt,bob@acme.test").replace(b"\n", b""),
    "no line end at the end": a_file("Acme,ann@acme.test", "Bolt,bob@acme.test").rstrip(),
    "semicolons": a_file("Acme,ann@acme.test", "Bolt,bob@acme.test").replace(b",", b";"),
    "sep=;": b"sep=;\r\n" + a_file("Acme,ann@acme.test", "Bolt,bob@acme.test").replace(b",", b";"),
    "sep=,": b"sep=,\r\n" + a_file("Acme,ann@acme.test", "Bolt,bob@acme.test"),
    "the other header": b"Company Name,Email address\r\nAcme,ann@acme.test\r\nBolt,bob@acme.test\r\n",
    "capitals and blanks in the header": b" Company_Name , EMAIL\r\nAcme,ann@acme.test\r\nBolt,bob@acme.test\r\n",
    "blank lines": a_file("", "Acme,ann@acme.test", ",", "Bolt,bob@acme.test", "", ",,,", "\t, ", ""),
    "quotes where they need not be": a_file('"Acme","ann@acme.test"', '"Bolt","bob@acme.test"'),
    "a column of problems": b"company_name,email,problem\r\nAcme,ann@acme.test,was bad\r\nBolt,bob@acme.test,\r\n",
}


def test_files_are_accepted_as_spreadsheets_write_them(admin: Browser, app_driver: AppDriver) -> None:
    for number, (what, data) in enumerate(ACCEPTED.items()):
        host = f"accepted{number}.test"
        accepted = upload(admin, data.replace(b"acme.test", host.encode()))
        assert accepted.status_code == 303, what
        newest = [(row.company_name, row.email) for row in admin.rows(HARBOUR)[:2]]
        assert newest == [("Acme", f"ann@{host}"), ("Bolt", f"bob@{host}")], what
        assert len(app_driver.clients()) == 2 * (number + 1), what


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_first_import_lets_postgresql_see_that_the_table_is_no_longer_empty(
    admin: Browser, app_driver: AppDriver
) -> None:
    def rows_known() -> float:
        known = db.session.scalar(text("SELECT reltuples FROM pg_class WHERE relname = 'imported_client'"))
        assert isinstance(known, float)
        return known

    assert app_driver.do(rows_known) <= 0
    assert upload(admin, a_file(*clients(100))).status_code == 303
    assert app_driver.do(rows_known) == 100


# Nothing, and why


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
        (3, "company_name", "Acme <b>", "“<”", "Leave it out"),
        (4, "company_name", "empty", "1 to 100 characters"),
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
    assert "1 row has to be mended" in words(refusal_in(refused))


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
        "Duplicate e-mail addresses 1",
        "E-mail addresses that cannot be used 1",
        "Company names that cannot be used 2",
    ]


ROW = "Acme,ann@acme.test"
REFUSED_ROWS = {
    "a line of one cell": ("Acme", "only one cell"),
    "a line of three cells": ("Acme,ann@acme.test,x", "3 cells"),
    "another separator": ("Acme;ann@acme.test", "only one cell"),
    "no name": (",ann@acme.test", "empty"),
    "no address": ("Acme,", "empty"),
    "a line separator of Unicode": ("Ac\u2028me,ann@acme.test", "line break"),
    "a quoted line break": ('"Ac\nme",ann@acme.test', "line break"),
    "a bidi override": ("Ac\u202eme,ann@acme.test", "cannot be seen"),
    "a cell of 200 kB": (f"{'x' * 200_000},ann@acme.test", "longer than 100"),
    "an address of 200 kB": (f"Acme,{'x' * 200_000}@acme.test", "longer than"),
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
    "another header": (b"email,company_name\r\nann@acme.test,Acme\r\n", "company_name,email"),
    "a column too many": (b"company_name,email,phone\r\nAcme,ann@acme.test,1\r\n", "company_name,email"),
    "semicolons where sep= says comma": (b"sep=,\r\n" + a_file(ROW).replace(b",", b";"), "company_name,email"),
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
    assert upload(admin, a_file(*clients(1000), *[","] * 500)).status_code == 303
    assert len(app_driver.clients()) == 1000


@pytest.mark.parametrize("chosen", [{}, {"file": (io.BytesIO(), "")}, {"file": "clients.csv"}])
@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_a_missing_file_is_said_to_be_missing(admin: Browser, htmx: bool, chosen: dict[str, object]) -> None:
    for path in (IMPORT, f"{IMPORT}/report.csv", f"{IMPORT}/annotated.csv"):
        fields = {
            name: (io.BytesIO(), value[1]) if isinstance(value, tuple) else value for name, value in chosen.items()
        }
        assert "no file was chosen" in words(refusal_in(admin.post(path, fields, htmx=htmx)))


def test_under_htmx_only_what_was_found_is_sent_so_that_the_file_stays_chosen(admin: Browser) -> None:
    part = parse(upload(admin, a_file("Acme"), htmx=True))
    assert not part.select("form, input, h2")
    page = parse(upload(admin, a_file("Acme")))
    assert page.select_one("html form[enctype='multipart/form-data'] input[type=file][name=file]")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<b>bold</b>.csv", "<b>bold</b>.csv"),
        ("x" * 300 + ".csv", "x" * 255),
        ("a\0b\u202ec.csv", "abc.csv"),
        ("Müller & 株式会社.csv", "Müller & 株式会社.csv"),
    ],
    ids=["markup", "long", "controls", "any script"],
)
def test_the_file_name_is_shown_as_text_whatever_it_is(admin: Browser, name: str, shown: str) -> None:
    assert upload(admin, a_file(ROW), name=name).status_code == 303
    (bar,) = parse(admin.get(ic(HARBOUR))).select("[data-import-id]")
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


def test_rows_without_their_mails_are_never_left_behind(
    admin: Browser, app_driver: AppDriver, outbox_out_of_order: Callable[[], None]
) -> None:
    failed = upload(admin, a_file(*clients(10)))
    assert failed.status_code in {500, 503}
    assert "Nothing was done" in failed.text
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


def test_all_duplicates_of_the_table_are_named_beside_the_other_faults(admin: Browser) -> None:
    accepted = upload(admin, a_file(*clients(1000)))
    assert progress_in(admin.get(accepted.location)) == "0 of 1,000 sent"
    again = clients(1000)
    again[500] = "New,nowhere"
    errors = errors_in(upload(admin, a_file(*again)))
    assert sorted(errors) == list(range(2, 1002))
    assert "duplicate" not in errors[502]
    assert all("duplicate" in error for line, error in errors.items() if line != 502)


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


# The heaviest first: what it leaves behind is least then.
HEAVY = {
    "one name": a_file("x" * 3_000_000),
    "the largest that is accepted": filled_up(a_file(*clients(1000)), MAX_BYTES),
    "a thousand long names": filled_up(a_file(*(f"{'n' * 1500},{'e' * 1500}" for _ in range(1000))), MAX_BYTES),
    "separators and line ends": filled_up(a_file("," * 499_000), MAX_BYTES),
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_memory_stays_bounded_whatever_is_sent(admin: Browser, environment: dict[str, str]) -> None:
    # One arena: which thread gets which request is chance, and what another one's arena keeps would count again.
    with gunicorn({**environment, "MALLOC_ARENA_MAX": "1"}, app="tests.support.measured:app") as port:
        visitor = Visitor(port, admin)

        def peak() -> int:
            return int(visitor.get("/healthz").headers["X-Peak-Memory"])

        assert visitor.upload(IMPORT, a_file("Acme,ann@acme.test")).status == 303
        assert visitor.upload(IMPORT, a_file("Acme")).status == 422
        idle = peak()
        assert visitor.upload(IMPORT, bytes(20_000_000)).status == 413
        assert peak() - idle < 10 * MEBIBYTE
        for name, data in HEAVY.items():
            assert visitor.upload(IMPORT, data).status in {303, 422}, name
            assert visitor.upload(f"{IMPORT}/annotated.csv", data).status in {200, 422}, name
            assert peak() - idle < 64 * MEBIBYTE, name


# The downloads, made by posting the file again


def download(browser: Browser, data: bytes, button: str) -> list[list[str]]:
    """Press a button of the rejection, which posts the same file elsewhere; the cells of what comes."""
    (action,) = [
        str(found["formaction"])
        for found in refusal_in(upload(browser, data)).select("button[formaction]")
        if button in words(found)
    ]
    answer = upload(browser, data, to=action)
    assert answer.status_code == 200
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return cells_of(answer.data)


def cells_of(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


def test_the_report_names_every_error_and_no_cell_of_it_runs(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.invite("known@acme.test")
    data = a_file("Known,known@acme.test", '"=HYPERLINK(""http://evil.test"")",ann@acme.test', "Tab,\t=1+1", "Plus,+1@")
    header, *rows = download(admin, data, "Error report")
    assert header == ["line", "column", "value", "problem", "remedy"]
    assert [row[:3] for row in rows] == [
        ["2", "email", "known@acme.test"],
        ["3", "company_name", '\'=HYPERLINK("http://evil.test")'],
        ["4", "email", "'\t'=1+1"],
        ["5", "email", "'+1@"],
    ]
    assert all(problem and remedy for *_rest, problem, remedy in rows)


def test_the_admins_own_file_comes_back_with_a_third_column_and_its_cells_unchanged(
    admin: Browser, app_driver: AppDriver
) -> None:
    app_driver.invite("known@acme.test")
    data = a_file(
        "=1+1, padded@acme.test ", '"Two\nLines",two@acme.test', "", "Fine,fine@acme.test", "K,known@acme.test"
    )
    header, *rows = download(admin, data, "My file")
    assert header == ["company_name", "email", "problem"]
    assert [row[:2] for row in rows] == cells_of(data)[1:]
    problems = [row[2] if row else None for row in rows]
    assert "“=”" in problems[0]
    assert "line break" in problems[1]
    assert problems[2:4] == [None, ""]
    assert "duplicate" in problems[4]


def test_the_annotated_file_goes_through_once_it_is_mended_with_the_column_left_in(
    admin: Browser, app_driver: AppDriver
) -> None:
    refused = a_file("Acme,ann@acme", "Bolt,bob@acme.test", "Cord")
    annotated = upload(admin, refused, to=f"{IMPORT}/annotated.csv").data
    assert sorted(errors_in(upload(admin, annotated))) == [2, 4]
    mended = annotated.replace(b"ann@acme,", b"ann@acme.test,").replace(b"Cord,,", b"Cord,cy@acme.test,")
    assert b"ann@acme.test,email:" in mended.replace(b'"', b"")
    assert upload(admin, mended).status_code == 303
    assert addresses(app_driver) == ["ann@acme.test", "bob@acme.test", "cy@acme.test"]


def test_a_file_without_cells_has_a_report_and_no_annotated_copy(admin: Browser) -> None:
    workbook = b"PK\x03\x04" + bytes(range(1, 256))
    assert "workbook" in download(admin, workbook, "Error report")[1][3]
    assert [words(button) for button in refusal_in(upload(admin, workbook)).select("button")] == ["Error report"]
    refusal_in(upload(admin, workbook, to=f"{IMPORT}/annotated.csv"))


def test_nothing_of_a_rejected_file_is_kept(admin: Browser, app_driver: AppDriver) -> None:
    before = app_driver.dump()
    data = a_file("Secret Plans,plans@secret.test", "Bad")
    for path in (IMPORT, f"{IMPORT}/annotated.csv", f"{IMPORT}/report.csv"):
        for htmx in (True, False):
            upload(admin, data, to=path, htmx=htmx)
    assert app_driver.dump() == before
    assert "secret" not in admin.get(ic(HARBOUR)).text


def test_asking_for_a_download_of_a_file_that_is_fine_imports_nothing(admin: Browser, app_driver: AppDriver) -> None:
    before = app_driver.dump()
    for name in ("report", "annotated"):
        assert upload(admin, a_file("Acme,ann@acme.test"), to=f"{IMPORT}/{name}.csv").status_code == 200
    assert app_driver.dump() == before


# The template and the dialog


def test_the_template_is_the_header_and_nothing_else(admin: Browser) -> None:
    template = admin.get(f"{ic(HARBOUR)}/template.csv")
    assert template.data == b"company_name,email\r\n"
    assert template.content_type == "text/csv; charset=utf-8"
    assert template.headers["Content-Disposition"] == 'attachment; filename="imported-clients-template.csv"'


def test_the_template_filled_in_is_accepted(admin: Browser, app_driver: AppDriver) -> None:
    template = admin.get(f"{ic(HARBOUR)}/template.csv").data
    assert upload(admin, template + b"Acme,ann@acme.test\r\n").status_code == 303
    assert addresses(app_driver) == ["ann@acme.test"]


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_the_dialog_says_the_limits_before_a_file_is_chosen(admin: Browser, htmx: bool) -> None:
    answer = admin.get(IMPORT, htmx=htmx)
    assert answer.status_code == 200
    page = parse(answer)
    assert words(page.select_one("h2")) == "Import from CSV"
    (form,) = page.select("form[enctype='multipart/form-data']")
    assert form["action"] == IMPORT
    for limit in ("1,000 rows", "3 MB", "company_name,email", "UTF-8"):
        assert limit in words(form)
    (template,) = [link for link in page.select("a") if words(link) == "Download CSV Template"]
    assert template["href"] == f"{ic(HARBOUR)}/template.csv"
    assert not page.select("[data-import-errors]")
    assert ("<html" in answer.text) is not htmx


# Progress, and what is worth a second look


def test_without_javascript_an_import_leads_to_a_page_with_its_progress(
    admin: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    mail_server.refuse["client1@many.test"] = "550 no such user"
    accepted = upload(admin, a_file(*clients(3)))
    assert accepted.status_code == 303
    page = admin.get(accepted.location)
    assert "<html" in page.text
    assert words(parse(page).select_one("h2")) == "3 clients imported"
    assert progress_in(page) == "0 of 3 sent"
    outbox.flush()
    assert progress_in(admin.get(accepted.location)) == "2 of 3 sent · 1 failed"
    assert len(admin.rows(HARBOUR)) == 3


def test_under_htmx_the_dialog_goes_on_with_a_bar_that_asks_until_the_end(admin: Browser, outbox: Outbox) -> None:
    accepted = upload(admin, a_file(*clients(2)), htmx=True, headers={"HX-Target": "div#import-result"})
    assert accepted.status_code == 200
    assert accepted.headers["HX-Retarget"] == "#dialog-content"
    assert "clients-changed" in accepted.headers["HX-Trigger"]
    bar = parse(accepted).select_one("[data-import-id]")
    asked = admin.get(bar["hx-get"], htmx=True)
    assert progress_in(asked) == "0 of 2 sent"
    assert "HX-Trigger" not in asked.headers
    outbox.flush()
    ended = admin.get(bar["hx-get"], htmx=True)
    assert progress_in(ended) == "2 of 2 sent"
    assert "clients-changed" in ended.headers["HX-Trigger"]
    (end,) = parse(ended).select("[data-import-id]")
    assert "hx-get" not in end.attrs
    assert end.progress["value"] == end.progress["max"] == "2"


def test_the_bar_stands_above_the_table_for_everybody_who_may_see_it(
    admin: Browser, staff: Browser, stranger: Browser, app_driver: AppDriver
) -> None:
    location = upload(admin, a_file(*clients(3)), name="autumn.csv").location
    for somebody in (admin, staff):
        bar = parse(somebody.get(ic(HARBOUR))).select_one("#recent-imports [data-import-id]")
        assert words(bar) == "autumn.csv 0 of 3 sent"
    assert stranger.get(location).status_code == 404
    assert not parse(stranger.get(ic(ALPINE))).select("[data-import-id]")
    app_driver.remove(app_driver.client("client0@many.test").id)
    assert progress_in(admin.get(location)) == "0 of 2 sent"


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_likely_slips_are_listed_after_the_import_and_stop_nothing(
    admin: Browser, app_driver: AppDriver, htmx: bool
) -> None:
    lines = ["Acme,ann@gmial.com", "Bolt,info@bolt.test", "Cord,cy@cord.test", "CORD,di@cord.test", "Dune,d@dune.test"]
    accepted = upload(admin, a_file(*lines), htmx=htmx)
    page = parse(accepted if htmx else admin.get(accepted.location))
    warnings = [(warning["data-slip"], words(warning)) for warning in page.select("[data-slip]")]
    assert [(kind, said.split(" ,")[0]) for kind, said in warnings] == [
        ("domain", "Acme"),
        ("same_name", "Cord"),
        ("same_name", "CORD"),
        ("role", "Bolt"),
    ]
    assert "gmail.com" in warnings[0][1]
    assert len(app_driver.clients()) == 5


def test_a_file_without_slips_has_no_such_list(admin: Browser) -> None:
    accepted = upload(admin, a_file(*clients(3)), htmx=True)
    assert not parse(accepted).select(".warnings, [data-slip]")


# Who, and how often


def test_who_may_not_change_imports_nothing(
    staff: Browser, joined_client: Browser, stranger: Browser, nobody: Browser, app_driver: AppDriver
) -> None:
    before = app_driver.dump()
    for path in (IMPORT, f"{IMPORT}/report.csv", f"{IMPORT}/annotated.csv"):
        for somebody, status in [(staff, 403), (joined_client, 403), (stranger, 404), (nobody, 302)]:
            assert upload(somebody, a_file(ROW), to=path).status_code == status
    assert staff.get(IMPORT).status_code == joined_client.get(IMPORT).status_code == 403
    assert stranger.get(IMPORT).status_code == 404
    assert staff.get(f"{ic(HARBOUR)}/template.csv").status_code == 200
    assert app_driver.dump() == before


def test_without_the_token_nothing_is_done(admin: Browser, app_driver: AppDriver) -> None:
    before = app_driver.dump()
    for path in (IMPORT, f"{IMPORT}/report.csv", f"{IMPORT}/annotated.csv"):
        for htmx in (True, False):
            refused = upload(admin, a_file(ROW), to=path, csrf=False, htmx=htmx)
            assert refused.status_code == 400
            assert "Nothing was changed" in refused.text
    assert app_driver.dump() == before


def test_the_token_may_come_in_a_header(admin: Browser, app_driver: AppDriver) -> None:
    token = {"X-CSRFToken": admin.csrf_token()}
    assert upload(admin, a_file(ROW), csrf=False, headers=HTMX | token).status_code == 200
    assert len(app_driver.clients()) == 1


def test_an_import_counts_once_whatever_its_length(admin: Browser, app_driver: AppDriver) -> None:
    admin_id = app_driver.user("ada@harbour.test").id

    def count(times: int) -> None:
        with transaction():
            for _ in range(times):
                rate_limits.count(ADDS_OF_ADMIN, f"{HARBOUR} {admin_id}")

    app_driver.do(count, ADDS_OF_ADMIN.times - 2)
    assert upload(admin, a_file(*clients(1000))).status_code == 303
    assert upload(admin, a_file("Bad")).status_code == 422
    assert upload(admin, a_file("Last,last@acme.test")).status_code == 303
    refused = upload(admin, a_file("Late,late@acme.test"))
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) <= 61
    assert "late@acme.test" not in addresses(app_driver)


# At the same instant


@pytest.mark.parametrize("round", range(4))
def test_two_imports_with_common_addresses_at_once_are_one_whole_import(
    admin: Browser, app_driver: AppDriver, round: int
) -> None:
    """The common ones stand at both ends of the files, in one order and in the other."""
    hosts = ["one.test", "two.test"]
    one = a_file("A,aa@both.test", *clients(998, hosts[0]), "Z,zz@both.test")
    two = a_file("Z,zz@both.test", *clients(998, hosts[1]), "A,aa@both.test")
    answers = at_once([partial(upload, admin.twin(), data) for data in (one, two)])
    assert sorted(answer.status_code for answer in answers) == [303, 422]
    winner, loser = sorted(range(2), key=lambda number: answers[number].status_code)
    errors = errors_in(answers[loser])
    assert sorted(errors) == [2, 1001]
    assert all("duplicate" in error for error in errors.values())
    everybody = ["aa@both.test", *(f"client{n}@{hosts[winner]}" for n in range(998)), "zz@both.test"]
    assert addresses(app_driver) == sorted(everybody)
    assert sorted(mail.recipient for mail in app_driver.mails()) == sorted(everybody)


@pytest.mark.parametrize("round", range(4))
def test_an_import_and_a_manual_add_at_once_make_one_client(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, round: int
) -> None:
    file = a_file(*clients(60), "By File,both@many.test")
    form = {"company_name": "By Hand", "email": "both@many.test"}
    imported, added = at_once([partial(upload, admin.twin(), file), partial(admin.twin().post, ic(HARBOUR), form)])
    assert added.status_code == 303
    if imported.status_code == 303:
        assert len(app_driver.clients()) == 61
        assert app_driver.client("both@many.test").company_name == "By File"
    else:
        assert list(errors_in(imported)) == [62]
        assert addresses(app_driver) == ["both@many.test"]
        assert app_driver.client("both@many.test").company_name == "By Hand"
    outbox.flush()
    assert sorted(mail.recipient for mail in mail_server.mails) == addresses(app_driver)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_address_that_comes_into_the_table_while_the_import_is_being_written_is_named(
    app: Flask, admin: Browser, app_driver: AppDriver
) -> None:
    """On SQLite there is no such moment: whoever writes second begins when the first one has ended."""
    with ThreadPoolExecutor(1) as threads:
        with app.app_context(), transaction() as session:
            session.add(
                ImportedClient(
                    portal_id=HARBOUR, company_name="Rival", company_name_folded="rival", email="b@both.test"
                )
            )
            session.flush()
            importing = threads.submit(upload, admin, a_file("A,a@both.test", "B,b@both.test", "C,c@both.test"))
            wait_until_somebody_waits_for_us()
        errors = errors_in(importing.result(timeout=60))
    assert list(errors) == [3]
    assert "duplicate" in errors[3]
    assert addresses(app_driver) == ["b@both.test"]
    assert app_driver.mails() == []


def wait_until_somebody_waits_for_us() -> None:
    deadline = time.monotonic() + 30
    while not db.session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
        assert time.monotonic() < deadline, "the import does not wait"
        time.sleep(0.01)
