"""One changes one's own password: everybody else is signed out, and the owner is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from flask import Flask

from app.accounts import password_change
from app.accounts.own_account import SessionEnded
from app.core.errors import TooManyRequests
from app.extensions import db
from app.models import AuditEvent, AuditKind
from app.registration.password_reset import set_password
from tests.conftest import HARBOUR, Outbox
from tests.integration.accounts.guessing import HERE, WRONG, reset_password, resets
from tests.integration.accounts.owner import CHANGE, change_password, sessions, sign_in_with, token_of, told
from tests.integration.accounts.signing_in import ADA, is_signed_in
from tests.integration.accounts.test_sign_in import browser_with, session_cookie
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, ic, parse
from tests.support.databases import everything
from tests.support.factories import OTHER_PASSWORD, PASSWORD, counted_as
from tests.support.smtp import MailServer, Taken
from tests.support.together import at_once


def notices(mail_server: MailServer, subject: str, email: str = ADA) -> list[Taken]:
    return [mail for mail in mail_server.to(email) if mail.message["Subject"] == subject]


CHANGED = "The password of your Bakuun account was changed"


@pytest.mark.both_databases
def test_the_other_sessions_end_and_this_one_goes_on_as_another(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    elsewhere = sign_in_with(app)
    browser = sign_in_with(app, address="198.51.100.23")
    cookie, known = session_cookie(browser), browser.client.get_cookie("known_browser")
    browser.post("/password-reset", {"email": ADA})
    outbox.flush()
    (link,) = resets(mail_server)

    answer = change_password(browser)
    assert (answer.status_code, answer.location) == (303, "/account")
    assert told(browser) == "Your new password is saved. All your other sessions have ended."
    assert len(sessions(browser)) == 1
    # Whoever knows the session from before, or comes from elsewhere, is out; told so at work.
    assert not is_signed_in(browser_with(app, cookie))
    assert not is_signed_in(elsewhere)
    assert elsewhere.get(ic(HARBOUR)).location.endswith("&ended=")
    assert elsewhere.get(f"{ic(HARBOUR)}/table", htmx=True).status_code == 401
    assert browser.get(link).status_code == 410
    # The browser is known by the new password.
    renewed = browser.client.get_cookie("known_browser")
    assert known is not None
    assert renewed is not None
    assert renewed.value.split(".")[:2] == known.value.split(".")[:2]
    assert renewed.value != known.value
    with app.app_context():
        assert db.session.scalar(db.select(AuditEvent.kind).order_by(AuditEvent.id.desc())) == (
            AuditKind.PASSWORD_CHANGED
        )
    browser.post("/logout")
    assert browser.sign_in(ADA, PASSWORD).status_code == 422
    assert browser.sign_in(ADA, OTHER_PASSWORD).status_code == 303

    outbox.flush()
    (notice,) = notices(mail_server, CHANGED)
    for part in (notice.text, notice.html):
        assert "198.51.100.0/24" in part
        assert "198.51.100.23" not in part
    assert notice.link == "http://clients.harbour.test/password-reset"
    assert PASSWORD not in app_driver.dump()
    assert OTHER_PASSWORD not in app_driver.dump()


WRONGLY_TYPED = {
    "current_password": (WRONG, ""),
    "new_password": (
        "short",
        "my name is berg and nothing",
        "the harbour at four o'clock",
        "password1234",
        "x" * 129,
        PASSWORD,
        "",
    ),
}


def test_what_is_refused_changes_nothing_and_says_why(app: Flask) -> None:
    browser = sign_in_with(app)
    before = without_trail(app)
    for field, text in ((field, text) for field, texts in WRONGLY_TYPED.items() for text in texts):
        typed = CHANGE | {field: text}
        refused = browser.post("/account/password", typed)
        assert refused.status_code == 422, typed
        assert field_errors(refused).keys() == {field}, typed
        assert parse(refused).title.text.startswith("Error: "), typed
        assert WRONG not in refused.text
        fragment = browser.post("/account/password", typed, htmx=True)
        assert fragment.status_code == 422, typed
        assert "<html" not in fragment.text, typed
        assert without_trail(app) == before, typed
    assert is_signed_in(browser)


def without_trail(app: Flask) -> list[str]:
    """Everything but the audit trail, which tells of failures."""
    return [line for line in everything(app).split("\n") if not line.startswith("audit_")]


def test_whoever_finds_an_open_session_cannot_guess_without_limit(
    app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    """In the owner's browser, and with a copy of the cookie anywhere: as at sign-in."""
    browser = sign_in_with(app)
    with counted_as(app, 9):
        assert browser.post("/account/password", CHANGE | {"current_password": WRONG}).status_code == 422
    assert browser.post("/account/password", CHANGE | {"current_password": WRONG}).status_code == 422
    limited = browser.post("/account/password", CHANGE)
    assert limited.status_code == 429
    assert int(limited.headers["Retry-After"]) > 0
    assert "Too many attempts" in field_errors(limited)["current_password"]
    copied = browser_with(app, session_cookie(browser))
    copied.client.environ_base["REMOTE_ADDR"] = "203.0.113.7"
    assert copied.post("/account/password", CHANGE).status_code == 429
    outbox.flush()
    assert len(notices(mail_server, "Sign-in to your Bakuun account was locked")) == 1
    # The owner has a way: a reset by mail.
    reset_password(Browser(app), outbox, mail_server)
    assert not is_signed_in(browser)


