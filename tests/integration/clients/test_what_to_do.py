"""A row whose email did not arrive says what to do, by what the mail server said."""

from __future__ import annotations

import pytest

from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.smtp import MailServer

INVITEE = "info@nordwind.test"
OTHER = "post@suedwind.test"


def refused(app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, reply: str, email: str = INVITEE) -> str:
    """Invite somebody whom the server refuses, and somebody whom it takes. Returns the id of the first."""
    mail_server.refuse[email] = reply
    client_id = app_driver.invite(email)
    outbox.flush()
    app_driver.invite(OTHER)
    outbox.flush()
    outbox.flush()
    return str(client_id)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ("550 5.1.1 no such user", "This mailbox doesn't exist. Edit the address and resend."),
        ("552 5.2.2 over quota", "Mailbox full. Ask them to make room, then resend."),
        ("550 5.1.2 no such host", "nordwind.test doesn't accept email. Edit the address and resend."),
        ("550 never", "Couldn't be delivered. Correct the address and resend, or remove."),
        (
            "554 5.7.1 our policy forbids it",
            "nordwind.test refuses email from us. Ask their IT to allow it, then resend.",
        ),
    ],
)
def test_it_says_why_and_what_to_do(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, reply: str, sentence: str
) -> None:
    refused(app_driver, outbox, mail_server, reply)
    row = admin.row(HARBOUR, INVITEE)
    assert row.delivery == "failed"
    assert row.health.startswith(sentence)
    assert row.health.endswith(f"Mail server's reply: {reply}")
    assert "RCPT" not in row.health
    assert admin.row(HARBOUR, OTHER).delivery == "sent"


def test_a_mistyped_domain_is_corrected_with_one_press(
    admin: Browser, staff: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = refused(app_driver, outbox, mail_server, "550 5.4.4 unable to look up host", "ann.o'neil@gmial.com")
    page = parse(admin.get(ic(HARBOUR)))
    (link,) = page.select(f"#meant-{client_id}")
    assert words(link) == "ann.o'neil@gmail.com"
    dialog = parse(admin.get(str(link["hx-get"]), htmx=True))
    email = dialog.select_one("input[name=email]")
    assert email is not None
    assert email["value"] == "ann.o'neil@gmail.com"
    assert parse(staff.get(ic(HARBOUR))).select(f"#meant-{client_id}") == []
    assert "Did you mean ann.o'neil@gmail.com?" in staff.row(HARBOUR, "ann.o'neil@gmial.com").health


def test_a_full_mailbox_waits_and_says_until_when(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    refused(app_driver, outbox, mail_server, "452 4.2.2 over quota")
    row = admin.row(HARBOUR, INVITEE)
    assert row.delivery == "queued"
    assert "Mailbox full. We'll keep trying until" in row.health
    assert "Next attempt:" in row.health


def test_a_clients_it_gets_what_it_needs_to_allow_our_email(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = refused(app_driver, outbox, mail_server, "554 5.7.1 <b>no</b> mail from you")
    (link,) = parse(admin.get(ic(HARBOUR))).select(f"#for-their-it-{client_id}")
    panel = parse(admin.get(str(link["hx-get"]), htmx=True))
    (text,) = panel.select(".allow-request")
    for told in (INVITEE, "no-reply@harbour.test", "127.0.0.1", app_driver.mail(INVITEE).message_id):
        assert told in text.text
    assert "Your server's reply: 554 5.7.1 <b>no</b> mail from you" in text.text
