"""Whose an account is: nobody gains by registering with an address that is not theirs, and its owner always gets in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.passwords import is_password_of
from app.accounts.users import create_user, find_user
from app.core.errors import Conflict, DomainError, TooManyRequests
from app.core.links import LinkClaim, LinkKind, make_url
from app.db.transactions import transaction
from app.extensions import db
from app.models import LoginSession, Membership, Role, ShellAccount, ShellIssuer, TlsMode, User
from app.outbox.server_settings import OwnServer, save_own_server
from app.portals.service import grant_role, revoke_role
from app.registration.verification import send_verification_again
from app.sso import service as sso
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support import smtp
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import OTHER_PASSWORD, PASSWORD, counted_as, make_member, make_user
from tests.support.shell import hand_over, says, signed
from tests.support.shell import register as register_shell
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

NORA = "nora@nordwind.test"
STRANGERS = {"name": "Mallory Grim", "password": "a stranger chose this one"}
OWN = {"name": "Nora Wind", "new_password": OTHER_PASSWORD}

# Where the two databases do the same.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def stranger(app: Flask, app_driver: AppDriver) -> Browser:
    """Somebody to whom Nora has forwarded her invitation, and who has registered with it."""
    browser = Browser(app)
    assert browser.post(app_driver.link(app_driver.invite(NORA)), STRANGERS).status_code == 303
    return browser


def verification_link(app_driver: AppDriver) -> str:
    user = app_driver.user(NORA)
    return str(app_driver.do(make_url, LinkKind.VERIFICATION, LinkClaim(str(user.id), user.verification_generation)))


def mark(app: Flask, email: str, portal_id: str) -> None:
    """Make it an account that was verified through a portal's own mail server, as the upgrade does."""
    with app.app_context(), transaction():
        user = find_user(email)
        assert user is not None
        user.verified_for_portal_id = portal_id


# Verifying


def test_the_owner_s_press_does_not_make_a_stranger_s_password_work(
    app: Flask, app_driver: AppDriver, stranger: Browser, nobody: Browser
) -> None:
    assert stranger.sign_in(NORA, STRANGERS["password"]).status_code == 303
    link = verification_link(app_driver)
    before = app_driver.dump()
    asked = nobody.post(link)
    assert asked.status_code == 422
    forms = parse(asked).select("form")
    fields = [[field["name"] for field in form.select("input:not([type=hidden])")] for form in forms]
    assert fields == [["password"], ["name", "new_password"]]
    assert parse(asked).select_one("[name=name]")["value"] == ""
    assert "Mallory" not in asked.text
    assert app_driver.dump() == before

    assert nobody.post(link, OWN).status_code == 303
    user = app_driver.user(NORA)
    assert (user.name, user.is_verified) == ("Nora Wind", True)
    assert app_driver.client(NORA).is_joined
    assert stranger.get("/portals").status_code == 302  # signed out
    assert Browser(app).sign_in(NORA, STRANGERS["password"]).status_code == 422
    assert Browser(app).sign_in(NORA, OTHER_PASSWORD).location == "/portals"


@on_sqlite
def test_who_knows_the_password_verifies_in_any_browser(
    app_driver: AppDriver, stranger: Browser, nobody: Browser
) -> None:
    link = verification_link(app_driver)
    wrong = nobody.post(link, {"password": PASSWORD})
    assert wrong.status_code == 422
    assert "not the password that was chosen" in words(parse(wrong).select_one("#password-error"))
    assert not app_driver.user(NORA).is_verified
    assert nobody.post(link, {"password": STRANGERS["password"]}).status_code == 303
    assert app_driver.client(NORA).is_joined


@on_sqlite
def test_a_new_password_has_to_be_good_enough_and_tells_nothing_of_the_stranger(
    app_driver: AppDriver, stranger: Browser, nobody: Browser
) -> None:
    link = verification_link(app_driver)
    for changes, field in (
        ({"new_password": "short"}, "new_password"),
        ({"new_password": "harbour at the quiet sea"}, "new_password"),
        ({"name": ""}, "name"),
    ):
        refused = nobody.post(link, OWN | changes)
        assert refused.status_code == 422
        assert [one["name"] for one in parse(refused).select("[aria-invalid=true]")] == [field]
    assert nobody.post(link, OWN | {"new_password": "mallory has a grim face"}).status_code == 303


