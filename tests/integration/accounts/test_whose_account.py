"""The owner of an address always gets in, and nothing of a stranger who registered with it is left."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import select

from app.core.links import LinkClaim, LinkKind, make_url
from app.db.transactions import transaction
from app.extensions import db
from app.models import ShellAccount, User
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.accounts.nora import NORA, OWN, STRANGERS, link_to_shell, verification_link
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, words
from tests.support.factories import OTHER_PASSWORD, PASSWORD, counted_as, make_user
from tests.support.shell import hand_over, says, signed
from tests.support.shell import register as register_shell
from tests.support.smtp import MailServer


@pytest.mark.both_databases
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


def test_a_browser_that_is_signed_in_to_the_account_verifies_with_one_press(
    app: Flask, app_driver: AppDriver, stranger: Browser
) -> None:
    at_home = Browser(app)
    assert at_home.sign_in(NORA, STRANGERS["password"]).status_code == 303
    assert at_home.post(verification_link(app_driver)).status_code == 303


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


@pytest.mark.both_databases
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


def test_who_is_signed_in_is_told_that_the_verification_mail_was_refused(
    app_driver: AppDriver, stranger: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    mail_server.refuse[NORA] = "550 5.1.1 no such mailbox"
    outbox.flush()
    assert stranger.sign_in(NORA, STRANGERS["password"]).status_code == 303
    told = words(parse(stranger.get("/verify-email?sent=1")).select_one("main"))
    assert "couldn't be delivered" in told
    assert "is on its way" not in told
    assert "no such mailbox" not in told
    mail_server.refuse.clear()
    assert stranger.post("/verify-email").status_code == 303
    assert "couldn't be delivered" not in stranger.get("/verify-email?sent=1").text
    outbox.flush()
    assert stranger.post(mail_server.wait_for(NORA).link).status_code == 303
