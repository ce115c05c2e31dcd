"""Sign-ins at the same moment are counted one by one, and the oldest sessions give way to the newest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from threading import Event, Thread, get_ident
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import event, func, select, update

from app.accounts.users import open_session
from app.db.transactions import transaction
from app.extensions import db
from app.models import LoginSession, RateLimitHit, User
from tests.conftest import Outbox
from tests.integration.accounts.guessing import SAM, WRONG, resets, status
from tests.integration.accounts.signing_in import ADA, is_signed_in
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, path_of
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases


def sessions(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(LoginSession)) or 0


# --- at the same moment --------------------------------------------------------------------------


def ready_to_sign_in(app: Flask, password: str) -> Callable[[], int]:
    browser = Browser(app)
    browser.csrf_token()
    return lambda: browser.sign_in(ADA, password).status_code


def test_of_twenty_guesses_at_once_ten_are_judged(app: Flask) -> None:
    guesses = [ready_to_sign_in(app, WRONG) for _ in range(20)]
    assert Counter(at_once(guesses)) == {422: 10, 429: 10}
    assert status(app, "127.0.0.1") == 429


def test_right_passwords_at_once_are_neither_counted_nor_refused(app: Flask) -> None:
    assert at_once([ready_to_sign_in(app, PASSWORD) for _ in range(22)]) == [303] * 22
    assert [status(app, "127.0.0.1", password=WRONG) for _ in range(10)] == [422] * 10
    assert sessions(app) == 20


@cache
def slow_hash() -> str:
    return PasswordHasher(time_cost=40, memory_cost=32 * 1024, parallelism=1).hash(PASSWORD)


def hits(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(RateLimitHit)) or 0


def test_a_sign_in_that_a_reset_overtakes_begins_no_session(
    app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    """The old password was right when it was looked at, and the look takes long."""
    with app.app_context(), transaction() as session:
        session.execute(update(User).where(User.email == ADA).values(password_hash=slow_hash()))
    owner, other = Browser(app), Browser(app)
    other.csrf_token()
    owner.post("/password-reset", {"email": ADA})
    outbox.flush()
    link = path_of(resets(mail_server)[-1])
    owner.csrf_token()

    has_read = Event()
    outcome = []

    def sign_in_with_the_old_one() -> None:
        def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
            if get_ident() == thread.ident and "password_hash" in statement:
                has_read.set()

        with app.app_context():
            engine = db.engine
        event.listen(engine, "after_cursor_execute", note)
        try:
            outcome.append(other.sign_in(ADA, PASSWORD))
        finally:
            event.remove(engine, "after_cursor_execute", note)

    thread = Thread(target=sign_in_with_the_old_one)
    thread.start()
    assert has_read.wait(30)
    assert owner.post(link, {"password": OTHER_PASSWORD}).status_code == 303
    counted = hits(app)
    assert not outcome, "the sign-in was to be the slower one"
    thread.join(30)
    (answer,) = outcome
    assert answer.status_code == 422
    assert "Check both and try again" in answer.text
    assert sessions(app) == 0
    assert not is_signed_in(other)
    assert hits(app) == counted, "it was no guess"


# --- how many sessions there are -----------------------------------------------------------------


def begin_session(user_id: int) -> None:
    """What a sign-in does at its end."""
    with transaction() as session:
        open_session(session, user_id)


def test_a_person_has_twenty_sessions_and_the_oldest_ends_when_another_begins(
    app: Flask, app_driver: AppDriver
) -> None:
    sam = Browser(app)
    assert sam.sign_in(SAM, PASSWORD).status_code == 303
    browsers = [Browser(app) for _ in range(5)]
    for browser in browsers[:3]:
        assert browser.sign_in(ADA, PASSWORD).status_code == 303
    ada = app_driver.user(ADA).id
    for _ in range(17):
        app_driver.do(begin_session, ada)
    assert all(map(is_signed_in, browsers[:3]))
    for browser in browsers[3:]:
        assert browser.sign_in(ADA, PASSWORD).status_code == 303
    assert [is_signed_in(browser) for browser in browsers] == [False] * 2 + [True] * 3
    assert is_signed_in(sam)
    assert sessions(app) == 21
