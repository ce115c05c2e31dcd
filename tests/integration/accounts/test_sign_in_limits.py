"""Guessing passwords: who is stopped, how nobody can lock somebody else out, and what becomes of races."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from threading import Event, Thread, get_ident
from typing import Any

import pytest
import time_machine
from argon2 import PasswordHasher
from bs4 import BeautifulSoup
from flask import Flask
from sqlalchemy import event, func, select, update

from app.accounts.sign_in import sign_in
from app.core.clock import now
from app.core.errors import TooManyRequests
from app.db.transactions import transaction
from app.extensions import db
from app.models import LoginSession, OutboxMail, RateLimitHit, User
from app.registration.password_reset import request_reset
from tests.conftest import Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, path_of, words
from tests.support.factories import OTHER_PASSWORD, PASSWORD, as_if_that_had_been
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

ADA, SAM, NOBODY = "ada@harbour.test", "sam@harbour.test", "nobody@harbour.test"
WRONG = "not the right one"
HERE, ELSEWHERE = "203.0.113.7", "198.51.100.1"


def browser_at(app: Flask, address: str) -> Browser:
    browser = Browser(app)
    browser.client.environ_base["REMOTE_ADDR"] = address
    return browser


def status(app: Flask, address: str, email: str = ADA, password: str = PASSWORD) -> int:
    """What a browser gets that nobody has signed in with before."""
    return browser_at(app, address).sign_in(email, password).status_code


def fail(app: Flask, address: str, email: str = ADA, times: int = 10) -> Counter[str]:
    """Wrong passwords from an address; how each was answered."""
    outcomes: Counter[str] = Counter()
    with app.app_context():
        for _ in range(times):
            try:
                signed_in = sign_in(email, WRONG, remote_address=address)
                outcomes["refused" if signed_in is None else "signed in"] += 1
            except TooManyRequests:
                outcomes["too many"] += 1
    return outcomes


def fail_ten_times(app: Flask, address: str, email: str = ADA) -> None:
    """The same where a password is slow to judge: one was wrong, and counts for nine; then one more is."""
    assert fail(app, address, email, times=1) == {"refused": 1}
    as_if_that_had_been(app, 9)
    assert fail(app, address, email, times=1) == {"refused": 1}


def request_in(app: Flask, email: str, address: str = HERE) -> None:
    with app.app_context():
        request_reset(email, address)


def reset_password(
    browser: Browser, outbox: Outbox, mail_server: MailServer, email: str = ADA, password: str = OTHER_PASSWORD
) -> None:
    before = len(resets(mail_server, email))
    assert browser.post("/password-reset", {"email": email}).status_code == 303
    outbox.flush()
    (link,) = resets(mail_server, email)[before:]
    assert browser.post(path_of(link), {"password": password}).status_code == 303


def resets(mail_server: MailServer, email: str = ADA) -> list[str]:
    return [mail.link for mail in mail_server.to(email) if "/password-reset/" in mail.link]


def notices(mail_server: MailServer, email: str = ADA) -> list[Any]:
    return [mail for mail in mail_server.to(email) if "was locked" in mail.message["Subject"]]


def sessions(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(LoginSession)) or 0


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/portals").status_code == 200


# --- whom failures stop --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stranger", "neighbour", "owner"),
    [
        (HERE, HERE, "203.0.113.8"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
        ("::ffff:203.0.113.7", HERE, "2001:db8::1"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_wrong_passwords_lock_the_account_for_their_own_network_only(
    app: Flask, stranger: str, neighbour: str, owner: str
) -> None:
    assert fail(app, stranger, times=12) == {"refused": 10, "too many": 2}
    assert status(app, neighbour) == 429
    assert status(app, neighbour, SAM) == 303
    assert status(app, owner) == 303


def test_a_network_that_guesses_at_many_accounts_is_stopped_at_a_hundred(app: Flask) -> None:
    known = browser_at(app, HERE)
    assert known.sign_in(ADA, PASSWORD).status_code == 303
    assert fail(app, HERE, SAM, times=1) == {"refused": 1}
    as_if_that_had_been(app, 99)
    assert status(app, HERE, "olaf@alpine.test", WRONG) == 422
    assert status(app, HERE) == 429
    assert status(app, HERE, NOBODY) == 429
    assert status(app, ELSEWHERE) == 303
    # Who has signed in there before goes on, and counts no success.
    known.post("/logout")
    assert known.sign_in(ADA, PASSWORD).status_code == 303


def test_three_hundred_wrong_passwords_a_day_stop_all_but_the_owners_browsers(
    app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    known, reset = browser_at(app, HERE), browser_at(app, ELSEWHERE)
    assert known.sign_in(ADA, PASSWORD).status_code == 303
    known.post("/logout")
    assert fail(app, "192.0.2.1", times=1) == {"refused": 1}
    as_if_that_had_been(app, 299)
    assert fail(app, "192.0.2.2", times=1) == {"refused": 1}
    limited = browser_at(app, ELSEWHERE).sign_in(ADA, PASSWORD)
    assert limited.status_code == 429
    assert "please try again in 24 h." in limited.text
    assert int(limited.headers["Retry-After"]) > 23 * 60 * 60
    assert status(app, ELSEWHERE, SAM) == 303
    assert known.sign_in(ADA, PASSWORD).status_code == 303

    # A reset by mail works all the same, and unlocks for everybody.
    reset_password(reset, outbox, mail_server)
    assert status(app, ELSEWHERE, password=OTHER_PASSWORD) == 303


def test_a_reset_by_mail_unlocks_where_it_was_locked(app: Flask, outbox: Outbox, mail_server: MailServer) -> None:
    owner = browser_at(app, HERE)
    fail(app, HERE, times=1)
    as_if_that_had_been(app, 100)
    assert owner.sign_in(ADA, PASSWORD).status_code == 429
    reset_password(owner, outbox, mail_server)
    # Even where the network as a whole is stopped: whoever reads the account's mail is its owner.
    assert status(app, HERE, password=OTHER_PASSWORD) == 429
    assert owner.sign_in(ADA, OTHER_PASSWORD).status_code == 303


def test_the_page_of_a_locked_account_says_what_to_do(app: Flask) -> None:
    fail(app, HERE)
    page = parse(browser_at(app, HERE).sign_in(ADA, PASSWORD))
    assert "choose a new password by e-mail" in words(page.select_one("[role=status]"))
    assert page.select_one("a[href='/password-reset']")


# --- browsers that are known ---------------------------------------------------------------------


def test_a_known_browser_has_ten_failures_of_its_own(app: Flask) -> None:
    known, other = Browser(app), Browser(app)
    for browser in (known, other):
        assert browser.sign_in(ADA, PASSWORD).status_code == 303
        browser.post("/logout")
    fail(app, "127.0.0.1")
    assert [known.sign_in(ADA, WRONG).status_code for _ in range(10)] == [422] * 10
    assert known.sign_in(ADA, PASSWORD).status_code == 429
    assert other.sign_in(ADA, PASSWORD).status_code == 303
    with time_machine.travel(now() + timedelta(minutes=16)):
        assert known.sign_in(ADA, PASSWORD).status_code == 303


def test_a_browser_is_known_to_each_account_that_signed_in_there_and_to_no_other(app: Flask) -> None:
    shared = Browser(app)
    for email in (ADA, SAM):
        assert shared.sign_in(email, PASSWORD).status_code == 303
        shared.post("/logout")
    for email in (ADA, SAM, "olaf@alpine.test"):
        fail(app, "127.0.0.1", email)
    assert [shared.sign_in(email, PASSWORD).status_code for email in (ADA, SAM)] == [303, 303]
    assert shared.sign_in("olaf@alpine.test", PASSWORD).status_code == 429


def test_a_token_is_genuine_and_of_the_present_password_or_worth_nothing(
    app: Flask, reconfigured: Callable[..., Flask], outbox: Outbox, mail_server: MailServer
) -> None:
    known = Browser(app)
    assert known.sign_in(ADA, PASSWORD).status_code == 303
    cookie = known.client.get_cookie("known_browser")
    assert cookie is not None
    token = cookie.value
    fail(app, "127.0.0.1")

    def is_known(value: str, app: Flask = app) -> bool:
        browser = Browser(app)
        browser.client.set_cookie("known_browser", value)
        return browser.sign_in(ADA, PASSWORD).status_code == 303

    user_id, browser_id, signature = token.split(".")
    assert is_known(token)
    for forged in (
        "",
        "~",
        "x",
        f"{user_id}.{browser_id}.",
        f"{user_id}.other.{signature}",
        token[:-1],
        f"~.~{'x' * 3000}",
    ):
        assert not is_known(forged), forged
    # The key may be rotated.
    newer = {"SECRET_KEY": "another key for tests and nothing else"}
    former = str(app.config["SECRET_KEY"])
    assert not is_known(token, reconfigured(**newer))
    assert is_known(token, reconfigured(**newer, SECRET_KEY_FALLBACKS=former))

    reset_password(Browser(app), outbox, mail_server)
    fail_ten_times(app, "127.0.0.1")
    stolen = Browser(app)
    stolen.client.set_cookie("known_browser", token)
    assert stolen.sign_in(ADA, OTHER_PASSWORD).status_code == 429


@pytest.mark.parametrize("base_url, is_secure", [("http://clients.test", False), ("https://clients.test", True)])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_cookie_of_a_known_browser_is_kept_as_the_sessions_is(
    reconfigured: Callable[..., Flask], base_url: str, is_secure: bool
) -> None:
    client = reconfigured(PUBLIC_BASE_URL=base_url).test_client()
    mounted = "https://localhost/clients"
    token = parse(client.get("/login", base_url=mounted)).select_one("[name=csrf_token]")
    assert token is not None
    typed = {"email": ADA, "password": PASSWORD, "csrf_token": token["value"]}
    signed_in = client.post("/login", data=typed, base_url=mounted)
    (cookie,) = [one for one in signed_in.headers.getlist("Set-Cookie") if one.startswith("known_browser=")]
    flags = {flag.strip() for flag in cookie.split(";")[1:] if "Expires" not in flag}
    assert flags == {"HttpOnly", "Path=/clients", "SameSite=Lax", "Max-Age=31536000"} | (
        {"Secure"} if is_secure else set()
    )


# --- telling the owner ---------------------------------------------------------------------------


def test_the_owner_is_told_of_a_lock_once_a_day(app: Flask, outbox: Outbox, mail_server: MailServer) -> None:
    with time_machine.travel(datetime(2026, 3, 1, 12, 30, tzinfo=UTC)) as clock:
        fail(app, HERE, times=9)
        outbox.flush()
        assert not mail_server.mails
        fail(app, HERE, times=3)
        fail(app, ELSEWHERE)
        outbox.flush()
        (told,) = mail_server.mails
        assert told.recipient == ADA
        assert told.message["Subject"] == "Sign-in to your Bakuun account was locked"
        assert told.link == "http://clients.harbour.test/password-reset"
        for text in (told.text, words(BeautifulSoup(told.html, "html.parser"))):
            assert "1 March 2026, 12:30 UTC" in text
            assert "203.0.113.0/24" in text
            assert HERE not in text
        clock.shift(timedelta(hours=23))
        fail(app, HERE)
        outbox.flush()
        assert len(mail_server.mails) == 1
        clock.shift(timedelta(hours=2))
        fail(app, "2001:db8:1:2::9")
        outbox.flush()
        assert "2001:db8:1::/48" in mail_server.mails[-1].text
        assert len(mail_server.mails) == 2


def test_a_lock_from_everywhere_is_told_as_that(app: Flask, outbox: Outbox, mail_server: MailServer) -> None:
    fail(app, ELSEWHERE, times=1)
    as_if_that_had_been(app, 298)
    fail(app, HERE, times=1)
    outbox.flush()
    assert not mail_server.mails
    fail(app, HERE, times=1)
    outbox.flush()
    (told,) = mail_server.mails
    assert "from several places" in told.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nobody_is_told_of_an_address_without_an_account(app: Flask, outbox: Outbox, mail_server: MailServer) -> None:
    for email, address in (NOBODY, HERE), ("no address at all", ELSEWHERE):
        fail_ten_times(app, address, email)
        assert fail(app, address, email, times=1) == {"too many": 1}
    request_in(app, NOBODY)
    outbox.flush()
    assert not mail_server.mails
    with app.app_context():
        assert not db.session.scalars(select(OutboxMail)).all()


# --- known and unknown addresses -----------------------------------------------------------------


@contextmanager
def statements(app: Flask) -> Iterator[list[str]]:
    """What the database is asked meanwhile."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        asked.append(re.sub(r"\s+", " ", statement))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield asked
    event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_known_and_unknown_addresses_cost_the_database_the_same(app: Flask) -> None:
    def asked(act: Callable[[str, str], object], email: str, address: str) -> list[str]:
        with statements(app) as found:
            act(email, address)
        return list(found)

    def failing(email: str, address: str) -> object:
        return fail(app, address, email, times=2)

    def asking(email: str, address: str) -> object:
        return [request_in(app, email, address) for _ in range(6)]

    def locked(email: str, address: str) -> list[str]:
        first = asked(failing, email, address)
        as_if_that_had_been(app, 4)
        # The ninth and the tenth, and one that is not judged any more.
        return first + asked(failing, email, address) + asked(failing, email, address)

    for statements_of, mails in (locked, 1), (partial(asked, asking), 5):
        known, unknown = statements_of(ADA, HERE), statements_of(NOBODY, ELSEWHERE)
        assert known == unknown
        assert sum("INSERT INTO outbox_mail" in one for one in known) == mails


