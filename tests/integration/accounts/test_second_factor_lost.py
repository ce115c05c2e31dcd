"""A second factor that goes with what it protects: by an operator, with a stranger's registration, with the account."""

from __future__ import annotations

import pytest
from flask import Flask

from app.accounts.security.recovery import make_codes
from app.core.encryption import encrypt
from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import LoginSession, MailKind, PendingSignIn, RecoveryCode, TotpKey
from tests.conftest import HARBOUR, Outbox
from tests.integration.accounts.nora import NORA, OWN, verification_link
from tests.integration.accounts.phone import Phone, give, password_only, protected
from tests.integration.accounts.signing_in import ADA, is_signed_in, later
from tests.integration.cli.running import logged, refusal, run
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.smtp import MailServer

RESET = ["user", "reset-second-factor", "--email", ADA]
LANDING = f"/portals/{HARBOUR}/settings/accounts"


def rows(app: Flask) -> list[int]:
    with app.app_context():
        return [db.session.query(one).count() for one in (TotpKey, RecoveryCode, PendingSignIn)]


@pytest.mark.both_databases
def test_an_operator_resets_it_and_all_sessions_end(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    owner = protected(app)
    waiting = password_only(app)
    assert "To do so, add --yes." in refusal(app, *RESET)
    assert rows(app) == [1, 10, 1]
    account = app_driver.user(ADA).id
    assert logged(app, *RESET, "--yes") == {"event": "second factor reset", "accounts": [account], "sessions": 1}
    assert rows(app) == [0, 0, 0]
    assert not is_signed_in(owner.browser)
    assert give(waiting, owner.phone.code()).location == "/login?again="
    assert Browser(app).sign_in(ADA, PASSWORD).location == LANDING
    outbox.flush()
    texts = [" ".join(mail.text.split()) for mail in mail_server.to(ADA)]
    (notice,) = [text for text in texts if "Whoever runs this service removed the second factor" in text]
    assert "The password alone is enough to sign in now." in notice
    assert refusal(app, *RESET, "--yes") == f"The account {ADA} has no second factor."


def give_factor(app: Flask, email: str) -> Phone:
    """As if somebody had set it up before it was known that the address is not theirs."""
    phone = Phone("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    user_id = AppDriver(app).user(email).id
    with app.app_context(), transaction() as session:
        session.add(TotpKey(user_id=user_id, encrypted_key=encrypt(phone.key), last_step=1))
        make_codes(session, user_id)
    return phone


def test_whoever_verifies_with_a_new_password_has_none_of_a_stranger_s(
    app: Flask, app_driver: AppDriver, stranger: Browser, nobody: Browser
) -> None:
    give_factor(app, NORA)
    assert nobody.post(verification_link(app_driver), OWN).status_code == 303
    assert rows(app) == [0, 0, 0]
    assert Browser(app).sign_in(NORA, OTHER_PASSWORD).location == "/portals"


def test_whoever_verifies_in_the_browser_that_registered_keeps_it(
    app: Flask, app_driver: AppDriver, stranger: Browser
) -> None:
    phone = give_factor(app, NORA)
    assert stranger.post(verification_link(app_driver)).status_code == 303
    browser = password_only(app, NORA, "a stranger chose this one")
    assert give(browser, phone.code()).location == "/portals"


@pytest.mark.parametrize("word", ["disable", "sessions-end", "set-password"])
def test_what_ends_sessions_ends_a_sign_in_that_waits(app: Flask, word: str) -> None:
    owner = protected(app)
    waiting = password_only(app)
    more = ["--password", OTHER_PASSWORD] if word == "set-password" else []
    assert run(app, "user", word, "--email", ADA, *more).exit_code == 0
    assert give(waiting, owner.phone.code()).location == "/login?again="
    assert rows(app)[:2] == [1, 10]
    with app.app_context():
        assert db.session.query(LoginSession).count() == 0


@pytest.mark.both_databases
def test_it_goes_with_the_account(app: Flask, app_driver: AppDriver) -> None:
    protected(app)
    password_only(app)
    assert run(app, "user", "erase", "--email", ADA, "--yes", "--last-admin").exit_code == 0
    assert rows(app) == [0, 0, 0]
    assert {mail.kind for mail in app_driver.mails()} & {MailKind.SECOND_FACTOR_CHANGED} == set()


def test_sign_ins_that_waited_too_long_are_deleted(app: Flask) -> None:
    protected(app)
    password_only(app)
    run_job(app, "prune")
    assert rows(app) == [1, 10, 1]
    with later(10 * 60 + 1):
        run_job(app, "prune")
    assert rows(app) == [1, 10, 0]
