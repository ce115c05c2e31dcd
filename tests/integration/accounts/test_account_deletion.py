"""One deletes one's own account: what goes, what stays with the portals, and who may not."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.accounts.disabling import disable_account
from app.accounts.own_account import SessionEnded
from app.clients.access import end_access
from app.clients.account_deletion import StillLastAdmin, delete_account
from app.extensions import db
from app.models import AuditEvent, AuditKind, Membership, Role, User, WebhookDelivery, WebhookEvent
from app.registration.service import accept
from app.webhooks.endpoints import EVENTS, add_endpoint
from tests.conftest import HARBOUR, Outbox
from tests.integration.accounts.guessing import HERE, WRONG
from tests.integration.accounts.owner import sign_in_with, token_of
from tests.integration.accounts.signing_in import ADA, is_signed_in
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, ic, parse, words
from tests.support.factories import PASSWORD, counted_as, make_member, make_user
from tests.support.remains import places_of
from tests.support.shell import hand_over, register, says, signed
from tests.support.smtp import MailServer
from tests.support.together import at_once

BEN = "ben@harbour.test"
INVITEE = "info@nordwind.test"
PAGE = "/account/delete"
DELETED = "Your Bakuun account was deleted"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture
def ben(app_driver: AppDriver) -> None:
    """Another client admin."""
    app_driver.do(make_member, HARBOUR, BEN, "Ben Dahl", Role.CLIENT_ADMIN)


@pytest.fixture
def nora(app_driver: AppDriver) -> UUID:
    """An invited client who has joined; the id of her row."""
    client_id = app_driver.invite(INVITEE)
    app_driver.do(make_user, INVITEE, "Nora Wind")
    join(app_driver, client_id)
    return client_id


def join(app_driver: AppDriver, client_id: UUID, generation: int = 1) -> None:
    app_driver.do(accept, app_driver.link(client_id, generation).rpartition("/")[2], app_driver.user(INVITEE).id)


def delete(browser: Browser, password: str = PASSWORD) -> int:
    answer = browser.post(PAGE, {"current_password": password})
    browser.forget_csrf_token()
    return answer.status_code


def line_of(admin: Browser, client_id: UUID) -> str:
    return words(parse(admin.get(ic(HARBOUR))).select_one(f'tr[data-client-id="{client_id}"]'))


@pytest.mark.both_databases
def test_a_client_goes_and_its_row_says_so(
    app: Flask, app_driver: AppDriver, admin: Browser, nora: UUID, outbox: Outbox, mail_server: MailServer
) -> None:
    app_driver.do(add_endpoint, HARBOUR, "http://127.0.0.1:9/hook", "", [*EVENTS])
    elsewhere = sign_in_with(app, email=INVITEE)
    browser = sign_in_with(app, address="198.51.100.23", email=INVITEE)
    seen = admin.get(f"{ic(HARBOUR)}/table", htmx=True).text

    account = parse(browser.get("/account"))
    page = parse(browser.get(account.select_one("#delete-account")["href"]))
    assert "Harbour Tours (client)" in words(page)
    answer = browser.post(page.form["action"], {"current_password": PASSWORD})
    assert (answer.status_code, answer.location) == (303, "/account/deleted")
    assert words(parse(browser.get(answer.location)).h1) == "Your account is deleted"
    assert not is_signed_in(browser)
    assert not is_signed_in(elsewhere)
    browser.forget_csrf_token()
    assert browser.sign_in(INVITEE, PASSWORD).status_code == 422

    # The portal keeps its row, which says so, as does its history; an open table hears of it.
    assert app_driver.clients() == [(HARBOUR, INVITEE, "joined")]
    line = line_of(admin, nora)
    assert "Joined" in line
    assert "Account deleted" in line
    assert "Account deleted" in admin.get(f"{ic(HARBOUR)}/table", htmx=True).text
    assert "Account deleted" not in seen
    history = parse(admin.get(f"{ic(HARBOUR)}/{nora}/history", htmx=True))
    assert words(history.select_one(".events li")).startswith("Account deleted")
    assert words(history.select_one(".events li")).endswith("the client")
    with app.app_context():
        told = db.session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id.desc())).first()
        assert (told.event, told.client_id) == (WebhookEvent.CLIENT_ACCESS_ENDED, nora)  # type: ignore[union-attr]
        lines = db.session.scalars(select(AuditEvent.portal_id).where(AuditEvent.kind == AuditKind.ACCOUNT_DELETED))
        assert lines.all() == [HARBOUR]
    assert places_of(app, "Nora Wind") <= {"outbox_mail.params", "the file", "the write-ahead log", "the dump"}

    outbox.flush()
    (notice,) = [mail for mail in mail_server.to(INVITEE) if mail.message["Subject"] == DELETED]
    for part in (notice.text, notice.html):
        assert "198.51.100.0/24" in part
        assert "Nora Wind" in part


def test_such_a_client_can_be_invited_again_or_removed(
    app: Flask, app_driver: AppDriver, admin: Browser, nora: UUID
) -> None:
    sign_in = sign_in_with(app, email=INVITEE)
    assert delete(sign_in) == 303
    former = app_driver.link(nora)
    assert sign_in.get(former).status_code == 410
    assert admin.post(f"{ic(HARBOUR)}/{nora}/resend").status_code == 303
    assert app_driver.clients() == [(HARBOUR, INVITEE, "invite_sent")]
    assert "Account deleted" not in line_of(admin, nora)
    assert sign_in.get(former).status_code == 410

    app_driver.do(make_user, INVITEE, "Nora Wind")
    join(app_driver, nora, generation=2)
    assert app_driver.role(INVITEE) is Role.CLIENT
    refused = admin.post(f"{ic(HARBOUR)}/{nora}/remove")
    assert refused.status_code == 409

    # By the selection, too.
    assert delete(sign_in_with(app, email=INVITEE)) == 303
    assert admin.post(f"{ic(HARBOUR)}/bulk/remove", {"client_id": str(nora)}).status_code == 303
    assert app_driver.clients() == []


@pytest.mark.both_databases
def test_an_admin_goes_and_their_work_stays(
    app: Flask, app_driver: AppDriver, ben: None, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    admin = sign_in_with(app)
    team = f"/portals/{HARBOUR}/settings/team"
    assert admin.post(team, {"email": "new@harbour.test", "role": "staff"}).status_code == 303
    admin.forget_csrf_token()
    assert delete(admin) == 303
    assert not app_driver.has_account(ADA)
    other = sign_in_with(app, email=BEN)
    history = parse(other.get(f"{ic(HARBOUR)}/{client_id}/history", htmx=True))
    assert "deleted user" in words(history.select_one(".events"))
    assert parse(other.get(team)).select_one("tr[data-invitation-id]")["data-progress"] == "orphaned"
    told = words(parse(other.get(f"/portals/{HARBOUR}/settings/audit")).select_one("tr[data-event=account_deleted]"))
    assert "Account deleted" in told
    assert places_of(app, "Ada Berg", ADA) <= {
        *("outbox_mail.params", "outbox_mail.recipient"),
        *("the file", "the write-ahead log", "the dump"),
    }
    outbox.flush()
    assert [mail.message["Subject"] for mail in mail_server.to(ADA)] == [DELETED]
    (invitation,) = mail_server.to(INVITEE)
    assert "Ada" not in invitation.text


def test_the_last_admin_is_told_where_and_what_to_do(app: Flask, app_driver: AppDriver, admin: Browser) -> None:
    browser = sign_in_with(app)
    page = parse(browser.get(PAGE))
    assert page.select_one("main form") is None
    assert [words(link) for link in page.select("#last-admin a")] == ["Harbour Tours"]
    refused = browser.post(PAGE, {"current_password": PASSWORD})
    assert refused.status_code == 409
    assert "Make someone else a client admin" in words(parse(refused).select_one("#last-admin"))
    # A disabled admin could not act.
    app_driver.do(make_member, HARBOUR, BEN, "Ben Dahl", Role.CLIENT_ADMIN)
    assert parse(browser.get(PAGE)).select_one("main form") is not None
    app_driver.do(disable_account, BEN)
    assert browser.post(PAGE, {"current_password": PASSWORD}).status_code == 409
    assert is_signed_in(browser)


@pytest.mark.both_databases
def test_of_two_last_admins_at_once_one_stays(app: Flask, app_driver: AppDriver, ben: None) -> None:
    def leave(email: str) -> bool:
        browser = sign_in_with(app, email=email)
        token, user_id = token_of(browser), app_driver.user(email).id

        def go() -> bool:
            try:
                return bool(
                    app_driver.do(
                        delete_account, user_id, email, token, PASSWORD, remote_address=HERE, browser_tokens=[]
                    )
                )
            except StillLastAdmin:
                return False

        calls.append(go)
        return True

    calls: list = []  # type: ignore[type-arg]
    assert all(leave(email) for email in (ADA, BEN))
    assert sorted(at_once(calls)) == [False, True]
    with app.app_context():
        admins = select(func.count()).where(Membership.portal_id == HARBOUR, Membership.role == Role.CLIENT_ADMIN)
        assert db.session.scalar(admins) == 1


def test_a_wrong_password_deletes_nothing_and_counts(app: Flask, app_driver: AppDriver, ben: None) -> None:
    browser = sign_in_with(app)
    wrong = browser.post(PAGE, {"current_password": WRONG})
    assert wrong.status_code == 422
    assert field_errors(wrong).keys() == {"current_password"}
    assert WRONG not in wrong.text
    assert field_errors(browser.post(PAGE, {})).keys() == {"current_password"}
    with counted_as(app, 9):
        browser.post(PAGE, {"current_password": WRONG})
    limited = browser.post(PAGE, {"current_password": PASSWORD})
    assert limited.status_code == 429
    assert int(limited.headers["Retry-After"]) > 0
    assert app_driver.has_account(ADA)
    assert is_signed_in(browser)


def test_a_session_that_ended_meanwhile_deletes_nothing(app: Flask, app_driver: AppDriver, ben: None) -> None:
    browser = sign_in_with(app)
    token, user_id = token_of(browser), app_driver.user(ADA).id
    app_driver.end_sessions()
    with pytest.raises(SessionEnded):
        app_driver.do(delete_account, user_id, ADA, token, PASSWORD, remote_address=HERE, browser_tokens=[])
    assert app_driver.has_account(ADA)
    assert browser.post(PAGE, {"current_password": PASSWORD}).status_code == 302


def test_who_has_no_password_is_told_how_to_get_one(app: Flask, app_driver: AppDriver, ben: None) -> None:
    browser = sign_in_with(app)

    def forget() -> None:
        db.session.execute(db.update(User).where(User.email == ADA).values(password_hash=""))
        db.session.commit()

    app_driver.do(forget)
    page = parse(browser.get(PAGE))
    assert page.select_one("input[name=current_password]") is None
    assert page.select_one('a[href="/password-reset"]') is not None
    assert browser.post(PAGE, {"current_password": PASSWORD}).status_code == 422
    assert app_driver.has_account(ADA)


def test_people_of_a_shell_have_no_such_page(app: Flask) -> None:
    register(app, HARBOUR)
    browser = Browser(app)
    assert hand_over(browser).status_code == 303
    assert browser.get(PAGE).status_code == 404
    assert browser.post(PAGE, {"current_password": PASSWORD}).status_code == 404


def test_whose_access_was_ended_stays_out_until_they_are_invited_again(
    app: Flask, app_driver: AppDriver, admin: Browser, nora: UUID
) -> None:
    register(app, HARBOUR)
    app_driver.do(end_access, HARBOUR, app_driver.user(INVITEE).id, app_driver.user(ADA).id)
    assert delete(sign_in_with(app, email=INVITEE)) == 303
    token = signed(says(sub="nora-1", email=INVITEE, name="Nora Wind", role="client"))
    assert hand_over(Browser(app), token).status_code == 403
    line = line_of(admin, nora)
    assert "Access ended" in line
    assert "Account deleted" in line
    assert admin.post(f"{ic(HARBOUR)}/{nora}/resend").status_code == 303
    token = signed(says(sub="nora-1", email=INVITEE, name="Nora Wind", role="client"))
    assert hand_over(Browser(app), token).status_code == 303