# --- resets that others ask for ------------------------------------------------------------------


def test_whoever_asks_for_resets_of_others_does_not_keep_them_from_theirs(
    app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    owner = browser_at(app, ELSEWHERE)
    with time_machine.travel(datetime(2026, 3, 1, 12, 30, tzinfo=UTC)) as clock:
        for _ in range(2):  # hours
            for _ in range(7):
                request_in(app, ADA)
                outbox.flush()
            assert owner.post("/password-reset", {"email": ADA}).status_code == 303
            outbox.flush()
            # The newest link that they have is alive until further ones may be sent.
            clock.shift(timedelta(minutes=59))
            assert owner.get(path_of(resets(mail_server)[-1])).status_code == 200
            clock.shift(timedelta(minutes=2))
        assert len(resets(mail_server)) == 10


def test_who_has_just_chosen_a_password_can_have_another_link(
    app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    for _ in range(5):
        request_in(app, ADA)
    outbox.flush()
    owner = browser_at(app, ELSEWHERE)
    assert owner.post(path_of(resets(mail_server)[-1]), {"password": OTHER_PASSWORD}).status_code == 303
    reset_password(owner, outbox, mail_server, password=PASSWORD)


def test_a_network_may_ask_for_three_hundred_resets_an_hour_and_a_known_browser_for_more(app: Flask) -> None:
    known, stranger = browser_at(app, HERE), browser_at(app, HERE)
    assert known.sign_in(ADA, PASSWORD).status_code == 303
    request_in(app, NOBODY)
    as_if_that_had_been(app, 300)
    refused = stranger.post("/password-reset", {"email": ADA})
    assert refused.status_code == 429
    assert "Retry-After" in refused.headers
    assert known.post("/password-reset", {"email": NOBODY}).status_code == 429
    assert known.post("/password-reset", {"email": ADA}).status_code == 303
    assert browser_at(app, ELSEWHERE).post("/password-reset", {"email": ADA}).status_code == 303


# --- at the same moment --------------------------------------------------------------------------


def ready_to_sign_in(app: Flask, password: str) -> Callable[[], int]:
    browser = Browser(app)
    browser.csrf_token()
    return lambda: browser.sign_in(ADA, password).status_code


def test_of_forty_guesses_at_once_ten_are_judged(app: Flask) -> None:
    guesses = [ready_to_sign_in(app, WRONG) for _ in range(39)]
    assert Counter(at_once([*guesses, ready_to_sign_in(app, WRONG)])) == {422: 10, 429: 30}
    assert status(app, "127.0.0.1") == 429


def test_right_passwords_at_once_are_neither_counted_nor_refused(app: Flask) -> None:
    assert at_once([ready_to_sign_in(app, PASSWORD) for _ in range(30)]) == [303] * 30
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


def test_a_person_has_twenty_sessions_and_the_oldest_ends_when_another_begins(
    app: Flask, app_driver: AppDriver
) -> None:
    sam = Browser(app)
    assert sam.sign_in(SAM, PASSWORD).status_code == 303
    browsers = [Browser(app) for _ in range(22)]
    for browser in browsers:
        assert browser.sign_in(ADA, PASSWORD).status_code == 303
    assert [is_signed_in(browser) for browser in browsers] == [False] * 2 + [True] * 20
    assert is_signed_in(sam)
    assert sessions(app) == 21
