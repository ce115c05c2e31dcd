"""An account gains nothing where its address is not proved, by a hand-over or a role or through one portal."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.accounts.passwords import is_password_of
from app.accounts.users import create_user, find_user
from app.core.errors import Conflict, DomainError
from app.db.transactions import transaction
from app.extensions import db
from app.models import LoginSession, Membership, Role, ShellAccount, User
from app.portals.service import grant_role, revoke_role
from app.sso import service as sso
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.accounts.nora import NORA, OWN, STRANGERS, link_to_shell, verification_link
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import on_sqlite
from tests.support.factories import OTHER_PASSWORD, PASSWORD, make_member, make_user
from tests.support.shell import hand_over, says, signed
from tests.support.shell import register as register_shell
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases


def mark(app: Flask, email: str, portal_id: str) -> None:
    """Make it an account that was verified through a portal's own mail server, as the upgrade does."""
    with app.app_context(), transaction():
        user = find_user(email)
        assert user is not None
        user.verified_for_portal_id = portal_id


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
    assert app_driver.do(is_password_of, user.password_hash, OTHER_PASSWORD)
    assert stranger.get("/portals").status_code == 302
    assert stranger.post(link).status_code == 410
    # What the stranger has accepted, Nora has not.
    assert app_driver.clients() == [(HARBOUR, NORA, "invite_sent")]
    assert nobody.sign_in(NORA, OTHER_PASSWORD).status_code == 303
    assert nobody.post(invitation).status_code == 303
    with pytest.raises(Conflict):
        app_driver.do(create_user, NORA, "Nora Wind", PASSWORD)


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
    assert mail_server.besides_roles(NORA) == []  # no mass mail
    assert nobody.post("/verify-email").status_code == 303
    outbox.flush()
    assert nobody.post(mail_server.besides_roles(NORA)[0].link).status_code == 303
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
    # The session that the shell began has ended with it.
    assert nora.get(ic(ALPINE)).status_code == 302
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
