"""List-Unsubscribe: one press, without signing in, turns off just the mails that carried the link."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event
from uuid import UUID

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app.clients.notices import send_digests
from app.extensions import db
from app.invitations.reminders import send_reminders
from app.models import ImportedClient, JoinNotice, Membership, Role
from app.portals.invitation_settings import save_invitation_settings
from app.portals.service import grant_role, revoke_role
from app.registration.service import accept
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, path_of, words
from tests.support.factories import make_user
from tests.support.smtp import MailServer, Taken

ADA, INVITEE = "ada@harbour.test", "info@nordwind.test"
DAY = timedelta(days=1)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def unsubscribe_path(mail: Taken) -> str:
    """The path of a mail's List-Unsubscribe; a mail program may post to it (RFC 8058, 3.1)."""
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    header = str(mail.message["List-Unsubscribe"])
    assert header.startswith("<http://clients.harbour.test/unsubscribe-")
    assert header.endswith(">")
    assert mail.raw.count(header.encode()) == 1
    assert header.strip("<>") not in mail.text + mail.html
    return path_of(header.strip("<>"))


def provider(app: Flask) -> FlaskClient:
    """A mail provider: no cookies, no CSRF token, and no following of redirects."""
    return app.test_client()


def notice_of(app_driver: AppDriver, email: str, portal_id: str = HARBOUR) -> JoinNotice | None:
    key = (portal_id, app_driver.user(email).id)
    found: JoinNotice | None = app_driver.do(lambda: db.session.get_one(Membership, key).join_notice)
    return found


def choose(app_driver: AppDriver, notice: JoinNotice, portal_id: str = HARBOUR) -> None:
    app_driver.do(save_invitation_settings, portal_id, app_driver.user(ADA).id, {}, notice)


def join(app_driver: AppDriver, email: str, portal_id: str = HARBOUR) -> None:
    client_id = app_driver.invite(email, portal_id=portal_id)
    user_id = app_driver.do(make_user, email, "Nora Wind")
    app_driver.do(accept, app_driver.link(client_id, portal_id=portal_id).rpartition("/")[2], user_id)


@pytest.fixture
def join_notice(app_driver: AppDriver, outbox: Outbox, mail_server: MailServer) -> Taken:
    choose(app_driver, JoinNotice.AT_ONCE)
    join(app_driver, "first@nordwind.test")
    outbox.flush()
    return mail_server.wait_for(ADA)


@pytest.fixture
def client_id(app_driver: AppDriver, outbox: Outbox) -> UUID:
    """A client whose link ends tomorrow, in a portal that reminds."""
    app_driver.change_portal(sends_reminders=True)
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    app_driver.let_link_lapse(client_id, datetime.now(UTC) + DAY)
    return client_id


@pytest.fixture
def reminder(app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, client_id: UUID) -> Taken:
    assert app_driver.do(send_reminders, Event()) == 1
    outbox.flush()
    return mail_server.wait_for(INVITEE, count=2)


def reminders_stopped(app_driver: AppDriver, client_id: UUID) -> bool:
    query = select(ImportedClient.reminders_stopped_at).where(ImportedClient.id == client_id)
    return app_driver.do(lambda: db.session.scalar(query)) is not None


# Notices


@pytest.mark.both_databases
def test_one_press_turns_off_the_notices_of_that_admin_in_that_portal(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, join_notice: Taken
) -> None:
    app_driver.do(grant_role, ALPINE, ADA, Role.CLIENT_ADMIN)
    choose(app_driver, JoinNotice.AT_ONCE, ALPINE)
    path = unsubscribe_path(join_notice)
    for _ in range(2):
        answer = provider(app).post(path, data=ONE_CLICK)
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
        page = parse(answer)
        assert words(page.h1) == "Emails about clients who join are off"
        assert "Settings, Invitations" in words(page)
        assert page.select_one("a.button")["href"] == f"/portals/{HARBOUR}/settings/invitations"
    assert notice_of(app_driver, ADA) is None
    assert notice_of(app_driver, ADA, ALPINE) is JoinNotice.AT_ONCE
    join(app_driver, "second@nordwind.test")
    outbox.flush()
    assert len(mail_server.besides_roles(ADA)) == 1


@pytest.mark.both_databases
def test_a_digest_has_it_too(app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer) -> None:
    choose(app_driver, JoinNotice.DAILY)
    join(app_driver, "first@nordwind.test")
    with time_machine.travel(datetime.now(UTC) + DAY + timedelta(minutes=2)):
        assert app_driver.do(send_digests, Event()) == 1
    outbox.flush()
    path = unsubscribe_path(mail_server.wait_for(ADA))
    assert provider(app).post(path, data=ONE_CLICK).status_code == 200
    assert notice_of(app_driver, ADA) is None
    with time_machine.travel(datetime.now(UTC) + 3 * DAY):
        assert app_driver.do(send_digests, Event()) == 0


def test_opening_it_changes_nothing_and_shows_a_button(
    app: Flask, nobody: Browser, app_driver: AppDriver, join_notice: Taken
) -> None:
    path = unsubscribe_path(join_notice)
    before = app_driver.dump()
    page = nobody.get(path)
    assert provider(app).head(path).status_code == page.status_code == 200
    assert app_driver.dump() == before
    form = parse(page).select_one("form[method=post]")
    assert form["action"] == path
    assert words(form.button) == "Turn off these emails"
    assert "Harbour Tours" in page.text


