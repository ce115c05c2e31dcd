"""How many wrong codes are judged, whom that keeps out, and what happens at the very same moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import time_machine
from flask import Flask

from app.extensions import db
from app.models import LoginSession, RecoveryCode, TotpKey
from tests.conftest import Outbox
from tests.integration.accounts.guessing import HERE, SAM, fail_ten_times, reset_password
from tests.integration.accounts.owner import sign_in_with
from tests.integration.accounts.phone import (
    PAGE,
    STEP,
    Protected,
    at_middle_of_step,
    begin,
    codes_on,
    give,
    password_only,
    protected,
)
from tests.integration.accounts.signing_in import ADA
from tests.support.browser import Browser
from tests.support.factories import OTHER_PASSWORD, PASSWORD, as_if_that_had_been, counted_as
from tests.support.smtp import MailServer
from tests.support.together import at_once

LOCKED = "Too many wrong codes for your Bakuun account"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(at_middle_of_step(), tick=False) as clock:
        yield clock


@pytest.fixture
def owner(app: Flask) -> Protected:
    return protected(app)


def rows(app: Flask, model: type) -> int:
    with app.app_context():
        return int(db.session.query(model).count())


def posting(browser: Browser, code: str, path: str = STEP) -> Callable[[], int]:
    """The same browser once more, ready to send a code."""
    twin = browser.twin()
    return lambda: twin.post(path, {"code": code}).status_code


def give_ten_wrong_codes(app: Flask, browser: Browser) -> None:
    """As many as are judged: one of them counts for nine."""
    with counted_as(app, 9):
        assert give(browser, "123456").status_code == 422
    assert give(browser, "123456").status_code == 422


# --- limits --------------------------------------------------------------------------------------


def test_after_ten_wrong_codes_one_waits_and_the_owner_is_told_once(
    app: Flask, owner: Protected, outbox: Outbox, mail_server: MailServer, clock: time_machine.Traveller
) -> None:
    thief = password_only(app)
    assert [give(thief, "123456").status_code for _ in range(10)] == [422] * 10
    # In another browser, with a right code or with a recovery code, nothing is judged.
    for code in ("123456", owner.phone.code(), owner.codes[0]):
        refused = give(password_only(app), code)
        assert refused.status_code == 429
        assert "Too many attempts" in refused.text
        assert 0 < int(refused.headers["Retry-After"]) <= 15 * 60 + 1
    clock.shift(15 * 60 + 1)
    again = password_only(app)
    assert [give(again, "123456").status_code for _ in range(11)] == [422] * 10 + [429]
    outbox.flush()
    (notice,) = [mail for mail in mail_server.to(ADA) if mail.message["Subject"] == LOCKED]
    assert "127.0.0.0/24" in notice.text
    assert notice.link.endswith("/password-reset")
    clock.shift(15 * 60 + 1)
    assert give(password_only(app), owner.phone.code()).status_code == 303


def test_whoever_knows_the_password_does_not_lock_the_owner_s_browser(app: Flask, owner: Protected) -> None:
    owner.browser.post("/logout")
    owner.browser.forget_csrf_token()
    thief = password_only(app)
    give_ten_wrong_codes(app, thief)
    assert give(thief, "123456").status_code == 429
    assert owner.browser.sign_in(ADA, PASSWORD).location == STEP
    owner.browser.forget_csrf_token()
    assert [give(owner.browser, "123456").status_code for _ in range(9)] == [422] * 9
    assert give(owner.browser, owner.phone.code()).status_code == 303


def test_without_the_password_nobody_locks_it(app: Flask, owner: Protected) -> None:
    stranger = Browser(app)
    for _ in range(12):
        assert give(stranger, "123456").location == "/login?again="
        stranger.forget_csrf_token()
    fail_ten_times(app, HERE)
    assert give(password_only(app), owner.phone.code()).status_code == 303


def test_a_new_password_ends_the_wait_and_another_account_never_waited(
    app: Flask, owner: Protected, outbox: Outbox, mail_server: MailServer
) -> None:
    other = protected(app, SAM)
    give_ten_wrong_codes(app, password_only(app))
    assert give(password_only(app, SAM), other.phone.code()).status_code == 303
    browser = Browser(app)
    reset_password(browser, outbox, mail_server)
    assert give(password_only(app, password=OTHER_PASSWORD), owner.phone.code()).status_code == 303


def test_whoever_reads_the_mail_gets_no_further_by_resets(
    app: Flask, owner: Protected, outbox: Outbox, mail_server: MailServer
) -> None:
    """A reset makes the browser known, and begins the other counts anew."""
    give(password_only(app), "123456")
    as_if_that_had_been(app, 300)
    browser = Browser(app)
    reset_password(browser, outbox, mail_server)
    assert browser.sign_in(ADA, OTHER_PASSWORD).location == STEP
    browser.forget_csrf_token()
    assert give(browser, owner.phone.code()).status_code == 429


def test_codes_count_where_the_second_factor_is_changed(app: Flask, owner: Protected) -> None:
    """Whoever finds an open session guesses no further than at sign-in."""
    with counted_as(app, 9):
        assert owner.browser.post(f"{PAGE}/remove", {"code": "123456"}).status_code == 422
    assert owner.browser.post(f"{PAGE}/remove", {"code": "123456"}).status_code == 422
    for path in ("remove", "recovery-codes"):
        refused = owner.browser.post(f"{PAGE}/{path}", {"code": owner.phone.code()})
        assert (refused.status_code, "Retry-After" in refused.headers) == (429, True)
    assert rows(app, TotpKey) == 1


# --- at the same moment --------------------------------------------------------------------------


@pytest.mark.both_databases
def test_of_twenty_wrong_codes_at_once_ten_are_judged(app: Flask, owner: Protected) -> None:
    """Not at sign-in, where the limit on notices of new devices lets in one after another."""
    guesses = [posting(owner.browser, "123456", f"{PAGE}/remove") for _ in range(20)]
    assert Counter(at_once(guesses)) == {422: 10, 429: 10}


@pytest.mark.both_databases
@pytest.mark.parametrize("by", ["app", "recovery code"])
def test_of_a_code_that_is_given_twice_at_once_one_signs_in(app: Flask, owner: Protected, by: str) -> None:
    code = owner.phone.code() if by == "app" else owner.codes[0]
    sessions = rows(app, LoginSession)
    calls = [posting(password_only(app), code) for _ in range(4)]
    assert Counter(at_once(calls)) == {303: 1, 422: 3}
    assert rows(app, LoginSession) == sessions + 1
    assert rows(app, RecoveryCode) == (10 if by == "app" else 9)


@pytest.mark.both_databases
@pytest.mark.parametrize("by", ["app", "recovery code"])
def test_of_a_code_that_is_given_twice_at_once_one_changes_something(app: Flask, owner: Protected, by: str) -> None:
    code = owner.phone.code() if by == "app" else owner.codes[0]
    calls = [posting(owner.browser, code, f"{PAGE}/recovery-codes") for _ in range(6)]
    assert Counter(at_once(calls)) == {200: 1, 422: 5}


@pytest.mark.both_databases
def test_one_pending_sign_in_begins_one_session(app: Flask, owner: Protected) -> None:
    browser = password_only(app)
    sessions = rows(app, LoginSession)
    at_once([posting(browser, code) for code in owner.codes[:6]])
    assert rows(app, LoginSession) == sessions + 1
    # Those that came too late used up nothing.
    assert rows(app, RecoveryCode) == 9


@pytest.mark.both_databases
def test_an_app_that_is_set_up_twice_at_once_is_set_up_once(app: Flask) -> None:
    browser = sign_in_with(app)
    phone = begin(browser)
    twins = [browser.twin() for _ in range(4)]
    pages = at_once([lambda twin=twin: twin.post(f"{PAGE}/confirm", {"code": phone.code()}) for twin in twins])
    assert Counter(page.status_code for page in pages) == {200: 1, 409: 3}
    (shown,) = [codes for page in pages if (codes := codes_on(page))]
    assert (rows(app, TotpKey), rows(app, RecoveryCode), len(shown)) == (1, 10, 10)


@pytest.mark.both_databases
def test_recovery_codes_that_are_made_twice_at_once_are_those_of_the_last(app: Flask, owner: Protected) -> None:
    twins = [owner.browser.twin() for _ in range(3)]
    pages = at_once([lambda twin=twin: twin.post(f"{PAGE}/recovery-codes", {"password": PASSWORD}) for twin in twins])
    sets = [codes_on(page) for page in pages]
    assert [len(codes) for codes in sets] == [10] * 3
    assert rows(app, RecoveryCode) == 10
    assert Counter(give(password_only(app), codes[0]).status_code for codes in sets) == {303: 1, 422: 2}


@pytest.mark.both_databases
def test_a_sign_in_that_meets_a_removal_ends_in_one_of_two_ways(app: Flask, owner: Protected) -> None:
    waiting = password_only(app)
    remover = owner.browser.twin()
    answers = at_once(
        [
            posting(waiting, owner.phone.code()),
            lambda: remover.post(f"{PAGE}/remove", {"password": PASSWORD}).status_code,
        ]
    )
    assert answers in ([303, 303], [422, 303])
    assert (rows(app, TotpKey), rows(app, RecoveryCode)) == (0, 0)
