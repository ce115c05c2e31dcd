"""An admin's message to those who are invited: in each invitation, above the greeting, and nowhere else."""

from __future__ import annotations

import io
from datetime import timedelta
from functools import partial
from threading import Event
from uuid import UUID

import pytest
from bs4 import BeautifulSoup
from flask import Flask

from app.core.clock import now
from app.invitations.reminders import send_reminders
from app.models import EventKind
from tests.conftest import HARBOUR, Outbox
from tests.integration.imports.uploading import a_file, addresses, clients, codes_in, refusal_in, upload
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, ic, parse, words
from tests.support.smtp import MailServer, Taken

INVITEE = "info@nordwind.test"
FORM = {"company_name": "Nordwind", "email": INVITEE}
MESSAGE = "Dear <partners> & friends,\r\n\r\nwe move on 1 May.\r\nمرحبا بكم\r\n.\r\n{company}"
LINES = ["Dear <partners> & friends,", "", "we move on 1 May.", "مرحبا بكم", ".", "{company}"]


def lines_in(mail: Taken) -> list[str] | None:
    """The message in a mail: the same in both parts, above the greeting; None if there is none."""
    text = mail.text.split("\n")
    html = BeautifulSoup(mail.html, "html.parser")
    lead = html.find("h1").find_next_sibling()
    if "Dear <partners> & friends," not in text:
        assert "partners" not in mail.html
        return None
    found = text[: text.index("Hello,")]
    assert found[-1] == ""
    assert [line.get_text() for line in lead.select("div[dir=auto]")] == found[:-1]
    assert "invites" in " ".join(part.get_text() for part in lead.find_next_siblings())
    return found[:-1]


def taken(outbox: Outbox, mail_server: MailServer, address: str = INVITEE) -> Taken:
    """The newest mail to an address."""
    outbox.flush()
    return mail_server.to(address)[-1]


@pytest.mark.both_databases
@pytest.mark.parametrize("way", ["by hand", "by file"])
def test_it_stands_above_the_greeting_and_in_the_history(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, way: str
) -> None:
    if way == "by hand":
        assert admin.post(ic(HARBOUR), FORM | {"message": MESSAGE}).status_code == 303
    else:
        lines = [f"Nordwind,{INVITEE}", *clients(3)]
        assert upload(admin, a_file(*lines), {"message": MESSAGE}).status_code == 303
    mail = taken(outbox, mail_server)
    assert lines_in(mail) == LINES
    assert "&lt;partners&gt; &amp; friends" in mail.html
    assert b"\r\n.\r\n" not in mail.raw.rstrip(), "no line of an encoded body begins with a dot"

    client = app_driver.client(INVITEE)
    events = parse(admin.get(f"{ic(HARBOUR)}/{client.id}/history")).select(".events > li")
    written = [event for event in events if event.select(".message")]
    assert [[p.get_text().strip() for p in event.select(".message p")] for event in written] == [LINES]
    assert "Ada" in words(written[0])
    for address in addresses(app_driver):
        app_driver.remove(app_driver.client(address).id)
    assert "partners" not in app_driver.dump(), "it goes with its clients"


