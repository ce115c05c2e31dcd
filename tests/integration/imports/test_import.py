"""All of a good client list is imported, and of two at the same moment each is imported whole or not at all."""

from __future__ import annotations

from functools import partial

import pytest
from flask import Flask
from sqlalchemy import text

from app.clients.service import ADDS_OF_ADMIN
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import Base, db
from app.models import EventKind
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.imports.uploading import (
    IMPORT,
    ROW,
    a_file,
    addresses,
    clients,
    errors_in,
    progress_in,
    upload,
    while_a_rival_adds,
)
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, ic, parse, words
from tests.support.smtp import MailServer
from tests.support.together import at_once

BOM = b"\xef\xbb\xbf"


# All of it


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


@pytest.mark.both_databases
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


@pytest.mark.both_databases
def test_a_client_out_of_a_file_is_like_one_added_by_hand(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    assert upload(admin, a_file(" Straße\t Reisen ,POST@by-file.test ")).status_code == 303
    app_driver.invite("post@by-hand.test", "Straße Reisen")
    assert columns(app_driver.client("post@by-file.test"), but={"import_id", "email", "address_digest"}) == columns(
        app_driver.client("post@by-hand.test"), but={"import_id", "email", "address_digest"}
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
        newest = [(row.company_name, row.email) for row in admin.rows(HARBOUR, f"?q={host}")]
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

    def empty() -> None:
        db.session.execute(text("TRUNCATE imported_client CASCADE"))
        db.session.commit()

    app_driver.do(empty)  # tests before this one leave PostgreSQL's own count
    assert app_driver.do(rows_known) <= 0
    assert upload(admin, a_file(*clients(100))).status_code == 303
    assert app_driver.do(rows_known) == 100


# Progress, and what is worth a second look


@pytest.mark.both_databases
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


@pytest.mark.both_databases
def test_a_finished_import_is_a_notice_until_somebody_dismisses_it(
    admin: Browser, staff: Browser, stranger: Browser, outbox: Outbox
) -> None:
    upload(admin, a_file(*clients(3)), name="autumn.csv")
    assert not parse(admin.get(ic(HARBOUR))).select("#recent-imports form"), "it is not finished"
    outbox.flush()
    notice = parse(admin.get(ic(HARBOUR))).select_one("#recent-imports [data-import-id]")
    assert words(notice) == "autumn.csv 3 of 3 sent"
    assert not notice.select("progress")
    address = notice.form["action"]
    assert not parse(staff.get(ic(HARBOUR))).select("#recent-imports form")
    assert (staff.post(address).status_code, stranger.post(address).status_code) == (403, 404)

    upload(admin, a_file("Late,late@many.test"), name="winter.csv")
    answer = admin.post(address, htmx=True)
    assert [words(shown) for shown in parse(answer).select("[data-import-id]")] == ["winter.csv 0 of 1 sent"]
    assert admin.post(address).status_code == 303
    assert [words(shown) for shown in parse(staff.get(ic(HARBOUR))).select("[data-import-id]")] == [
        "winter.csv 0 of 1 sent"
    ]


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_warnings_are_listed_after_the_import_and_stop_nothing(
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


def test_a_file_without_warnings_has_no_such_list(admin: Browser) -> None:
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
    assert upload(admin, a_file(*clients(100))).status_code == 303
    assert upload(admin, a_file("Bad")).status_code == 422
    assert upload(admin, a_file("Last,last@acme.test")).status_code == 303
    refused = upload(admin, a_file("Late,late@acme.test"))
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) <= 61
    assert "late@acme.test" not in addresses(app_driver)


# At the same instant


@pytest.mark.both_databases
@pytest.mark.parametrize("round", range(2))
def test_two_imports_with_common_addresses_at_once_are_one_whole_import(
    admin: Browser, app_driver: AppDriver, round: int
) -> None:
    """The common ones stand at both ends of the files, in one order and in the other."""
    hosts = ["one.test", "two.test"]
    one = a_file("A,aa@both.test", *clients(298, hosts[0]), "Z,zz@both.test")
    two = a_file("Z,zz@both.test", *clients(298, hosts[1]), "A,aa@both.test")
    answers = at_once([partial(upload, admin.twin(), data) for data in (one, two)])
    assert sorted(answer.status_code for answer in answers) == [303, 422]
    winner, loser = sorted(range(2), key=lambda number: answers[number].status_code)
    errors = errors_in(answers[loser])
    assert sorted(errors) == [2, 301]
    assert all("duplicate" in error for error in errors.values())
    everybody = ["aa@both.test", *(f"client{n}@{hosts[winner]}" for n in range(298)), "zz@both.test"]
    assert addresses(app_driver) == sorted(everybody)
    assert sorted(mail.recipient for mail in app_driver.mails()) == sorted(everybody)


@pytest.mark.both_databases
@pytest.mark.parametrize("round", range(2))
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
    file = a_file("A,a@both.test", "B,b@both.test", "C,c@both.test")
    errors = errors_in(while_a_rival_adds("b@both.test", app, partial(upload, admin, file)))
    assert list(errors) == [3]
    assert "duplicate" in errors[3]
    assert addresses(app_driver) == ["b@both.test"]
    assert app_driver.mails() == []