@pytest.mark.both_databases
def test_of_many_guesses_at_once_ten_are_told(app: Flask, app_driver: AppDriver) -> None:
    browser = sign_in_with(app)
    call = changing(app_driver, browser)

    def guess() -> str:
        try:
            return "right" if call(WRONG) else "wrong"
        except TooManyRequests:
            return "too many"

    assert Counter(at_once([guess] * 14)) == {"wrong": 10, "too many": 4}


def changing(app_driver: AppDriver, browser: Browser) -> Callable[[str], object]:
    """What the browser's page calls with the current password."""
    token, user_id = token_of(browser), app_driver.user(ADA).id

    def call(current: str) -> object:
        return app_driver.do(
            password_change.change_password,
            user_id,
            ADA,
            token,
            current,
            OTHER_PASSWORD,
            remote_address=HERE,
            browser_tokens=[],
        )

    return call


@pytest.mark.both_databases
def test_of_two_who_change_it_at_once_one_does_and_the_other_is_out(app: Flask, app_driver: AppDriver) -> None:
    calls = [changing(app_driver, sign_in_with(app)) for _ in range(2)]

    def run(call: Callable[[str], object]) -> bool:
        try:
            return call(PASSWORD) is not None
        except SessionEnded:
            return False

    assert sorted(at_once([lambda call=call: run(call) for call in calls])) == [False, True]  # type: ignore[misc]
    assert app_driver.do(lambda: db.session.scalar(db.text("SELECT count(*) FROM login_session"))) == 1


def test_a_session_that_ended_meanwhile_changes_no_password(app: Flask, app_driver: AppDriver) -> None:
    browser = sign_in_with(app)
    call = changing(app_driver, browser)
    app_driver.end_sessions()
    with pytest.raises(SessionEnded):
        call(PASSWORD)
    assert Browser(app).sign_in(ADA, PASSWORD).status_code == 303


def test_it_is_told_too_of_a_reset_and_of_an_operator(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    reset_password(Browser(app), outbox, mail_server)
    outbox.flush()
    app_driver.do(set_password, ADA, "a sentence that operators choose")
    outbox.flush()
    reset, operator = notices(mail_server, CHANGED)
    assert "by a link that we had sent to this address" in " ".join(reset.text.split())
    assert "127.0.0.0/24" in reset.text
    assert "Whoever runs this service" in " ".join(operator.text.split())
