"""A mail goes out if and only if what caused it was committed and it is still wanted, and any program reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from sqlalchemy import select, text, update

from app.db.transactions import transaction
from app.extensions import db
from app.models import EventKind, MailKind, MailState, OutboxMail, Portal
from app.outbox.enqueue import enqueue
from app.outbox.kinds import still_wanted
from app.registration.service import accept, register
from tests.conftest import HARBOUR, Outbox
from tests.integration.outbox.one_mail import INVITEE, NEVER
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, path_of, words
from tests.support.databases import on_sqlite
from tests.support.factories import make_user
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases

PASSPHRASE = "a long enough passphrase"


# In the transaction that causes it


class MissingTable:
    """Takes a table away, so that whoever writes there fails in the middle, and brings it back."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._taken: str | None = None

    def take(self, table: str) -> None:
        self._rename(table, f"{table}_away")
        self._taken = table

    def bring_back(self) -> None:
        if self._taken:
            self._rename(f"{self._taken}_away", self._taken)
            self._taken = None

    def _rename(self, old: str, new: str) -> None:
        with self._app.app_context(), transaction() as session:
            session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


@pytest.fixture
def missing(app: Flask) -> Iterator[MissingTable]:
    table = MissingTable(app)
    yield table
    table.bring_back()


@pytest.mark.parametrize("table", ["outbox_mail", "client_event"])
def test_an_add_that_fails_halfway_leaves_neither_client_nor_mail(
    admin: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    missing: MissingTable,
    table: str,
) -> None:
    before = app_driver.dump()
    fields = {"company_name": "Nordwind Reisen", "email": INVITEE}
    admin.csrf_token()
    missing.take(table)
    failed = admin.post(ic(HARBOUR), fields)
    missing.bring_back()
    assert failed.status_code in {500, 503}
    assert "Nothing was changed" in failed.text
    assert app_driver.dump() == before
    outbox.flush()
    assert mail_server.mails == []
    assert admin.post(ic(HARBOUR), fields).status_code == 303
    outbox.flush()
    assert len(mail_server.mails) == 1


