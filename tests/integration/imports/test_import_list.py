"""The list of imports: found again, counted, and the table narrowed to one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from bs4 import Tag
from flask import Flask
from sqlalchemy import delete, event, select, update
from sqlalchemy.exc import OperationalError

from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.imports.file_faults import MAX_BYTES
from app.imports.import_list import PAGE_SIZE, import_page
from app.jobs.schedule import run_job
from app.models import ClientImport, ImportedClient, MailState, OutboxMail, RejectedUpload, Role, User
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.clients.bulk import BULK, join
from tests.integration.imports.uploading import IMPORT, ROW, a_file, clients, refusal_in, upload
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import everything, on_sqlite
from tests.support.factories import find_client, import_file, invite, make_member
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases

LIST = f"{ic(HARBOUR)}/imports"


def lines(browser: Browser, query: str = "", path: str = LIST) -> list[Tag]:
    response = browser.get(f"{path}{query}")
    assert response.status_code == 200
    return list(parse(response).select("#imports-table tr[data-import-id]"))


def cell(line: Tag, column: str) -> str:
    found = line.select_one(f"[data-col={column}]")
    assert found is not None
    return words(found)


def files(browser: Browser, query: str = "") -> list[str]:
    return [words(line.select_one("[data-col=file_name] bdi")) for line in lines(browser, query)]


def counts(line: Tag) -> dict[str, str]:
    return {str(part["data-count"]): words(part) for part in line.select("[data-count]")}


def an_import(browser: Browser, name: str, *rows: str) -> None:
    assert upload(browser, a_file(*rows), name=name).status_code == 303


# What is listed


def test_each_import_says_when_who_which_file_and_how_its_clients_are_doing(
    app: Flask, admin: Browser, staff: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    mail_server.refuse["client2@many.test"] = "550 no such user"
    an_import(admin, "autumn.csv", *clients(6))
    an_import(admin, "winter.csv", "Late,late@many.test")
    outbox.flush()
    join(app, "client0@many.test")
    app_driver.let_link_lapse(app_driver.client("client1@many.test").id, now() - timedelta(days=1))
    app_driver.remove(app_driver.client("client3@many.test").id)
    app_driver.invite("client3@many.test")  # by hand: it belongs to no import any more
    # One whose address is corrected still does.
    corrected = f"{ic(HARBOUR)}/{app_driver.client('client4@many.test').id}/correct"
    assert admin.post(corrected, {"company_name": "Four", "email": "four@many.test"}).status_code == 303

    winter, autumn = lines(admin)
    assert counts(winter) == {"pending": "1 pending"}
    assert counts(autumn) == {
        "joined": "1 joined",
        "pending": "2 pending",
        "attention": "2 need attention",
        "removed": "1 removed",
    }
    assert [(rect["class"], rect["x"], rect["width"]) for rect in autumn.select("rect")] == [
        (["joined"], "0", "1"),
        (["pending"], "1", "2"),
        (["attention"], "3", "2"),
        (["removed"], "5", "1"),
    ]
    assert autumn.time is not None
    assert (cell(autumn, "admin"), cell(autumn, "rows")) == ("Ada Berg", "6")
    # The number is that of the table's own filter.
    attention = autumn.select_one("[data-count=attention] a")
    assert attention is not None
    table = parse(admin.get(str(attention["href"])))
    assert sorted(words(found) for found in table.select("td[data-col=email]")) == [
        "client1@many.test",
        "client2@many.test",
    ]
    assert len(autumn.select("a[id^=take-back]")) == 1
    assert [counts(line) for line in lines(staff)] == [counts(winter), counts(autumn)]
    assert not parse(staff.get(LIST)).select("a[id^=take-back], [data-col=action]")


@on_sqlite
def test_a_deleted_account_is_called_one_and_nothing_of_another_portal_is_listed(
    app: Flask, admin: Browser, stranger: Browser
) -> None:
    assert "No imports yet" in words(parse(admin.get(LIST)).select_one("#imports-table"))
    with app.app_context():
        import_file(ALPINE, "alpine@many.test", actor="olaf@alpine.test")
        import_file(HARBOUR, "harbour@many.test")
    with app.app_context(), transaction() as session:
        session.execute(update(ClientImport).where(ClientImport.portal_id == HARBOUR).values(actor_id=None))
    (line,) = lines(admin)
    assert cell(line, "admin") == "deleted account"
    assert len(lines(stranger, path=f"{ic(ALPINE)}/imports")) == 1
    assert stranger.get(LIST).status_code == 404


def test_search_finds_a_part_of_the_file_name_or_of_the_admin_in_any_case(app: Flask, admin: Browser) -> None:
    with app.app_context():
        make_member(HARBOUR, "ilker@harbour.test", "İlker Ünsal", Role.CLIENT_ADMIN)
    an_import(admin, "Straße 100%.csv", "A,a@many.test")
    an_import(admin, "100_percent.csv", "B,b@many.test")
    with app.app_context():
        import_file(HARBOUR, "c@many.test", actor="ilker@harbour.test")
    for term, found in {
        "STRASSE": ["Straße 100%.csv"],
        "100%25": ["Straße 100%.csv"],
        "0_p": ["100_percent.csv"],
        "ilker ünsal": ["clients.csv"],
        "  ADA   berg ": ["100_percent.csv", "Straße 100%.csv"],
        "nowhere%00": [],
        "": ["clients.csv", "100_percent.csv", "Straße 100%.csv"],
    }.items():
        assert files(admin, f"?q={term}") == found, term
    none = parse(admin.get(f"{LIST}?q=nowhere"))
    assert "No imports match" in words(none.select_one("#imports-table"))
    assert none.select_one("#imports-term")["value"] == "nowhere"


def test_a_long_list_has_pages_and_each_takes_as_many_queries_as_one_line(app: Flask, admin: Browser) -> None:
    with app.app_context():
        import_file(HARBOUR, "first@many.test")
        with queries(app) as of_one:
            import_page(HARBOUR)
        for number in range(PAGE_SIZE + 1):
            import_file(HARBOUR, f"more{number}@many.test")
        with queries(app) as of_many:
            page = import_page(HARBOUR)
    assert len(of_one) == len(of_many) == 3
    assert (len(page.imports), page.found) == (PAGE_SIZE, PAGE_SIZE + 2)

    first, last = parse(admin.get(LIST)), parse(admin.get(f"{LIST}?page=2"))
    assert words(first.select_one("#imports-count")) == "1–20 of 22"
    assert words(last.select_one("#imports-count")) == "21–22 of 22"
    following, preceding = first.select_one("a[rel=next]"), last.select_one("a[rel=prev]")
    assert not first.select("a[rel=prev]")
    assert not last.select("a[rel=next]")
    assert following["href"] == f"{LIST}?page=2"
    assert preceding["href"] == LIST
    together = [line["data-import-id"] for page in (first, last) for line in page.select("tr[data-import-id]")]
    assert together == sorted(together, reverse=True)
    assert len(set(together)) == PAGE_SIZE + 2
    # Beyond the end it is the last page, and what is no number is the first.
    for asked, shown in {"99": "21–22", "0": "1–20", "-1": "1–20", "x": "1–20", "9" * 30: "1–20", "²": "1–20"}.items():
        assert words(parse(admin.get(f"{LIST}?page={asked}")).select_one("#imports-count")) == f"{shown} of 22", asked


@contextmanager
def queries(app: Flask) -> Iterator[list[str]]:
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        found.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    found[:] = [one for one in found if one.startswith("SELECT")]


@on_sqlite
def test_by_htmx_the_list_takes_the_place_of_the_table_and_keeps_its_search_in_the_address(admin: Browser) -> None:
    an_import(admin, "autumn.csv", *clients(1))
    answer = admin.get(f"{LIST}?q=autumn", htmx=True)
    assert parse(answer).select_one("#clients-view #imports-list tr[data-import-id]")
    assert answer.headers["HX-Push-Url"] == f"{LIST}?q=autumn"
    types_on = {"HX-Request": "true", "HX-Current-URL": f"http://localhost{LIST}?q=aut"}
    assert admin.get(f"{LIST}?q=autumn", headers=types_on).headers["HX-Replace-Url"] == f"{LIST}?q=autumn"
    inside = admin.get(LIST, headers={"HX-Request": "true", "X-Embedded": "tab inline"})
    assert "HX-Push-Url" not in inside.headers
    assert "HX-Trigger" not in inside.headers
    refreshed = admin.get(f"{LIST}/list?q=autumn", htmx=True)
    assert "HX-Push-Url" not in refreshed.headers
    assert parse(refreshed).find(id=True)["id"] == "imports-list"


# Attempts that were refused


@on_sqlite
def test_of_a_rejected_upload_only_a_count_is_kept(app: Flask, admin: Browser) -> None:
    before = everything(app)
    refusal_in(upload(admin, a_file("Fine,fine@acme.test", "Bad,secret@acme", "Worse"), name="secret names.csv"))
    refusal_in(upload(admin, b"%PDF-1.7 secret"), 422)
    # Neither the downloads nor what never was a list counts as an attempt.
    upload(admin, a_file("Bad"), to=f"{IMPORT}/report.csv")
    upload(admin, b"%PDF-1.7 secret", to=f"{IMPORT}/annotated.csv")
    refusal_in(upload(admin, b"x" * (MAX_BYTES + 1)), 413)
    admin.post(IMPORT, {})
    assert everything(app) == before
    with app.app_context():
        kept = [dict(row) for row in db.session.execute(select(RejectedUpload.__table__)).mappings()]
    assert [row["bad_rows"] for row in kept] == [2, 0]
    assert all(row.keys() == {"id", "portal_id", "actor_id", "at", "bad_rows"} for row in kept)
    assert "secret" not in str(kept)


def test_each_import_says_how_many_attempts_of_its_admin_were_refused_before(app: Flask, admin: Browser) -> None:
    with app.app_context():
        make_member(HARBOUR, "ben@harbour.test", "Ben Holm", Role.CLIENT_ADMIN)
    ben = Browser(app)
    ben.sign_in("ben@harbour.test", "seven plain words for a test")
    bad = a_file("Bad")
    for browser, rows in [(admin, None), (ben, None), (admin, None), (admin, "a"), (admin, "b"), (admin, None)]:
        if rows:
            an_import(browser, f"{rows}.csv", f"{rows},{rows}@many.test")
        else:
            refusal_in(upload(browser, bad))
    newest, oldest = lines(admin)
    assert not newest.select("[data-refused]")
    assert words(oldest.select_one("[data-refused]")) == "2 attempts refused before"
    # Ben's attempt and Ada's last one: no import of the same admin has followed.
    since = words(parse(admin.get(LIST)).select_one("#refused-since"))
    assert since.startswith("2 uploads were refused since the last import")
    assert since.endswith("It had 1 row to fix.")
    assert not parse(admin.get(f"{LIST}?q=a")).select("#refused-since")


@on_sqlite
def test_a_rejection_is_answered_although_it_cannot_be_counted(app: Flask, admin: Browser) -> None:
    def fail(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "INSERT INTO rejected_upload" in statement:
            raise OperationalError(statement, {}, Exception("disk full"))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", fail)
    try:
        for htmx in (True, False):
            assert "1 row needs fixing" in words(refusal_in(upload(admin, a_file("Bad"), htmx=htmx)))
    finally:
        event.remove(engine, "before_cursor_execute", fail)
    with app.app_context():
        assert db.session.scalars(select(RejectedUpload)).all() == []


@on_sqlite
def test_old_counts_are_deleted_and_an_account_takes_its_own_with_it(app: Flask, app_driver: AppDriver) -> None:
    ada = app_driver.user("ada@harbour.test").id

    def count(days: int, actor_id: int) -> None:
        with transaction() as session:
            session.add(
                RejectedUpload(portal_id=HARBOUR, actor_id=actor_id, at=now() - timedelta(days=days), bad_rows=1)
            )

    def ages() -> list[int]:
        return sorted((now() - at).days for at in db.session.scalars(select(RejectedUpload.at)))

    def leave(user_id: int) -> None:
        with transaction() as session:
            session.execute(delete(User).where(User.id == user_id))

    ben = app_driver.do(make_member, HARBOUR, "ben@harbour.test", "Ben Holm", Role.CLIENT_ADMIN)
    for days, actor in [(179, ada), (181, ada), (3, ben)]:
        app_driver.do(count, days, actor)
    assert run_job(app, "prune")
    assert app_driver.do(ages) == [3, 179]
    app_driver.do(leave, ben)
    assert app_driver.do(ages) == [179]


# The table, narrowed to an import


@pytest.fixture
def two_imports(app: Flask, admin: Browser) -> dict[str, str]:
    """Two imports and a client by hand; the ids of the imports by the names of their files."""
    an_import(admin, "autumn.csv", *clients(30))
    an_import(admin, "winter.csv", *clients(2, "winter.test"))
    with app.app_context():
        invite(HARBOUR, "by-hand@client.test")
        rows = db.session.execute(select(ClientImport.file_name, ClientImport.id))
        return {name: str(import_id) for name, import_id in rows}


def test_the_table_shows_the_clients_of_an_import_alone(admin: Browser, two_imports: dict[str, str]) -> None:
    autumn, winter = two_imports["autumn.csv"], two_imports["winter.csv"]
    query = f"?import={winter}"
    assert [row.email for row in admin.rows(HARBOUR, query)] == ["client0@winter.test", "client1@winter.test"]
    page = parse(admin.get(f"{ic(HARBOUR)}{query}"))
    chip = page.select_one("#chip-import_id")
    assert words(chip) == "Import: winter.csv ×"
    assert chip["href"] == ic(HARBOUR)
    assert query[1:] in page.select_one("#imported-clients")["hx-get"]
    assert page.select_one("#search [name=import]")["value"] == winter
    assert page.select_one("#filter-panel [name=import]")["value"] == winter
    # With other filters, in another order, over pages.
    assert [row.email for row in admin.rows(HARBOUR, f"{query}&q=client1")] == ["client1@winter.test"]
    first = parse(admin.get(f"{ic(HARBOUR)}?import={autumn}&sort=email"))
    assert words(first.select_one("#result-count")) == "1–25 of 30"
    following = str(first.select_one("a[rel=next]")["href"])
    assert f"import={autumn}" in following
    assert len(admin.rows(HARBOUR, following.removeprefix(ic(HARBOUR)))) == 5


def test_export_and_select_all_matching_keep_to_the_import(admin: Browser, two_imports: dict[str, str]) -> None:
    autumn, winter = two_imports["autumn.csv"], two_imports["winter.csv"]
    exported = admin.get(f"{ic(HARBOUR)}/export.csv?import={winter}").text
    assert [line.split(",")[1] for line in exported.splitlines()[1:]] == ["client0@winter.test", "client1@winter.test"]
    page = parse(admin.get(f"{ic(HARBOUR)}?import={autumn}"))
    assert words(page.select_one("#bulk-form label")) == "Select all 30 matching clients"
    fields = {field["name"]: field["value"] for field in page.select("#bulk-form input[type=hidden]")}
    assert fields == {"import": autumn}
    removed = admin.post(f"{BULK}/remove", {"all": "1", **fields})
    assert removed.status_code == 303
    assert removed.location == f"{ic(HARBOUR)}?import={autumn}"
    assert sorted(row.email for row in admin.rows(HARBOUR)) == [
        "by-hand@client.test",
        "client0@winter.test",
        "client1@winter.test",
    ]


@on_sqlite
def test_an_import_that_the_portal_has_not_is_no_filter(
    app: Flask, admin: Browser, two_imports: dict[str, str]
) -> None:
    with app.app_context():
        foreign = import_file(ALPINE, "alpine@many.test", actor="olaf@alpine.test")
    for text in (foreign, str(UUID(int=0)), "x", "%00", "{}", "", "'--", two_imports["winter.csv"] + "x"):
        page = parse(admin.get(f"{ic(HARBOUR)}?import={text}"))
        assert not page.select(".chips"), text
        assert words(page.select_one("#result-count")) == "1–25 of 33", text


def test_the_bar_counts_a_bounced_mail_as_one_that_needs_attention(app: Flask, admin: Browser) -> None:
    an_import(admin, "one.csv", ROW)
    with app.app_context():
        client_id = find_client(HARBOUR, "ann@acme.test").id
        with transaction() as session:
            session.execute(update(OutboxMail).where(OutboxMail.client_id == client_id).values(state=MailState.BOUNCED))
    assert counts(lines(admin)[0]) == {"attention": "1 needs attention"}
    with app.app_context(), transaction() as session:
        session.execute(delete(ImportedClient).where(ImportedClient.id == client_id))
    assert counts(lines(admin)[0]) == {"removed": "1 removed"}
