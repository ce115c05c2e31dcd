"""The page of one's own account, and one's name."""

from __future__ import annotations

import pytest
from flask import Flask

from app.core.text import fold
from app.db.transactions import transaction
from app.extensions import db
from app.models import AuditEvent, AuditKind, User
from tests.conftest import HARBOUR
from tests.integration.accounts.nora import NORA, STRANGERS
from tests.integration.accounts.owner import CHANGE, sessions, sign_in_with, told
from tests.integration.accounts.signing_in import ADA
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, field_errors, parse, words
from tests.support.databases import everything
from tests.support.factories import PASSWORD
from tests.support.shell import hand_over, register, says, signed

POSTS = ("/account", "/account/password", "/account/sessions/end-others", f"/account/sessions/{'0' * 32}/end")


def kinds(app: Flask) -> list[AuditKind]:
    with app.app_context():
        return list(db.session.scalars(db.select(AuditEvent.kind).order_by(AuditEvent.id)))


@pytest.mark.parametrize("email", [ADA, "sam@harbour.test", "carla@client.test"])
def test_everyone_who_has_signed_in_has_one_and_finds_it(app: Flask, email: str) -> None:
    browser = sign_in_with(app, email=email)
    page = parse(browser.get("/account"))
    assert email in words(page.main)
    assert page.select_one("[name=name]")["value"]
    assert parse(browser.get("/portals")).select_one("a[href='/account']")
    if email == ADA:
        portal = parse(browser.get(f"/portals/{HARBOUR}/settings/accounts"))
        assert words(portal.select_one(".topbar [popovertarget=account-menu]")) == "Ada Berg"
        assert portal.select_one("#account-menu a[href='/account']")


def test_who_is_handed_over_by_a_shell_is_not_offered_it(app: Flask, nobody: Browser) -> None:
    """Their shell looks after their account: the page does not exist for them."""
    register(app, HARBOUR)
    handed = Browser(app)
    assert hand_over(handed, signed(says())).status_code == 303
    for page in (f"/portals/{HARBOUR}/settings/accounts", "/portals"):
        shown = handed.get(page)
        assert shown.status_code == 200
        assert 'href="/account"' not in shown.text
    for htmx in (False, True):
        missing = nobody.get("/no/such/page", htmx=htmx)
        assert handed.get("/account", htmx=htmx).data == missing.data
        for path in POSTS:
            refused = handed.post(path, {**CHANGE, "name": "Another Name"}, htmx=htmx)
            assert (refused.status_code, refused.data) == (404, missing.data), path


def test_without_a_session_one_signs_in_and_comes_back(app: Flask, nobody: Browser) -> None:
    assert nobody.get("/account").location == "/login?next=/account"
    browser = sign_in_with(app)
    browser.post("/logout")
    # The form of an open page: its token has gone with the session.
    came_from = {"Referer": "http://clients.harbour.test/account"}
    for path in POSTS:
        for csrf in (False, True):
            answer = browser.post(path, {"name": "Ada Bergson"}, csrf=csrf, headers=came_from)
            assert (answer.status_code, answer.location) == (302, "/login?next=/account"), path
    assert browser.post("/account", {"name": "Ada"}, headers=HTMX).status_code == 401


def test_an_address_that_is_not_verified_has_to_be_first(app: Flask, app_driver: AppDriver, stranger: Browser) -> None:
    """Whoever registered with a forwarded link changes nothing of the account."""
    assert stranger.sign_in(NORA, STRANGERS["password"]).status_code == 303
    before = everything(app)
    for answer in (stranger.get("/account"), *(stranger.post(path, {"name": "Mallory"}) for path in POSTS)):
        assert answer.location == "/verify-email?next=/account"
    assert everything(app) == before


def test_a_new_name_is_saved_folded_and_in_the_trail(app: Flask, app_driver: AppDriver) -> None:
    browser = sign_in_with(app)
    answer = browser.post("/account", {"name": "  Åda   Bergström ", "email": "other@harbour.test"})
    assert (answer.status_code, answer.location) == (303, "/account")
    assert told(browser) == "Your name is saved."
    user = app_driver.user(ADA)
    assert (user.name, user.name_folded) == ("Åda Bergström", fold("Åda Bergström"))
    assert kinds(app)[-1] is AuditKind.NAME_CHANGED
    # Saved once more, it is no change.
    before = len(kinds(app))
    fragment = browser.post("/account", {"name": "Åda Bergström"}, htmx=True)
    assert (fragment.status_code, fragment.headers["HX-Retarget"]) == (200, "#page-status")
    assert len(kinds(app)) == before


def test_what_is_no_name_is_refused_with_the_form(app: Flask) -> None:
    browser = sign_in_with(app)
    before = everything(app)
    for name in ("", "   ", "x" * 101, "<b>Ada</b>", "Ada\u202e", "Ada\0"):
        refused = browser.post("/account", {"name": name})
        assert refused.status_code == 422, name
        assert field_errors(refused).keys() == {"name"}, name
        assert parse(refused).title.text.startswith("Error: "), name
        fragment = browser.post("/account", {"name": name}, htmx=True)
        assert fragment.status_code == 422, name
        assert field_errors(fragment) == field_errors(refused), name
        assert parse(fragment).html is None, name
        assert everything(app) == before, name


def test_an_account_without_a_password_is_told_how_to_get_one(app: Flask, app_driver: AppDriver) -> None:
    browser = sign_in_with(app)

    def empty() -> None:
        with transaction() as session:
            session.execute(db.update(User).where(User.email == ADA).values(password_hash=""))

    app_driver.do(empty)
    page = parse(browser.get("/account"))
    assert page.select("[name=current_password]") == []
    assert "Forgot your password?" in words(page.select_one("section[aria-labelledby=password-title]"))
    refused = browser.post("/account/password", CHANGE)
    assert refused.status_code == 422
    assert len(sessions(browser)) == 1
    assert app_driver.user(ADA).password_hash == ""
    assert PASSWORD not in page.text