def test_a_mail_of_a_transaction_that_is_rolled_back_is_never_sent(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    outbox.flush()

    def fail_after_resending() -> None:
        with transaction() as session:
            enqueue(
                MailKind.INVITATION,
                recipient=INVITEE,
                generation=2,
                portal_id=HARBOUR,
                client_id=client_id,
                params={},
            )
            session.flush()
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        app_driver.do(fail_after_resending)
    outbox.flush()
    assert len(app_driver.mails()) == len(mail_server.mails) == 1


# Queued, sending, sent


def test_a_mail_is_queued_then_being_sent_then_sent(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    row = admin.row(HARBOUR, INVITEE)
    assert row.delivery == "queued"
    assert "Waiting to be sent" in row.health

    mail = app_driver.claim_one()
    row = admin.row(HARBOUR, INVITEE)
    assert row.delivery == "sending"
    assert "Sending" in row.health

    app_driver.release(mail)
    assert admin.row(HARBOUR, INVITEE).delivery == "queued"
    asked_for = app_driver.client(INVITEE).email_last_sent_at
    outbox.flush()
    row = admin.row(HARBOUR, INVITEE)
    assert row.delivery == "sent"
    # What else there is to say of it is told by the panel.
    assert row.health == "Link expires in 7 days"
    client, mail = app_driver.client(INVITEE), app_driver.mail(INVITEE)
    assert client.email_last_sent_at == mail.sent_at > asked_for
    assert (mail.state, mail.attempts, mail.lease_id, mail.last_error) == (MailState.SENT, 1, None, None)
    assert app_driver.kinds(client_id) == [EventKind.INVITED, EventKind.MAIL_QUEUED, EventKind.MAIL_SENT]

    outbox.flush()
    assert len(mail_server.mails) == 1


# Still wanted


def _remove(app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.remove(client_id)


def _resend(app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.resend(client_id)


def _register(app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.do(register, app_driver.link(client_id).rpartition("/")[2], "Nora Wind", PASSPHRASE)


def _join(app_driver: AppDriver, client_id: UUID) -> None:
    user_id = app_driver.do(make_user, INVITEE, "Nora Wind")
    app_driver.do(accept, app_driver.link(client_id).rpartition("/")[2], user_id)


@pytest.mark.parametrize("meanwhile", [_remove, _resend, _register, _join])
def test_a_mail_that_has_become_pointless_while_it_waited_is_not_sent(
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    meanwhile: Callable[[AppDriver, UUID], None],
) -> None:
    client_id = app_driver.invite(INVITEE)
    meanwhile(app_driver, client_id)
    outbox.flush()
    expected = [app_driver.link(client_id, 2)] if meanwhile is _resend else []
    invitations = [mail.link for mail in mail_server.mails if "/invitations/" in mail.link]
    assert invitations == expected


# What a mail is


@on_sqlite
def test_an_invitation_is_a_mail_that_any_program_reads(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    name = "Überseereisen & Söhne „Nordwind“ GmbH – 旅行社"
    client_id = app_driver.invite(INVITEE, name)
    outbox.flush()
    mail = mail_server.wait_for(INVITEE)
    message = mail.message
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Reply-To"] == "ada@harbour.test"
    assert message["Message-ID"] == app_driver.mail(INVITEE).message_id
    assert re.fullmatch(r"<[0-9a-f]{32}@clients\.harbour\.test>", message["Message-ID"])
    assert message["From"] == "Imported Clients <no-reply@harbour.test>"
    assert message["To"] == INVITEE
    assert mail.sender == "no-reply@harbour.test"
    assert "Harbour Tours" in message["Subject"]
    assert name in message["Subject"]
    sent_at = message["Date"].datetime
    assert abs(sent_at - app_driver.mail(INVITEE).sent_at) < timedelta(seconds=5)
    for header in ("Subject", "Message-ID", "Date", "From", "To", "Auto-Submitted", "MIME-Version"):
        assert len(message.get_all(header)) == 1

    assert mail.link == app_driver.link(client_id)
    assert mail.text.count("http") == 1
    for said in ("Harbour Tours", name, INVITEE, "Ada Berg", "ada@harbour.test", "7 days"):
        assert said in mail.text
        assert said in words(BeautifulSoup(mail.html, "html.parser"))
    expires_at = app_driver.client(INVITEE).link_expires_at
    assert expires_at is not None
    assert f"{expires_at.day} {expires_at:%B %Y}" in mail.text


@on_sqlite
@pytest.mark.parametrize("letter", ["W", "旅", "i. "])
def test_the_longest_names_make_no_line_too_long(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, letter: str
) -> None:
    name = (letter * 100)[:99] + "."

    def rename() -> None:
        with transaction() as session:
            session.execute(update(Portal).where(Portal.id == HARBOUR).values(name=name))

    app_driver.do(rename)
    app_driver.invite(INVITEE, name)
    outbox.flush()
    mail = mail_server.wait_for(INVITEE)
    assert max(len(line) for line in mail.raw.split(b"\r\n")) <= 998
    assert mail.raw.isascii()
    assert b"\n" not in mail.raw.replace(b"\r\n", b"")
    assert name in mail.message["Subject"]
    assert name in mail.text


@on_sqlite
def test_no_link_token_or_password_is_kept_or_logged(
    admin: Browser,
    nobody: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    admin.post(ic(HARBOUR), {"company_name": "Nordwind Reisen", "email": INVITEE})
    admin.post(ic(HARBOUR), {"company_name": "Refused", "email": "refused@nordwind.test"})
    mail_server.refuse["refused@nordwind.test"] = NEVER
    outbox.flush()
    invitation = mail_server.wait_for(INVITEE).link
    nobody.post(invitation, {"name": "Nora Wind", "password": "short"})
    nobody.post(invitation, {"name": "Nora Wind", "password": PASSPHRASE})
    outbox.flush()
    verification = mail_server.wait_for(INVITEE, count=2).link
    nobody.post(verification)
    nobody.get(invitation)
    nobody.get(invitation[:-1])
    nobody.sign_in(INVITEE, PASSPHRASE + "?")
    nobody.post("/password-reset", {"email": INVITEE})
    outbox.flush()
    reset = mail_server.wait_for(INVITEE, count=3).link
    nobody.get(reset)

    secrets = [PASSPHRASE]
    for link in (invitation, verification, reset):
        token = link.rpartition("/")[2]
        secrets += [link, path_of(link), token, token.rpartition(".")[2]]
    kept = app_driver.dump()
    # The test's own mail server, in this process, logs what it is sent.
    logged = "\n".join(
        caplog.handler.format(record) for record in caplog.records if not record.name.startswith("mail.")
    )
    assert INVITEE in kept
    assert "not sent" in logged
    for secret in secrets:
        assert secret not in kept
        assert secret not in logged


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_whether_mails_are_still_wanted_reads_no_more_than_they_need(app: Flask) -> None:
    with app.app_context():
        look = select(OutboxMail.id).where(still_wanted()).compile(db.engine, compile_kwargs={"literal_binds": True})
        plan = "\n".join(db.session.scalars(text(f"EXPLAIN {look}")))
    # Hashed is what is read as a whole, all clients for example, before the first mail is looked at.
    assert "SubPlan" in plan
    assert "hashed" not in plan