@on_sqlite
def test_guesses_at_a_verification_are_limited(
    app: Flask, app_driver: AppDriver, stranger: Browser, nobody: Browser
) -> None:
    link = verification_link(app_driver)
    with counted_as(app, 9):
        assert nobody.post(link, {"password": PASSWORD}).status_code == 422
    assert nobody.post(link, {"password": PASSWORD}).status_code == 422
    refused = nobody.post(link, {"password": STRANGERS["password"]})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "Too many attempts" in words(parse(refused).select_one("#password-error"))
    # Nobody is kept out by that.
    assert nobody.post(link, OWN).status_code == 303


@on_sqlite
def test_the_browser_that_registered_is_that_of_this_registration_and_no_earlier_one(
    app: Flask, app_driver: AppDriver, stranger: Browser, nobody: Browser
) -> None:
    app_driver.remove(app_driver.client(NORA).id)
    own = {"name": "Nora Wind", "password": OTHER_PASSWORD}
    assert nobody.post(app_driver.link(app_driver.invite(NORA)), own).status_code == 303
    link = verification_link(app_driver)
    assert stranger.post(link).status_code == 422
    # Not undone by another registration in the same browser.
    other = app_driver.link(app_driver.invite("second@nordwind.test"))
    assert nobody.post(other, own).status_code == 303
    assert nobody.post(link).status_code == 303


@on_sqlite
def test_a_browser_that_is_signed_in_to_the_account_verifies_with_one_press(
    app: Flask, app_driver: AppDriver, stranger: Browser
) -> None:
    at_home = Browser(app)
    assert at_home.sign_in(NORA, STRANGERS["password"]).status_code == 303
    assert at_home.post(verification_link(app_driver)).status_code == 303


@on_sqlite
def test_the_browser_that_registered_stays_it_whoever_signs_in_and_out_there(
    app: Flask, app_driver: AppDriver, stranger: Browser, nobody: Browser
) -> None:
    register_shell(app, HARBOUR)
    assert stranger.sign_in(NORA, STRANGERS["password"]).status_code == 303
    assert stranger.post("/verify-email").status_code == 303
    assert stranger.post("/logout").status_code == 303
    assert hand_over(stranger, signed(says(portal=HARBOUR))).status_code == 303
    stranger.forget_csrf_token()
    assert stranger.post("/logout").status_code == 303
    assert stranger.post(verification_link(app_driver)).status_code == 303
    assert app_driver.client(NORA).is_joined