@pytest.mark.both_databases
def test_it_is_sent_again_with_each_invitation_and_not_with_a_reminder(
    app: Flask, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    admin.post(ic(HARBOUR), FORM | {"message": MESSAGE})
    client_id = app_driver.client(INVITEE).id
    assert lines_in(taken(outbox, mail_server)) == LINES

    def correct(name: str, email: str) -> None:
        path = f"{ic(HARBOUR)}/{client_id}/correct"
        assert admin.post(path, {"company_name": name, "email": email}).status_code == 303

    other = "office@nordwind.test"
    renewals = [
        partial(app_driver.resend, client_id),
        lambda: admin.post(f"{ic(HARBOUR)}/bulk/resend", {"client_id": str(client_id)}),
        partial(correct, "Nordwind Reisen", INVITEE),
        partial(correct, "Nordwind Reisen", other),
    ]
    for number, renew in enumerate(renewals, 2):
        app_driver.let_presses_pass()
        renew()
        assert app_driver.client(other if number == 5 else INVITEE).generation == number
        assert lines_in(taken(outbox, mail_server, other if number == 5 else INVITEE)) == LINES
    assert app_driver.kinds(client_id).count(EventKind.INVITED) == 1

    remind(app_driver, client_id)
    reminder = taken(outbox, mail_server, other)
    assert "Reminder" in str(reminder.message["Subject"])
    assert lines_in(reminder) is None


def remind(app_driver: AppDriver, client_id: UUID) -> None:
    """Let the link end soon, and run the job."""
    app_driver.change_portal(sends_reminders=True)
    app_driver.let_link_lapse(client_id, now() + timedelta(hours=40))
    assert app_driver.do(send_reminders, Event()) == 1


def test_without_one_nothing_is_different(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    admin.post(ic(HARBOUR), FORM | {"message": " \r\n "})
    app_driver.invite("other@nordwind.test", "Nordwind")
    empty, none = taken(outbox, mail_server), taken(outbox, mail_server, "other@nordwind.test")
    assert lines_in(empty) is None
    assert empty.text.replace(INVITEE, "").replace(empty.link, "") == none.text.replace(
        "other@nordwind.test", ""
    ).replace(none.link, "")
    assert app_driver.mail(INVITEE).params == app_driver.mail("other@nordwind.test").params


WRONG = {
    "message_too_long": "x" * 501,
    "message_invisible": "Hello\u202eworld",
    "message_link": "Look at www.evil.test",
}


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_a_wrong_one_is_told_with_its_code_and_what_was_typed_is_kept(
    admin: Browser, app_driver: AppDriver, htmx: bool
) -> None:
    before = app_driver.dump()
    for code, message in WRONG.items():
        by_hand = admin.post(ic(HARBOUR), FORM | {"message": message}, htmx=htmx)
        assert by_hand.status_code == 422, code
        page = parse(by_hand)
        assert [error["data-error-code"] for error in page.select("#message-error[data-error-code]")] == [code]
        assert page.select_one("textarea[name=message]").text.strip() == message
        assert page.select_one("[name=company_name]")["value"] == "Nordwind", code

        by_file = upload(admin, a_file(*clients(2)), {"message": message}, htmx=htmx)
        assert codes_in(refusal_in(by_file))[-1] == (None, code)
        if not htmx:
            # With the script the form stays as it is: only what is below it is swapped.
            assert parse(by_file).select_one("textarea[name=message]").text.strip() == message
    assert app_driver.dump() == before


def test_the_text_of_a_message_is_kept_with_every_other_answer(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.change_portal(preview_above=0)
    typed = {"message": "  Welcome  "}
    answers = [
        upload(admin, a_file("Bad"), typed),
        upload(admin, a_file(*clients(2)), typed),
        admin.post(f"{ic(HARBOUR)}/import", typed),
        admin.post(ic(HARBOUR), {"company_name": "", "email": ""} | typed),
    ]
    for answer in answers:
        assert parse(answer).select_one("textarea[name=message]").text.strip() == "Welcome"
    assert addresses(app_driver) == []


def test_a_file_in_place_of_a_message_is_none(admin: Browser, app_driver: AppDriver) -> None:
    def file() -> tuple[io.BytesIO, str]:
        return io.BytesIO(b"Hello"), "hello.txt"

    data = {"file": (io.BytesIO(a_file(*clients(1))), "clients.csv"), "message": file()}
    assert admin.post(f"{ic(HARBOUR)}/import", data).status_code == 303
    assert admin.post(ic(HARBOUR), FORM | {"message": file()}).status_code == 303
    assert admin.post(ic(HARBOUR), FORM | {"company_name": file()}).status_code == 422
    assert app_driver.client("client0@many.test").message is None


def test_a_manual_duplicate_stays_silent(admin: Browser, app_driver: AppDriver) -> None:
    first = admin.post(ic(HARBOUR), FORM | {"message": "Hello"}, headers=HTMX)
    second = admin.post(ic(HARBOUR), FORM | {"message": "Another one"}, headers=HTMX)
    assert (second.status_code, second.data) == (first.status_code, first.data)
    assert {name for name, _value in second.headers} == {name for name, _value in first.headers}
    assert app_driver.client(INVITEE).message == "Hello"
    assert "Another one" not in app_driver.dump()