def test_it_works_for_as_long_as_the_membership_exists(app: Flask, app_driver: AppDriver, join_notice: Taken) -> None:
    path = unsubscribe_path(join_notice)
    app_driver.do(grant_role, HARBOUR, ADA, Role.STAFF)
    assert provider(app).post(path, data=ONE_CLICK).status_code == 200
    app_driver.do(revoke_role, HARBOUR, ADA, Role.STAFF)
    for answer in (provider(app).get(path), provider(app).post(path, data=ONE_CLICK)):
        assert answer.status_code == 410
        assert words(parse(answer).h1) == "There's nothing to turn off"


# Reminders


@pytest.mark.both_databases
def test_one_press_turns_off_further_reminders_of_that_client_and_nothing_else(
    app: Flask,
    admin: Browser,
    nobody: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    client_id: UUID,
    reminder: Taken,
) -> None:
    answer = provider(app).post(unsubscribe_path(reminder), data=ONE_CLICK)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert words(parse(answer).h1) == "Reminders are off"
    assert nobody.get(reminder.link).status_code == 200
    panel = parse(admin.get(f"{ic(HARBOUR)}/{client_id}/history"))
    assert words(panel.select_one("#reminders-stopped")).startswith("The recipient has turned off reminders")
    app_driver.resend(client_id)
    outbox.flush()
    other = app_driver.invite("other@nordwind.test")
    outbox.flush()
    for one in (client_id, other):
        app_driver.let_link_lapse(one, datetime.now(UTC) + DAY)
    assert app_driver.do(send_reminders, Event()) == 1
    assert not reminders_stopped(app_driver, other)


@pytest.mark.both_databases
def test_a_reminder_that_waits_is_not_sent_any_more(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, client_id: UUID, reminder: Taken
) -> None:
    app_driver.make_all_wait()
    assert provider(app).post(unsubscribe_path(reminder), data=ONE_CLICK).status_code == 200
    mail_server.mails.clear()
    outbox.flush()
    assert [mail.message["Subject"] for mail in mail_server.to(INVITEE) if "Reminder" in mail.message["Subject"]] == []


def test_the_page_turns_them_on_again(nobody: Browser, app_driver: AppDriver, client_id: UUID, reminder: Taken) -> None:
    path = unsubscribe_path(reminder)
    assert words(parse(nobody.get(path)).button) == "Turn off reminders"
    off = parse(nobody.post(path, csrf=False))
    assert reminders_stopped(app_driver, client_id)
    form = off.select_one("form[method=post]")
    fields = {field["name"]: field["value"] for field in form.select("input")}
    assert words(form.button) == "Turn reminders back on"
    on = nobody.post(form["action"], fields, csrf=False)
    assert words(parse(on).h1) == "Reminders are back on"
    assert not reminders_stopped(app_driver, client_id)


def test_it_speaks_the_language_of_the_portal_and_wears_its_name(
    app: Flask, admin: Browser, app_driver: AppDriver, reminder: Taken
) -> None:
    design = {"display_name": "Hafenrundfahrt", "language": "de", "accent": "#7a1f5c"}
    assert admin.post(f"/portals/{HARBOUR}/settings/branding/publish", design).status_code == 303
    page = provider(app).post(unsubscribe_path(reminder), data=ONE_CLICK)
    assert '<html lang="de"' in page.text
    assert "Hafenrundfahrt" in page.text
    assert parse(page).select_one('link[href="/brand/7a1f5c.css"]')


def test_another_address_is_reminded_again(
    app: Flask, admin: Browser, app_driver: AppDriver, client_id: UUID, reminder: Taken
) -> None:
    assert provider(app).post(unsubscribe_path(reminder), data=ONE_CLICK).status_code == 200
    form = {"company_name": "Nordwind", "email": "new@nordwind.test"}
    path = f"/portals/{HARBOUR}/settings/accounts/imported-clients/{client_id}/correct"
    assert admin.post(path, form).status_code == 303
    assert not reminders_stopped(app_driver, client_id)


@pytest.mark.both_databases
def test_a_removed_client_has_nothing_to_turn_off(
    app: Flask, app_driver: AppDriver, client_id: UUID, reminder: Taken
) -> None:
    path = unsubscribe_path(reminder)
    app_driver.remove(client_id)
    for answer in (provider(app).get(path), provider(app).post(path, data=ONE_CLICK)):
        assert answer.status_code == 410
        assert words(parse(answer).h1) == "There's nothing to turn off"


# Which links, and which mails


def test_a_garbled_link_or_one_of_another_kind_is_the_one_404(
    app: Flask, nobody: Browser, app_driver: AppDriver, client_id: UUID, reminder: Taken
) -> None:
    path = unsubscribe_path(reminder)
    before = app_driver.dump()
    unknown = nobody.get("/no/such/page").data
    wrong = [
        f"{path}x",
        path[:-1],
        path.replace("/harbour.", "/alpine."),
        path.replace("reminders", "notices"),
        path.replace("/unsubscribe-reminders/", "/invitations/"),
        path_of(app_driver.link(client_id)).replace("/invitations/", "/unsubscribe-reminders/"),
    ]
    for address in wrong:
        assert (nobody.get(address).status_code, nobody.get(address).data) == (404, unknown), address
        assert provider(app).post(address, data=ONE_CLICK).status_code in {400, 404}, address
    assert app_driver.dump() == before


def test_no_other_mail_can_be_turned_off(
    nobody: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    link = app_driver.link(app_driver.invite(INVITEE))
    outbox.flush()
    nobody.post(link, {"name": "Nora Wind", "password": "a long enough passphrase"})
    nobody.post("/password-reset", {"email": ADA})
    outbox.flush()
    assert len(mail_server.mails) == 3
    for mail in mail_server.mails:
        assert not {"List-Unsubscribe", "List-Unsubscribe-Post"} & set(mail.message.keys())