def test_a_new_password_by_mail_proves_the_address(
    app: Flask, app_driver: AppDriver, stranger: Browser, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    old = verification_link(app_driver)
    nobody.post("/password-reset", {"email": NORA})
    outbox.flush()
    (reset,) = [mail.link for mail in mail_server.to(NORA) if "/password-reset/" in mail.link]
    assert nobody.post(reset, {"name": "Nora Wind", "password": OTHER_PASSWORD}).status_code == 303
    user = app_driver.user(NORA)
    assert (user.name, user.is_verified) == ("Nora Wind", True)
    assert app_driver.client(NORA).is_joined
    assert stranger.post(old).status_code == 410
    assert Browser(app).sign_in(NORA, STRANGERS["password"]).status_code == 422


def reset_link(app_driver: AppDriver, browser: Browser) -> str:
    assert browser.post("/password-reset", {"email": NORA}).status_code == 303
    user = app_driver.user(NORA)
    return str(app_driver.do(make_url, LinkKind.PASSWORD_RESET, LinkClaim(str(user.id), user.reset_generation)))


def link_to_shell(session: Session, subject: str, user_id: int) -> None:
    """As if the only shell had handed this account over before it was known whose it is."""
    issuer_id = session.scalars(select(ShellIssuer.id)).one()
    session.add(ShellAccount(issuer_id=issuer_id, subject=subject, user_id=user_id, is_made_here=False))


@pytest.mark.parametrize("is_marked", [False, True])
def test_a_new_password_by_mail_asks_for_the_name_and_leaves_nothing_of_the_stranger_s(
    app: Flask, app_driver: AppDriver, stranger: Browser, nobody: Browser, is_marked: bool
) -> None:
    user_id = app_driver.user(NORA).id
    register_shell(app, ALPINE)
    with app.app_context(), transaction() as session:
        link_to_shell(session, "mallory", user_id)
        if is_marked:
            session.get_one(User, user_id).email_verified_at = datetime.now(UTC)
            session.get_one(User, user_id).verified_for_portal_id = HARBOUR
    link = reset_link(app_driver, nobody)
    page = nobody.get(link)
    assert parse(page).select_one("[name=name]")["value"] == ""
    assert "Mallory" not in page.text

    before = app_driver.dump()
    for form, field in (
        ({"password": OTHER_PASSWORD}, "name"),
        ({"name": " ", "password": OTHER_PASSWORD}, "name"),
        ({"name": "Nora Wind", "password": "nora is in the wind"}, "password"),
    ):
        refused = nobody.post(link, form)
        assert refused.status_code == 422
        assert [one["name"] for one in parse(refused).select("[aria-invalid=true]")] == [field]
        assert parse(refused).select_one("[name=name]")["value"] == form.get("name", "")
    assert app_driver.dump() == before

    assert nobody.post(link, {"name": "Nora Wind", "password": OTHER_PASSWORD}).status_code == 303
    user = app_driver.user(NORA)
    assert (user.name, user.is_verified, user.verified_for_portal_id) == ("Nora Wind", True, None)
    with app.app_context():
        assert db.session.scalars(select(ShellAccount)).all() == []
    assert app_driver.client(NORA).is_joined


@on_sqlite
def test_a_verified_person_is_asked_for_no_name(
    app: Flask, app_driver: AppDriver, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    app_driver.do(make_user, NORA, "Nora Wind")
    link = reset_link(app_driver, nobody)
    outbox.flush()
    (mail,) = mail_server.to(NORA)
    assert "Nora Wind" in mail.text
    assert "Nora Wind" in mail.html
    assert not parse(nobody.get(link)).select("[name=name]")
    assert nobody.post(link, {"name": "Somebody Else", "password": OTHER_PASSWORD}).status_code == 303
    assert app_driver.user(NORA).name == "Nora Wind"


@on_sqlite
def test_no_mail_calls_the_owner_by_the_stranger_s_name(
    app: Flask, app_driver: AppDriver, stranger: Browser, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    nobody.post("/password-reset", {"email": NORA})
    with counted_as(app, 9):
        assert nobody.sign_in(NORA, PASSWORD).status_code == 422
    assert nobody.sign_in(NORA, PASSWORD).status_code == 422
    outbox.flush()
    mails = mail_server.to(NORA)
    # The notice of the lock leads to the page where a reset is asked for.
    assert sorted(mail.link.split("/")[3] for mail in mails) == ["password-reset", "password-reset", "verify-email"]
    for mail in mails:
        assert "Hello," in mail.text
        assert "Hello," in mail.html
        assert "Mallory" not in mail.text + mail.html


@on_sqlite
def test_who_is_signed_in_is_told_that_the_verification_mail_was_refused(
    app_driver: AppDriver, stranger: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    mail_server.refuse[NORA] = "550 5.1.1 no such mailbox"
    outbox.flush()
    assert stranger.sign_in(NORA, STRANGERS["password"]).status_code == 303
    told = words(parse(stranger.get("/verify-email?sent=1")).select_one("main"))
    assert "could not be delivered" in told
    assert "is on its way" not in told
    assert "no such mailbox" not in told
    mail_server.refuse.clear()
    assert stranger.post("/verify-email").status_code == 303
    assert "could not be delivered" not in stranger.get("/verify-email?sent=1").text
    outbox.flush()
    assert stranger.post(mail_server.wait_for(NORA).link).status_code == 303


# How many mails an address gets


def register_again(app: Flask, app_driver: AppDriver) -> UUID:
    """Invite Nora, and register in her place."""
    client_id = app_driver.invite(NORA)
    assert Browser(app).post(app_driver.link(client_id), STRANGERS).status_code == 303
    return client_id


def sent(mail_server: MailServer, kind: str) -> int:
    return [mail.link.split("/")[3] for mail in mail_server.to(NORA)].count(kind)


def test_of_many_verification_mails_that_are_asked_for_at_once_five_are_sent(
    app_driver: AppDriver, stranger: Browser
) -> None:
    def ask() -> int:
        try:
            app_driver.do(send_verification_again, app_driver.user(NORA).id)
        except TooManyRequests as refusal:
            return refusal.status
        return 200

    assert Counter(at_once([ask] * 12)) == {200: 5, 429: 7}
    assert app_driver.user(NORA).verification_generation == 6


@on_sqlite
def test_resets_are_limited_by_address_whatever_becomes_of_its_account(
    app: Flask, app_driver: AppDriver, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    for _ in range(3):
        client_id = register_again(app, app_driver)
        for _ in range(5):
            assert nobody.post("/password-reset", {"email": NORA}).status_code == 303
            outbox.flush()
        app_driver.remove(client_id)
    assert sent(mail_server, "password-reset") == 10


@on_sqlite
def test_the_notice_of_a_lock_is_limited_by_address_whatever_becomes_of_its_account(
    app: Flask, app_driver: AppDriver, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    def lock() -> None:
        with counted_as(app, 9):
            assert nobody.sign_in(NORA, PASSWORD).status_code == 422
        assert nobody.sign_in(NORA, PASSWORD).status_code == 422
        assert nobody.sign_in(NORA, PASSWORD).status_code == 429

    lock()  # before there is an account, nobody is told
    for _ in range(2):
        client_id = register_again(app, app_driver)
        lock()
        outbox.flush()
        app_driver.remove(client_id)
    assert sent(mail_server, "password-reset") == 1


@on_sqlite
def test_registering_counts_towards_the_verification_mails_of_the_address(
    app: Flask, app_driver: AppDriver, stranger: Browser
) -> None:
    assert stranger.sign_in(NORA, STRANGERS["password"]).status_code == 303
    assert [stranger.post("/verify-email").status_code for _ in range(6)] == [303] * 5 + [429]
    app_driver.remove(app_driver.client(NORA).id)
    link = app_driver.link(app_driver.invite(NORA))
    refused = Browser(app).post(link, {"name": "Nora Wind", "password": OTHER_PASSWORD})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 3601
    page = parse(refused)
    assert "please try again in 60 min." in words(page.select_one("[role=alert]"))
    assert page.select_one("[name=name]")["value"] == "Nora Wind"
    assert not app_driver.has_account(NORA)


# Hand-overs, roles, and what an operator does


def test_a_shell_s_person_is_neither_let_into_a_stranger_s_account_nor_kept_out_by_it(
    app: Flask, app_driver: AppDriver, stranger: Browser, nobody: Browser
) -> None:
    register_shell(app, ALPINE)
    token = {"portal": ALPINE, "email": NORA, "name": "Nora Wind", "role": "client_admin"}
    assert hand_over(nobody, signed(says(**token))).status_code == 303
    assert nobody.get(ic(ALPINE)).status_code == 200
    account = app_driver.user(NORA)
    assert (account.name, app_driver.role(NORA, ALPINE)) == ("Mallory Grim", None)
    assert stranger.sign_in(NORA, STRANGERS["password"]).status_code == 303
    assert stranger.get(ic(ALPINE)).status_code == 404
    # The same person again, renamed too: the same account, and the registration is as it was.
    assert hand_over(nobody, signed(says(**token | {"name": "Nora Sand"}))).status_code == 303
    with app.app_context():
        apart = db.session.scalars(select(User).where(User.email == NORA, User.vouched_by.is_not(None))).one()
        assert (apart.name, apart.is_verified, apart.password_hash) == ("Nora Sand", False, "")

    # Once the owner has proved the address, it is one account.
    assert Browser(app).post(verification_link(app_driver), OWN).status_code == 303
    assert hand_over(nobody, signed(says(**token))).status_code == 303
    assert app_driver.role(NORA, ALPINE) is Role.CLIENT_ADMIN
    with app.app_context():
        assert (
            db.session.scalars(select(Membership.user_id).where(Membership.portal_id == ALPINE)).all().count(account.id)
            == 1
        )
        assert db.session.scalars(select(ShellAccount)).one().user_id == account.id


@on_sqlite
def test_an_account_that_was_linked_before_it_was_known_whose_it_is_gets_nothing_more(
    app: Flask, app_driver: AppDriver, stranger: Browser, nobody: Browser
) -> None:
    register_shell(app, ALPINE)
    token = {"portal": ALPINE, "email": NORA, "name": "Nora Wind"}
    account_id = app_driver.user(NORA).id
    with app.app_context(), transaction() as session:
        link_to_shell(session, "hanna-7", account_id)
        session.add(Membership(portal_id=ALPINE, user_id=account_id, role=Role.STAFF))
    assert hand_over(nobody, signed(says(**token))).status_code == 303
    assert nobody.get(ic(ALPINE)).status_code == 200
    assert app_driver.role(NORA, ALPINE) is None


@on_sqlite
def test_no_role_is_granted_to_an_account_of_nobody_knows_whom(
    app: Flask, app_driver: AppDriver, stranger: Browser
) -> None:
    with pytest.raises(DomainError, match="is not verified"):
        app_driver.do(grant_role, ALPINE, NORA, Role.STAFF)
    assert app_driver.role(NORA, ALPINE) is None


def test_an_operator_s_account_takes_the_place_of_one_that_was_never_verified(
    app: Flask, app_driver: AppDriver, stranger: Browser, nobody: Browser
) -> None:
    assert stranger.sign_in(NORA, STRANGERS["password"]).status_code == 303
    link, invitation = verification_link(app_driver), app_driver.link(app_driver.client(NORA).id)
    app_driver.do(create_user, NORA, "Nora Wind", OTHER_PASSWORD)
    user = app_driver.user(NORA)
    assert (user.name, user.is_verified) == ("Nora Wind", True)
    assert is_password_of(user.password_hash, OTHER_PASSWORD)
    assert stranger.get("/portals").status_code == 302
    assert stranger.post(link).status_code == 410
    # What the stranger has accepted, Nora has not.
    assert app_driver.clients() == [(HARBOUR, NORA, "invite_sent")]
    assert nobody.sign_in(NORA, OTHER_PASSWORD).status_code == 303
    assert nobody.post(invitation).status_code == 303
    with pytest.raises(Conflict):
        app_driver.do(create_user, NORA, "Nora Wind", PASSWORD)


# A portal's own mail server


def give_own_server(app: Flask, portal_id: str, server: MailServer) -> None:
    with app.app_context():
        save_own_server(portal_id, OwnServer("127.0.0.1", server.port, TlsMode.NONE, "tours@harbour.test"))


class TestWithAnOwnServer:
    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return environment | {"MAIL_ALLOWED_NETWORKS": "127.0.0.0/8"}

    @pytest.fixture
    def portals_server(self) -> Iterator[MailServer]:
        controller, handler = smtp.start()
        yield handler
        controller.stop(no_assert=True)

    def test_mails_about_accounts_go_through_the_deployment_s_server_only(
        self, app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, portals_server: MailServer
    ) -> None:
        give_own_server(app, HARBOUR, portals_server)
        person = Browser(app)
        app_driver.invite(NORA)
        outbox.flush()
        assert person.post(portals_server.wait_for(NORA).link, STRANGERS).status_code == 303
        person.post("/password-reset", {"email": NORA})
        outbox.flush()
        assert [mail.recipient for mail in portals_server.mails] == [NORA]
        kinds = sorted(mail.link.split("/")[3] for mail in mail_server.to(NORA))
        assert kinds == ["password-reset", "verify-email"]
        assert any("Harbour Tours" in str(mail.message["Subject"]) for mail in mail_server.to(NORA))
        assert {mail.sender for mail in mail_server.mails} == {"no-reply@harbour.test"}

    @on_sqlite
    def test_without_a_server_of_the_deployment_they_wait_and_the_portal_says_so(
        self,
        app: Flask,
        admin: Browser,
        app_driver: AppDriver,
        portals_server: MailServer,
        reconfigured: Callable[..., Flask],
    ) -> None:
        give_own_server(app, HARBOUR, portals_server)
        assert parse(admin.get(ic(HARBOUR))).select("#no-account-mails") == []
        bare = reconfigured(MAIL_SERVER=None, MAIL_PORT=None)
        at_bare = admin.twin(bare)
        for page in (ic(HARBOUR), f"/portals/{HARBOUR}/settings/email"):
            assert "MAIL_SERVER" in words(parse(at_bare.get(page)).select_one("#no-account-mails"))
        Browser(app).post(app_driver.link(app_driver.invite(NORA)), STRANGERS)
        Outbox(bare).flush()
        assert [mail.link.split("/")[3] for mail in portals_server.mails] == []
        Outbox(app).flush()
        assert app_driver.user(NORA).verification_expires_at is not None


# Accounts that were verified through one


@on_sqlite
def test_an_account_that_one_portal_has_verified_is_let_into_that_portal_alone(
    app: Flask, app_driver: AppDriver, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    app_driver.do(make_member, HARBOUR, NORA, "Nora Wind", Role.STAFF)
    with app.app_context():
        grant_role(ALPINE, NORA, Role.STAFF)
    mark(app, NORA, HARBOUR)
    listed = app.test_cli_runner().invoke(args=["user", "verified-by-portal"])
    assert listed.output.split() == [NORA, HARBOUR]

    offered = nobody.sign_in(NORA, PASSWORD)
    assert offered.location == "/verify-email"
    assert "once more" in words(parse(nobody.get(offered.location)))
    assert nobody.get(ic(HARBOUR)).status_code == 200
    assert nobody.get(ic(ALPINE)).location == "/verify-email"
    assert "Alpine" not in words(parse(nobody.get("/portals")))
    with pytest.raises(DomainError):
        app_driver.do(grant_role, "alpine", NORA, Role.CLIENT_ADMIN)
    register_shell(app, ALPINE)
    shells = Browser(app)
    assert hand_over(shells, signed(says(portal=ALPINE, email=NORA, role="client_admin"))).status_code == 303
    assert app_driver.role(NORA, ALPINE) is Role.STAFF  # hers rests, and is not made more

    outbox.flush()
    assert mail_server.to(NORA) == []  # no mass mail
    assert nobody.post("/verify-email").status_code == 303
    outbox.flush()
    assert nobody.post(mail_server.wait_for(NORA).link).status_code == 303
    assert app_driver.user(NORA).is_verified
    assert nobody.get(ic(ALPINE)).status_code == 200


@on_sqlite
def test_a_session_that_a_shell_began_ends_with_a_new_password(app: Flask, app_driver: AppDriver) -> None:
    user_id = app_driver.do(make_user, NORA, "Nora Wind", verified=False)
    with app.app_context(), transaction() as session:
        session.add(LoginSession(id="x" * 64, user_id=user_id, expires_at=datetime.now(UTC)))
    assert Browser(app).post(verification_link(app_driver), OWN).status_code == 303
    with app.app_context():
        assert db.session.scalars(select(LoginSession)).all() == []


@on_sqlite
def test_a_role_is_revoked_from_the_account_apart_too(app: Flask, app_driver: AppDriver, stranger: Browser) -> None:
    register_shell(app, ALPINE)
    nora = Browser(app)
    hand_over(nora, signed(says(portal=ALPINE, email=NORA, name="Nora Wind", role="client_admin")))
    assert nora.get(ic(ALPINE)).status_code == 200
    app_driver.do(revoke_role, ALPINE, NORA, Role.CLIENT_ADMIN)
    assert nora.get(ic(ALPINE)).status_code == 404
    with pytest.raises(DomainError, match="is not client_admin"):
        app_driver.do(revoke_role, ALPINE, NORA, Role.CLIENT_ADMIN)


@on_sqlite
def test_whoever_has_to_verify_once_more_gets_no_whole_page_inside_the_table(app: Flask, admin: Browser) -> None:
    mark(app, "ada@harbour.test", ALPINE)
    answer = admin.get(f"{ic(HARBOUR)}/table", htmx=True)
    assert (answer.status_code, answer.text) == (401, "")
    assert answer.headers["HX-Redirect"].startswith("/verify-email")
    assert admin.get(ic(HARBOUR)).headers["Location"] == "/verify-email"


# On SQLite whoever may write is the only one.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_hand_over_while_the_account_is_given_to_its_owner(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at who it was and the lock, an operator makes the account the owner's."""
    register_shell(app, ALPINE)
    says_nora = {"portal": ALPINE, "email": NORA, "name": "Nora Wind", "role": "staff"}
    assert hand_over(Browser(app), signed(says(**says_nora))).status_code == 303
    locked = sso._locked_users
    made: list[User] = []

    def make_and_lock(*args: Any) -> Sequence[User]:
        if not made:
            with ThreadPoolExecutor(1) as threads:
                made.append(threads.submit(run_inside, app).result(timeout=30))
        return locked(*args)

    def run_inside(app: Flask) -> User:
        with app.app_context():
            return create_user(NORA, "Nora Wind", OTHER_PASSWORD)

    monkeypatch.setattr(sso, "_locked_users", make_and_lock)
    assert hand_over(Browser(app), signed(says(**says_nora))).status_code == 303
