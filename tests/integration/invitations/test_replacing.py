"""An invitation that replaces an earlier one says so, and no mail program takes the two for one conversation."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import delete

from app.core.clock import now
from app.db.transactions import transaction
from app.models import OutboxMail
from app.outbox.errors import AmbiguousOutcome
from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.databases import on_sqlite
from tests.support.smtp import MailServer, Taken

pytestmark = pytest.mark.both_databases

INVITEE, NEW = "info@nordwind.test", "post@nordwind.test"
SENTENCE = "This invitation replaces the one sent to you earlier."


def says_so(mail: Taken) -> bool:
    """Whether it says that it replaces another: everywhere or nowhere."""
    said = {
        str(mail.message["Subject"]).startswith("New invitation: "),
        SENTENCE in " ".join(mail.text.split()),
        mail.html.count(SENTENCE) == 2,  # in the list of mails and in the mail
    }
    assert len(said) == 1
    return said.pop()


def correct(admin: Browser, app_driver: AppDriver, client_id: UUID, email: str, name: str = "Nordwind Reisen") -> None:
    app_driver.let_presses_pass()
    form = {"company_name": name, "email": email}
    assert admin.post(f"{ic(HARBOUR)}/{client_id}/correct", form).status_code == 303


def test_a_resent_invitation_says_so_and_is_no_thread_with_the_first(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    first = mail_server.wait_for(INVITEE)
    app_driver.resend(client_id)
    outbox.flush()
    second = mail_server.wait_for(INVITEE, count=2)
    assert (says_so(first), says_so(second)) == (False, True)
    assert second.message["Subject"] == f"New invitation: {first.message['Subject']}"
    assert second.message["Message-ID"] != first.message["Message-ID"]
    assert not {"In-Reply-To", "References", "Thread-Index"} & set(second.message.keys())
    assert second.link != first.link


@on_sqlite
def test_a_portals_own_subject_and_greeting_are_told_as_replacing_too(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    words = {"subject": "{inviter} asks {company} aboard", "greeting": "Dear {company},", "accent": "#0f5fa8"}
    published = admin.post(f"/portals/{HARBOUR}/settings/branding/publish", words | {"language": "en"})
    assert published.status_code == 303
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    app_driver.resend(client_id)
    outbox.flush()
    mail = mail_server.wait_for(INVITEE, count=2)
    assert mail.message["Subject"] == "New invitation: Ada Berg asks Nordwind Reisen aboard"
    assert mail.text.startswith(f"Dear Nordwind Reisen,\n\n{SENTENCE}")
    preview = admin.get(f"/portals/{HARBOUR}/settings/branding/preview/mail").text
    assert "Dear Nordwind Travel," in preview
    assert SENTENCE not in preview


def test_a_corrected_address_got_none_before_but_is_told_at_its_next(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    correct(admin, app_driver, client_id, NEW)
    outbox.flush()
    assert not says_so(mail_server.wait_for(NEW))
    correct(admin, app_driver, client_id, NEW, "Nordwind & Söhne")
    outbox.flush()
    assert says_so(mail_server.wait_for(NEW, count=2))
    correct(admin, app_driver, client_id, INVITEE)
    outbox.flush()
    assert says_so(mail_server.wait_for(INVITEE, count=2))


@on_sqlite
def test_whoever_got_none_is_not_told_of_one(app_driver: AppDriver, outbox: Outbox, mail_server: MailServer) -> None:
    """It waited, or was refused for good."""
    client_id = app_driver.invite(INVITEE)
    app_driver.resend(client_id)
    mail_server.refuse[INVITEE] = "550 5.1.1 no such user"
    outbox.flush()
    mail_server.refuse.clear()
    app_driver.resend(client_id)
    outbox.flush()
    assert not says_so(mail_server.wait_for(INVITEE))


def test_a_mail_that_may_have_arrived_is_one_that_is_replaced(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    mail = app_driver.claim_one()
    app_driver.settle(mail, AmbiguousOutcome("no answer"))
    app_driver.resend(client_id)
    outbox.flush()
    assert says_so(mail_server.wait_for(INVITEE))


def test_a_fresh_link_and_a_bulk_resend_say_so_also_when_the_first_mail_was_deleted_long_ago(
    admin: Browser, nobody: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    delete_mails(app_driver)
    app_driver.let_link_lapse(client_id, now())
    assert nobody.post(f"{app_driver.link(client_id)}/fresh").status_code == 200
    outbox.flush()
    assert says_so(mail_server.wait_for(INVITEE, count=2))
    delete_mails(app_driver)
    assert admin.post(f"{ic(HARBOUR)}/bulk/resend", {"client_id": str(client_id)}).status_code == 303
    outbox.flush()
    assert says_so(mail_server.wait_for(INVITEE, count=3))


def delete_mails(app_driver: AppDriver) -> None:
    def delete_all() -> None:
        with transaction() as session:
            session.execute(delete(OutboxMail))

    app_driver.do(delete_all)
