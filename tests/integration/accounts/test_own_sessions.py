"""Where one is signed in, and how to be signed out there."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from flask import Flask

from app.accounts.own_account import SessionEnded, end_other_sessions, end_session, rename
from app.core.clock import now
from app.extensions import db
from app.models import AuditEvent, AuditKind, LoginSession
from tests.conftest import HARBOUR
from tests.integration.accounts.owner import FIREFOX, SAFARI, sessions, sign_in_with, token_of, told
from tests.integration.accounts.signing_in import ADA, is_signed_in
from tests.integration.accounts.test_sign_in import browser_with, session_cookie
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.databases import everything
from tests.support.shell import hand_over, register, says, signed


def end(browser: Browser, shown_id: str, *, htmx: bool = False) -> int:
    return browser.post(f"/account/sessions/{shown_id}/end", htmx=htmx).status_code


@pytest.mark.both_databases
def test_each_session_tells_browser_and_network_and_can_be_ended(app: Flask) -> None:
    phone = sign_in_with(app, SAFARI, "2001:db8:1:2::3")
    odd = sign_in_with(app, "<script>\x80" + "x" * 3000, "198.51.100.9")
    here = sign_in_with(app, FIREFOX, "203.0.113.7")
    this, *others = sessions(here)
    assert this.is_this
    assert not this.can_be_ended
    assert this.words.startswith("Firefox on Windows This browser")
    assert "Network: 203.0.113.0/24" in this.words
    by_browser = {one.words.split(" Signed in")[0]: one for one in others}
    assert by_browser.keys() == {"Safari on iPhone", "Unknown browser"}
    assert "2001:db8:1::/48" in by_browser["Safari on iPhone"].words
    page = here.get("/account").text
    assert "203.0.113.7" not in page
    assert "<script>\x80" not in page

    assert end(here, by_browser["Safari on iPhone"].id) == 303
    assert told(here) == "That session has ended."
    assert not is_signed_in(phone)
    assert phone.get(ic(HARBOUR)).location.endswith("&ended=")
    assert is_signed_in(odd)
    assert is_signed_in(here)
    assert end(here, by_browser["Safari on iPhone"].id) == 404
    with app.app_context():
        assert db.session.scalar(db.select(AuditEvent.kind).order_by(AuditEvent.id.desc())) == AuditKind.SESSIONS_ENDED


@pytest.mark.both_databases
def test_a_session_is_named_by_nothing_else_and_nobody_else_s_can_be(app: Flask, app_driver: AppDriver) -> None:
    here, sams = sign_in_with(app), sign_in_with(app, email="sam@harbour.test")
    stored = app_driver.do(lambda: db.session.scalars(db.select(LoginSession.id)).all())
    (theirs,) = sessions(sams)
    page = here.get("/account").text
    assert not [one for one in stored if one in page]
    missing = here.post(f"/account/sessions/{'0' * 32}/end")
    for named in (theirs.id, *stored, "0", "x" * 500, "%00", "…", "'"):
        answer = here.post(f"/account/sessions/{named}/end")
        assert (answer.status_code, answer.data) == (404, missing.data)
    assert is_signed_in(sams)


def test_ending_one_s_own_is_signing_out(app: Flask) -> None:
    here = sign_in_with(app)
    (this,) = sessions(here)
    cookie = session_cookie(here)
    answer = here.post(f"/account/sessions/{this.id}/end")
    assert (answer.status_code, answer.location) == (303, "/login")
    assert not is_signed_in(here)
    assert not is_signed_in(browser_with(app, cookie))


@pytest.mark.both_databases
def test_all_others_end_at_once_also_those_that_a_shell_began(app: Flask, app_driver: AppDriver) -> None:
    register(app, HARBOUR)
    shells = Browser(app)
    assert hand_over(shells, signed(says(email=ADA))).status_code == 303
    others = [sign_in_with(app) for _ in range(2)]
    here, sams = sign_in_with(app), sign_in_with(app, email="sam@harbour.test")
    listed = sessions(here)
    assert len(listed) == 4
    (through,) = [one for one in listed if "Through another program" in one.words]
    assert "for Harbour Tours only" in through.words
    answer = here.post("/account/sessions/end-others", htmx=True)
    assert answer.status_code == 200
    assert "3 other sessions have ended." in answer.text
    assert not any(map(is_signed_in, [*others, shells]))
    assert is_signed_in(sams)
    assert len(sessions(here)) == 1
    assert "You have no other sessions." in here.post("/account/sessions/end-others", htmx=True).text


def test_who_was_signed_out_meanwhile_ends_nothing(app: Flask, app_driver: AppDriver) -> None:
    owner, thief = sign_in_with(app), sign_in_with(app)
    (other,) = [one for one in sessions(thief) if not one.is_this]
    thief.csrf_token()
    assert owner.post("/account/sessions/end-others").status_code == 303
    for path in (f"/account/sessions/{other.id}/end", "/account/sessions/end-others"):
        answer = thief.post(path)
        assert (answer.status_code, answer.location) == (302, "/login?ended=")
    assert is_signed_in(owner)


def test_the_session_is_looked_for_again_where_something_is_changed(app: Flask, app_driver: AppDriver) -> None:
    """The guard saw it, and it ended before the change began."""
    owner, thief, sams = sign_in_with(app), sign_in_with(app), sign_in_with(app, email="sam@harbour.test")
    (other,) = [one for one in sessions(thief) if not one.is_this]
    ended, user_id = token_of(thief), app_driver.user(ADA).id
    assert owner.post("/account/sessions/end-others").status_code == 303
    before = everything(app)
    for token in (ended, token_of(sams)):
        for change, *more in ((rename, "Mallory"), (end_session, other.id), (end_other_sessions,)):
            with pytest.raises(SessionEnded):
                app_driver.do(change, user_id, token, *more)
    assert everything(app) == before


@pytest.mark.both_databases
def test_it_is_noted_every_ten_minutes_when_a_session_was_seen(app: Flask, app_driver: AppDriver) -> None:
    """Of a client who has joined, too, who sees no page of a portal."""
    pages = {ADA: ic(HARBOUR), "carla@client.test": "/portals", "sam@harbour.test": "/account"}
    begun = now()
    for email, page in pages.items():
        browser = sign_in_with(app, email=email)

        def seen(user_id: int = app_driver.user(email).id) -> float:
            at = app_driver.do(
                lambda: db.session.scalar(db.select(LoginSession.last_seen_at).where(LoginSession.user_id == user_id))
            )
            return float((at - begun).total_seconds())

        for minutes, expected in ((5, 0), (11, 11), (15, 11), (22, 22)):
            with time_machine.travel(begun + timedelta(minutes=minutes), tick=False):
                assert browser.get(page).status_code == 200
            assert abs(seen() - expected * 60) < 20, (email, minutes)
