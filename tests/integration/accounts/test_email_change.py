"""One changes the address of one's own account: both addresses confirm, and until then nothing changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from app.extensions import db
from app.jobs.schedule import run_job
from app.models import AuditEvent, AuditKind, EmailChange, MailKind, MailState, OutboxMail
from tests.conftest import HARBOUR, Outbox
from tests.integration.accounts.moving import ASKED, ASKED_NEW, CHANGED, NEW, ask, heading, links, mails, move, waiting
from tests.integration.accounts.owner import sign_in_with, told
from tests.integration.accounts.signing_in import ADA, answer, is_signed_in, later
from tests.integration.cli.running import run
from tests.integration.registration.invitee import INVITEE, register
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, path_of
from tests.support.factories import OTHER_PASSWORD, PASSWORD, make_user
from tests.support.shell import hand_over
from tests.support.shell import register as register_shell
from tests.support.smtp import MailServer
from tests.support.together import at_once

SENT = "We sent an email to both addresses. Your address changes once you have confirmed both."
TAKEN = ("ben@harbour.test", "gone@harbour.test", "free@harbour.test")
OVER = "This change was cancelled or replaced"
DONE = "The email address was changed"


@pytest.mark.parametrize(
    "database_url, new_first",
    [("sqlite", False), ("sqlite", True), ("postgresql", False)],
    indirect=["database_url"],
)
def test_both_addresses_confirm_in_any_order(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, new_first: bool
) -> None:
    elsewhere, browser = sign_in_with(app), sign_in_with(app, address="198.51.100.23")
    browser.post("/password-reset", {"email": ADA})
    assert (ask(browser).status_code, told(browser)) == (303, SENT)
    assert "open the link in our email" in (waiting(browser) or "")
    present, new = links(outbox, mail_server)
    (reset,) = (mail.link for mail in mails(mail_server, ADA, "Choose a new password for your Bakuun account"))
    for mail in (mails(mail_server, ADA, ASKED)[0], mails(mail_server, NEW, ASKED_NEW)[0]):
        for part in (mail.text, mail.html):
            assert "24 hours" in " ".join(part.split())
            assert ADA in part
            assert NEW in part
    first, second = (new, present) if new_first else (present, new)
    before = app_driver.dump()
    for link in (present, new):
        assert Browser(app).get(link).status_code == 200
        assert Browser(app).send("HEAD", path_of(link)).status_code == 200
    assert app_driver.dump() == before

    scanner = Browser(app)
    assert scanner.post(first).status_code == 303
    assert heading(scanner.get(first)) == "Confirmed"
    assert scanner.post(first).status_code == 303  # twice is once
    assert app_driver.user(ADA)
    shown = waiting(browser) or ""
    assert f"{NEW if new_first else ADA} : confirmed" in shown
    assert f"{ADA if new_first else NEW} : open the link" in shown

    assert browser.post(second).location == "/email-changed"
    browser.forget_csrf_token()
    assert not app_driver.has_account(ADA)
    assert waiting(browser) is None
    assert is_signed_in(browser)
    assert not is_signed_in(elsewhere)
    for link in (present, new):
        assert (browser.get(link).status_code, heading(browser.get(link))) == (410, DONE)
    assert browser.get(reset).status_code == 410
    browser.post("/logout")
    assert browser.sign_in(ADA, PASSWORD).status_code == 422
    assert browser.sign_in(NEW, PASSWORD).status_code == 303
    outbox.flush()
    for email in (ADA, NEW):
        (notice,) = mails(mail_server, email, CHANGED)
        assert "198.51.100.0/24" in notice.text
        assert NEW in notice.text
        assert notice.link == "http://clients.harbour.test/account"
    # The browser was known to the account, and still is: nobody is told of a new one.
    assert not mails(mail_server, NEW, "New sign-in to your Bakuun account")
    lines = app_driver.do(lambda: db.session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all())
    (line,) = (line for line in lines if line.kind is AuditKind.EMAIL_CHANGED)
    assert (line.portal_id, line.change) == (HARBOUR, {"email": "changed"})


def test_what_is_refused_changes_nothing_and_says_why(app: Flask) -> None:
    browser = sign_in_with(app)
    for typed, wrong in (
        ({"current_password": "not this one at all"}, "password-for-email"),
        ({"current_password": ""}, "password-for-email"),
        ({"email": "ada"}, "new-email"),
        ({"email": ""}, "new-email"),
        ({"email": " ADA@harbour.test"}, "new-email"),
    ):
        refused = ask(browser, **typed)
        assert refused.status_code == 422, typed
        assert field_errors(refused).keys() == {wrong}, typed
        assert waiting(browser) is None, typed
        assert "<html" not in browser.post("/account/email", typed, htmx=True).text


def test_a_taken_address_is_answered_like_any_other(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    """Only its own mailbox learns it, by its press."""
    app_driver.do(make_user, "ben@harbour.test", "Ben Dahl")
    app_driver.do(make_user, "gone@harbour.test", "Gone")
    assert run(app, "user", "disable", "--email", "gone@harbour.test").exit_code == 0
    asked = []
    for taken in TAKEN:
        browser = sign_in_with(app)
        asked.append(answer(ask(browser, email=taken), taken))
        present, new = links(outbox, mail_server, new=taken)
        assert Browser(app).post(present).status_code == 303
        asked[-1] += (answer(Browser(app).get(present), taken, present[-50:])[:2], waiting(browser))
        confirmed = Browser(app).post(new)
        if taken != "free@harbour.test":
            assert (confirmed.status_code, heading(confirmed)) == (409, "This address already has an account")
            assert heading(browser.get(present)) == OVER
            assert waiting(browser) is None
    assert confirmed.status_code == 303
    assert len({repr(one).replace(email, "") for one, email in zip(asked, TAKEN, strict=True)}) == 1
    assert app_driver.user("ben@harbour.test").name == "Ben Dahl"


def test_of_two_links_only_those_of_the_newest_request_work_and_for_a_day(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    browser = sign_in_with(app)
    ask(browser)
    older = links(outbox, mail_server)
    ask(browser, email="ada@elsewhere.test")
    newer = links(outbox, mail_server, new="ada@elsewhere.test")
    for link in older:
        assert (browser.get(link).status_code, heading(browser.post(link))) == (410, OVER)
    # A link of one address is none of the other's, nor of anything else.
    for link in (newer[0].replace("email-change", "new-email"), newer[1].replace("new-email", "verify-email")):
        assert browser.get(link).status_code == 404
    with later(24 * 3600 - 60):
        assert Browser(app).post(newer[0]).status_code == 303
    with later(24 * 3600 + 60):
        dead = Browser(app).post(newer[1])
        assert (dead.status_code, heading(dead)) == (410, "This link has expired")
        assert run_job(app, "prune")
    assert app_driver.do(lambda: db.session.scalar(select(EmailChange.email))) is None
    assert app_driver.user(ADA)


@pytest.mark.parametrize(
    "give_up",
    [
        lambda browser, app, links: browser.post("/account/email/cancel"),
        lambda browser, app, links: Browser(app).post(f"{links[0]}/refuse"),
        lambda browser, app, links: Browser(app).post(f"{links[1]}/refuse"),
        lambda browser, app, links: run(app, "user", "disable", "--email", ADA),
        lambda browser, app, links: run(app, "user", "set-password", "--email", ADA, "--password", OTHER_PASSWORD),
    ],
    ids=["cancelled", "refused", "refused by the new one", "disabled", "another password by an operator"],
)
def test_a_change_that_is_given_up_is_over(
    app: Flask,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    give_up: Callable[[Browser, Flask, tuple[str, str]], object],
) -> None:
    browser = sign_in_with(app)
    ask(browser)
    both = links(outbox, mail_server)
    assert Browser(app).post(both[1]).status_code == 303
    give_up(browser, app, both)
    for link in both:
        dead = Browser(app).post(link)
        assert (dead.status_code, heading(dead)) == (410, OVER)
    assert app_driver.user(ADA)
    assert not app_driver.has_account(NEW)


@pytest.mark.both_databases
def test_of_two_accounts_that_want_the_same_address_one_gets_it(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    app_driver.do(make_user, "ben@harbour.test", "Ben Dahl")
    last = []
    for email in (ADA, "ben@harbour.test"):
        ask(sign_in_with(app, email=email))
        present, new = links(outbox, mail_server, email)
        assert Browser(app).post(new).status_code == 303
        last.append(present)
    answers = at_once([lambda link=link: Browser(app).post(link) for link in last])  # type: ignore[misc]
    assert sorted(one.status_code for one in answers) == [303, 409]
    (loser,) = (one for one in answers if one.status_code == 409)
    assert heading(loser) == "This address already has an account"
    left = {email for email in (ADA, "ben@harbour.test") if app_driver.has_account(email)}
    assert len(left) == 1
    assert app_driver.has_account(NEW)
    assert app_driver.do(lambda: db.session.scalars(select(EmailChange.email)).all()) == []


@pytest.mark.both_databases
def test_both_presses_at_once_change_it_once(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    ask(sign_in_with(app))
    both = links(outbox, mail_server)
    answers = at_once([lambda link=link: Browser(app).post(link) for link in both * 2])  # type: ignore[misc]
    assert {one.status_code for one in answers} <= {303, 410}
    assert app_driver.has_account(NEW)
    outbox.flush()
    assert [len(mails(mail_server, email, CHANGED)) for email in (ADA, NEW)] == [1, 1]


@pytest.mark.both_databases
def test_whoever_registered_with_the_address_and_never_proved_it_gives_way(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    """As where an operator makes the account. The invitation can be used again."""
    client_id = register(app_driver, INVITEE)
    stranger = app_driver.user(INVITEE).id
    move(app, outbox, mail_server, new=INVITEE)
    assert app_driver.user(INVITEE).id != stranger
    client = app_driver.client(INVITEE)
    assert (client.user_id, client.registered_at, client.account_email) == (None, None, None)
    # Its owner now has an account, and accepts with that.
    owner = sign_in_with(app, email=INVITEE)
    assert owner.post(app_driver.link(client_id)).status_code == 303
    assert app_driver.client(INVITEE).is_joined


def test_somebody_who_registers_with_it_meanwhile_and_proves_it_keeps_it(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    ask(sign_in_with(app))
    present, new = links(outbox, mail_server)
    assert Browser(app).post(new).status_code == 303
    app_driver.do(make_user, NEW, "Somebody Else")
    refused = Browser(app).post(present)
    assert (refused.status_code, heading(refused)) == (409, "This address already has an account")
    assert app_driver.user(NEW).name == "Somebody Else"
    assert app_driver.user(ADA)


def test_a_mail_that_cannot_be_delivered_is_told_and_its_link_is_dead(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    browser = sign_in_with(app)
    ask(browser)
    _present, new = links(outbox, mail_server)
    (mail,) = (one for one in app_driver.mails() if one.kind is MailKind.EMAIL_CHANGE_NEW)
    app_driver.change_mail(mail.id, state=MailState.FAILED, unknown_outcomes=0)
    assert f"{NEW} : our email couldn't be delivered" in (waiting(browser) or "")
    assert Browser(app).post(new).status_code == 410


def test_nobody_asks_but_whoever_has_proved_the_address_and_signed_in(app: Flask, app_driver: AppDriver) -> None:
    nobody = Browser(app)
    assert ask(nobody).location.startswith("/login")
    register_shell(app, HARBOUR)
    handed = Browser(app)
    assert hand_over(handed).status_code == 303
    assert ask(handed).status_code == 404
    app_driver.do(make_user, "new@harbour.test", "New", verified=False)
    unproven = Browser(app)
    assert unproven.sign_in("new@harbour.test", PASSWORD).status_code == 303
    assert ask(unproven).location.startswith("/verify-email")
    ended = sign_in_with(app)
    ended.get("/account")
    assert run(app, "user", "sessions-end", "--email", ADA).exit_code == 0
    assert ask(ended).location.startswith("/login?ended=")
    assert app_driver.do(lambda: db.session.scalars(select(OutboxMail.recipient)).all()) == []


def test_nobody_is_mailed_without_end(app: Flask, outbox: Outbox, mail_server: MailServer) -> None:
    browser = sign_in_with(app)
    for _ in range(5):
        assert ask(browser).status_code == 303
    limited = ask(browser)
    assert limited.status_code == 429
    assert "Too many attempts" in field_errors(limited)["password-for-email"]
    assert limited.headers["Retry-After"]
    outbox.flush()
    # Only the newest request is mailed, if the others still wait.
    assert len(mails(mail_server, NEW, ASKED_NEW)) == 1


def test_one_can_go_back_to_the_former_address(
    app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    move(app, outbox, mail_server)
    move(app, outbox, mail_server, present=NEW, new=ADA)
    assert app_driver.user(ADA)
    assert not app_driver.has_account(NEW)
