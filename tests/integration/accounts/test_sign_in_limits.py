"""Whoever guesses at passwords or asks for resets of others is stopped, and cannot keep the owner out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from bs4 import BeautifulSoup
from flask import Flask
from sqlalchemy import event, select

from app.extensions import db
from app.models import OutboxMail
from tests.conftest import Outbox
from tests.integration.accounts.guessing import (
    ELSEWHERE,
    HERE,
    NOBODY,
    SAM,
    WRONG,
    browser_at,
    fail,
    fail_ten_times,
    request_in,
    reset_password,
    resets,
    status,
)
from tests.integration.accounts.signing_in import ADA
from tests.support.browser import parse, path_of, words
from tests.support.factories import OTHER_PASSWORD, PASSWORD, as_if_that_had_been
from tests.support.smtp import MailServer

# --- whom failures stop --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stranger", "neighbour", "owner"),
    [
        (HERE, HERE, "203.0.113.8"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
        ("::ffff:203.0.113.7", HERE, "2001:db8::1"),
    ],
)
def test_wrong_passwords_lock_the_account_for_their_own_network_only(
    app: Flask, stranger: str, neighbour: str, owner: str
) -> None:
    assert fail(app, stranger, times=12) == {"refused": 10, "too many": 2}
    assert status(app, neighbour) == 429
    assert status(app, neighbour, SAM) == 303
    assert status(app, owner) == 303


@pytest.mark.both_databases
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


@pytest.mark.both_databases
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
    fail_ten_times(app, HERE)
    page = parse(browser_at(app, HERE).sign_in(ADA, PASSWORD))
    assert "choose a new password by email" in words(page.select_one("[role=status]"))
    assert page.select_one("a[href='/password-reset']")


# --- telling the owner ---------------------------------------------------------------------------


def test_the_owner_is_told_of_a_lock_once_a_day(app: Flask, outbox: Outbox, mail_server: MailServer) -> None:
    with time_machine.travel(datetime(2026, 3, 1, 12, 30, tzinfo=UTC)) as clock:
        fail(app, HERE, times=9)
        outbox.flush()
        assert not mail_server.mails
        fail(app, HERE, times=3)
        fail_ten_times(app, ELSEWHERE)
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
        fail_ten_times(app, HERE)
        outbox.flush()
        assert len(mail_server.mails) == 1
        clock.shift(timedelta(hours=2))
        fail_ten_times(app, "2001:db8:1:2::9")
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
