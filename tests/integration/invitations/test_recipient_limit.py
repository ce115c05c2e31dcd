"""Twenty invitation mails an hour to one recipient of a portal, whichever way they are caused."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.clients.bulk import resend_clients
from app.core.errors import TooManyRequests
from app.invitations.reminders import send_reminders
from app.models import MailKind, Role
from tests.conftest import ALPINE, HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, path_of, words
from tests.support.databases import on_sqlite
from tests.support.factories import counted_as, make_member
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

NORD, SUED = "info@nordwind.test", "info@suedwind.test"


def upload(browser: Browser, *emails: str, to: str = "import") -> TestResponse:
    rows = "\r\n".join(f"Imported Ltd,{email}" for email in emails)
    file = io.BytesIO(f"company_name,email\r\n{rows}".encode())
    return browser.post(f"{ic(HARBOUR)}/{to}", {"file": (file, "clients.csv")}, htmx=True)


def add(browser: Browser, email: str) -> TestResponse:
    return browser.post(ic(HARBOUR), {"company_name": "Nordwind", "email": email}, htmx=True)


def test_importing_and_removing_does_not_begin_anew(app: Flask, admin: Browser, app_driver: AppDriver) -> None:
    for times in (10, 9, 1):
        with counted_as(app, times):
            assert upload(admin, NORD).status_code == 200
            app_driver.remove(app_driver.client(NORD).id)
    assert upload(admin, NORD).status_code == 422
    assert add(admin, NORD).status_code == 429
    assert app_driver.clients() == []


@on_sqlite
def test_an_import_with_such_a_recipient_is_refused_as_a_whole_and_its_row_says_why(
    admin: Browser, app_driver: AppDriver
) -> None:
    app_driver.use_up_mails(NORD)
    before = app_driver.dump()
    refused = upload(admin, SUED, NORD, "post@berghof.test")
    assert refused.status_code == 422
    (row,) = parse(refused).select("[data-error-line]")
    assert row["data-error-line"] == "3"
    assert row.select_one("[data-error-code]")["data-error-code"] == "email_too_many_mails"
    assert words(row.code) == "email"
    assert words(row.select_one(".reason")).startswith("This address has reached the limit of 20")
    assert words(row.select_one(".remedy")) in {f"Delete this line, or try again in {n} min." for n in (29, 30, 31)}
    assert "Nothing was imported" in words(parse(refused))
    for download in ("import/report.csv", "import/annotated.csv"):
        assert "20 invitation emails" in upload(admin, SUED, NORD, to=download).text
    assert app_driver.dump() == before
    assert upload(admin, SUED).status_code == 200


@on_sqlite
def test_a_bulk_resend_leaves_them_out_and_names_them(admin: Browser, app_driver: AppDriver) -> None:
    ids = [app_driver.invite(f"c{n}@client.test", f"Company {n}") for n in range(9)]
    for n in range(1, 9):
        app_driver.use_up_mails(f"c{n}@client.test")
    answer = admin.post(f"{ic(HARBOUR)}/bulk/resend", {"client_id": [str(one) for one in ids]}, htmx=True)
    assert answer.status_code == 200
    told = words(parse(answer))
    assert told.startswith("1 invitation resent.")
    assert "Company 1 (c1@client.test)" in told
    assert "and 3 more" in told
    assert "Company 0" not in told
    assert [app_driver.client(f"c{n}@client.test").generation for n in range(9)] == [2] + [1] * 8


@on_sqlite
def test_a_bulk_resend_to_nobody_else_is_refused_with_their_names(admin: Browser, app_driver: AppDriver) -> None:
    client_id = app_driver.invite(NORD)
    app_driver.use_up_mails(NORD)
    before = app_driver.dump()
    refused = admin.post(f"{ic(HARBOUR)}/bulk/resend", {"client_id": str(client_id)}, htmx=True)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 1802
    assert f"Nordwind Reisen ({NORD})" in words(parse(refused))
    assert app_driver.dump() == before


@on_sqlite
def test_the_other_ways_are_refused_with_a_sentence(admin: Browser, nobody: Browser, app_driver: AppDriver) -> None:
    pending, lapsed = app_driver.invite(NORD), app_driver.invite("late@nordwind.test")
    app_driver.let_link_lapse(lapsed, datetime.now(UTC) - timedelta(seconds=1))
    for email in (NORD, SUED, "late@nordwind.test"):
        app_driver.use_up_mails(email)
    mails = len(app_driver.mails())
    corrected = {"company_name": "Nordwind", "email": SUED}
    refusals = [
        admin.post(f"{ic(HARBOUR)}/{pending}/resend", htmx=True),
        admin.post(f"{ic(HARBOUR)}/{pending}/correct", corrected, htmx=True),
        add(admin, SUED),
        nobody.post(f"{path_of(app_driver.link(lapsed))}/fresh"),
    ]
    for refused in refusals:
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert "This address has reached the limit of 20 invitation emails an hour" in words(parse(refused))
    assert len(app_driver.mails()) == mails
    assert {app_driver.client(email).generation for email in (NORD, "late@nordwind.test")} == {1}


@on_sqlite
@pytest.mark.parametrize("how", ["add", "import", "resend", "bulk", "correct", "fresh", "remind"])
def test_every_way_counts(admin: Browser, nobody: Browser, app_driver: AppDriver, how: str) -> None:
    client_id = app_driver.invite(SUED)
    page = f"{ic(HARBOUR)}/{client_id}"
    app_driver.use_up_mails(NORD, left=1)
    app_driver.use_up_mails(SUED, left=2)  # its invitation was one of them
    caused: dict[str, tuple[Callable[[], object], str]] = {
        "add": (lambda: add(admin, NORD), NORD),
        "import": (lambda: upload(admin, NORD), NORD),
        "correct": (lambda: admin.post(f"{page}/correct", {"company_name": "N", "email": NORD}), NORD),
        "resend": (lambda: admin.post(f"{page}/resend"), SUED),
        "bulk": (lambda: admin.post(f"{ic(HARBOUR)}/bulk/resend", {"client_id": str(client_id)}), SUED),
        "fresh": (lambda: nobody.post(f"{path_of(app_driver.link(client_id))}/fresh"), SUED),
        "remind": (lambda: app_driver.do(send_reminders, Event()), SUED),
    }
    if how in {"fresh", "remind"}:
        ends = timedelta(seconds=-1) if how == "fresh" else timedelta(days=1)
        app_driver.let_link_lapse(client_id, datetime.now(UTC) + ends)
        app_driver.change_portal(sends_reminders=True)
    cause, email = caused[how]
    cause()
    assert app_driver.mails()[-1].recipient == email
    app_driver.let_presses_pass()
    assert admin.post(f"{ic(HARBOUR)}/{app_driver.client(email).id}/resend").status_code == 429


@on_sqlite
def test_who_is_in_the_table_already_cannot_be_told_by_it_and_does_not_count(
    admin: Browser, app_driver: AppDriver
) -> None:
    app_driver.invite(NORD)
    app_driver.use_up_mails(NORD)
    again, fresh = add(admin, NORD), add(admin, SUED)
    assert (again.status_code, again.data, sorted(again.headers)) == (200, fresh.data, sorted(fresh.headers))
    app_driver.use_up_mails("post@berghof.test", left=1)
    for _ in range(3):
        assert add(admin, "post@berghof.test").status_code == 200
    assert len(app_driver.mails()) == 3


def test_it_is_of_one_portal_and_of_an_hour(admin: Browser, stranger: Browser, app_driver: AppDriver) -> None:
    app_driver.use_up_mails(NORD)
    assert stranger.post(ic(ALPINE), {"company_name": "Nordwind", "email": NORD}).status_code == 303
    assert add(admin, NORD).status_code == 429
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=31)):
        assert add(admin, NORD).status_code == 200


def test_a_reminder_goes_to_all_but_them(app_driver: AppDriver) -> None:
    app_driver.change_portal(sends_reminders=True)
    for email in (NORD, SUED):
        app_driver.let_link_lapse(app_driver.invite(email), datetime.now(UTC) + timedelta(days=1))
    app_driver.use_up_mails(NORD)
    assert app_driver.do(send_reminders, Event()) == 1
    assert [mail.recipient for mail in app_driver.mails() if mail.kind is MailKind.REMINDER] == [SUED]


def test_of_many_at_once_no_more_pass_than_the_limit_allows(app: Flask, app_driver: AppDriver) -> None:
    client_id = app_driver.invite(NORD)
    app_driver.use_up_mails(NORD, left=4)
    admins = [app_driver.user("ada@harbour.test").id]
    with app.app_context():
        admins += [make_member(HARBOUR, f"admin{n}@harbour.test", "Bert Holm", Role.CLIENT_ADMIN) for n in range(5)]

    def resend(admin_id: int) -> bool:
        try:
            app_driver.do(resend_clients, HARBOUR, [client_id], admin_id)
        except TooManyRequests:
            return False
        return True

    # Three are left: the invitation itself was one of the four.
    assert sum(at_once([partial(resend, admin_id) for admin_id in admins])) == 3
