"""An import may leave out the clients that are in the table already. Whatever else is wrong stays all or nothing."""

from __future__ import annotations

from functools import partial

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.extensions import db
from app.models import ClientImport, ImportedClient
from tests.conftest import Outbox
from tests.integration.imports.uploading import (
    a_file,
    addresses,
    clients,
    codes_in,
    progress_in,
    refusal_in,
    upload,
    while_a_rival_adds,
)
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, words
from tests.support.smtp import MailServer
from tests.support.together import at_once

SKIP = {"skip_existing": "1"}
OLD, JOINED, NEW = "old@acme.test", "joined@acme.test", "new@acme.test"
FILE = a_file(f"Old,{OLD}", f"Joined,{JOINED}", f"New,{NEW}")


@pytest.fixture(autouse=True)
def in_the_table(app_driver: AppDriver) -> None:
    """A client that waits and one that has joined."""
    app_driver.invite(OLD, "As It Was")
    app_driver.invite(JOINED, "As It Was")
    app_driver.let_join(JOINED)


def imports(app_driver: AppDriver) -> list[int]:
    """The numbers of rows of all imports."""
    return list(app_driver.do(lambda: db.session.scalars(select(ClientImport.row_count)).all()))


@pytest.mark.both_databases
@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_the_rejection_offers_it_and_the_rest_is_imported(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, htmx: bool
) -> None:
    refused = upload(admin, FILE, htmx=htmx)
    assert codes_in(refusal_in(refused)) == [(2, "email_duplicate_in_table"), (3, "email_duplicate_joined")]
    assert "2 rows are in the table already; 1 row is fine." in words(parse(refused))
    (button,) = parse(refused).select("[data-import-errors] button[name=skip_existing][value='1']")
    assert words(button) == "Import without the 2 that are in the table already"
    assert imports(app_driver) == []

    done = upload(admin, FILE, SKIP, htmx=htmx)
    assert done.status_code == (200 if htmx else 303)
    page = done if htmx else admin.get(done.location)
    assert "2 clients were left out because they are in the table already." in words(parse(page))
    assert "1 client imported" in words(parse(page))
    assert progress_in(page) == "0 of 1 sent"
    assert imports(app_driver) == [1]
    assert addresses(app_driver) == [JOINED, NEW, OLD]
    assert app_driver.client(OLD).company_name == "As It Was"
    outbox.flush()
    assert len(mail_server.to(OLD)) == len(mail_server.to(NEW)) == 1


def test_where_nothing_is_left_nothing_is_imported_and_it_says_so(admin: Browser, app_driver: AppDriver) -> None:
    before = app_driver.dump()
    for htmx in (True, False):
        told = upload(admin, a_file(f"Old,{OLD}", f"Joined,{JOINED}"), SKIP, htmx=htmx)
        assert told.status_code == 200
        assert not parse(told).select("[data-import-errors]")
        said = words(parse(told).select_one("[data-import-nothing-new]"))
        assert said == "Nothing was imported. All 2 clients in the file are in the table already."
    assert app_driver.dump() == before


def test_where_all_of_it_is_in_the_table_no_button_is_offered(admin: Browser) -> None:
    refusal = refusal_in(upload(admin, a_file(f"Old,{OLD}", f"Joined,{JOINED}")))
    assert "All of it is in the table already." in words(refusal)
    assert not refusal.select("[name=skip_existing]")


OTHERS = {
    "email_domain": "Bad,bad@acme",
    "email_duplicate": f"Twice,{NEW}",
    "email_too_many_mails": "Often,often@acme.test",
}


def test_every_other_error_still_rejects_the_whole_file(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.use_up_mails("often@acme.test")
    before = app_driver.dump()
    for code, line in OTHERS.items():
        data = FILE + f"{line}\r\n".encode()
        refusal = refusal_in(upload(admin, data))
        found = {found for _line, found in codes_in(refusal)}
        assert found == {"email_duplicate_in_table", "email_duplicate_joined", code}
        assert not refusal.select("[name=skip_existing]"), f"it would not help against {code}"
        assert codes_in(refusal_in(upload(admin, data, SKIP))) == [(5, code)]
    assert app_driver.dump() == before


def test_only_1_asks_for_it(admin: Browser, app_driver: AppDriver) -> None:
    for value in ("", "0", "true"):
        assert upload(admin, FILE, {"skip_existing": value}).status_code == 422, value
    assert imports(app_driver) == []


@pytest.mark.both_databases
def test_two_at_once_import_each_client_once(admin: Browser, app_driver: AppDriver) -> None:
    one = a_file("A,aa@both.test", *clients(100, "one.test"), "Z,zz@both.test")
    two = a_file("Z,zz@both.test", *clients(100, "two.test"), "A,aa@both.test")
    answers = at_once([partial(upload, admin.twin(), data, SKIP) for data in (one, two)])
    assert [answer.status_code for answer in answers] == [303, 303]
    assert sorted(imports(app_driver)) == [100, 102]
    assert app_driver.do(lambda: db.session.scalar(select(func.count()).select_from(ImportedClient))) == 204


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_address_that_comes_into_the_table_while_the_import_is_being_written_is_left_out(
    app: Flask, admin: Browser, app_driver: AppDriver
) -> None:
    file = a_file("A,a@both.test", "B,b@both.test", "C,c@both.test")
    done = while_a_rival_adds("b@both.test", app, partial(upload, admin, file, SKIP, htmx=True))
    assert done.status_code == 200
    assert "1 client was left out because it is in the table already." in words(parse(done))
    assert imports(app_driver) == [2]
    assert app_driver.client("b@both.test").company_name == "Rival"
    assert "b@both.test" not in {mail.recipient for mail in app_driver.mails()}
