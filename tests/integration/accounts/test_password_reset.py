"""A forgotten password is replaced by mail, and asking for that tells nobody who has an account."""

from __future__ import annotations

from flask import Flask
from werkzeug.test import TestResponse

from tests.conftest import Outbox
from tests.integration.accounts.signing_in import ADA, answer, is_signed_in, later
from tests.support.browser import Browser
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.smtp import MailServer


def ask_for_reset(browser: Browser, email: str) -> TestResponse:
    return browser.post("/password-reset", {"email": email})


def test_a_forgotten_password_is_replaced_by_mail(
    app: Flask, nobody: Browser, admin: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    assert ask_for_reset(nobody, " Ada@Harbour.TEST").status_code == 303
    outbox.flush()
    older = mail_server.wait_for(ADA).link
    assert ask_for_reset(nobody, ADA).status_code == 303
    outbox.flush()
    link = mail_server.wait_for(ADA, count=2).link
    assert link.startswith("http://clients.harbour.test/password-reset/")

    # A newer link replaces the older one, and opening a link changes nothing.
    assert nobody.get(older).status_code == 410
    assert nobody.post(older, {"password": OTHER_PASSWORD}).status_code == 410
    for _ in range(3):
        assert nobody.get(link).status_code == 200
        assert nobody.client.head(link).status_code == 200
    for weak in ("", "short", "password1234", "all the bergs of norway", "x" * 129):
        assert nobody.post(link, {"password": weak}).status_code == 422, weak
    assert is_signed_in(admin)

    chosen = nobody.post(link, {"password": OTHER_PASSWORD})
    assert (chosen.status_code, chosen.location) == (303, "/login?reset=1")
    # Nobody is signed in by a link alone, and whoever was signed in no longer is.
    assert not is_signed_in(nobody)
    assert not is_signed_in(admin)
    assert nobody.sign_in(ADA, PASSWORD).status_code == 422
    assert nobody.sign_in(ADA, OTHER_PASSWORD).status_code == 303
    for spent in (nobody.get(link), nobody.post(link, {"password": PASSWORD})):
        assert spent.status_code == 410
        assert "used or replaced" in spent.text
    assert Browser(app).sign_in(ADA, OTHER_PASSWORD).status_code == 303


def test_asking_for_a_reset_does_not_tell_who_has_an_account(
    nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    known = ask_for_reset(nobody, ADA)
    assert known.status_code == 303
    for other in ("nobody@harbour.test", "no address at all", "", "\0", "x" * 9999):
        assert answer(ask_for_reset(nobody, other)) == answer(known)
    outbox.flush()
    assert [mail.recipient for mail in mail_server.mails] == [ADA]


def test_asking_again_and_again_fills_no_mailbox_and_kills_no_link(
    nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    for _ in range(5):
        assert ask_for_reset(nobody, ADA).status_code == 303
        outbox.flush()
    assert len(mail_server.to(ADA)) == 5
    unheard = ask_for_reset(nobody, ADA)
    outbox.flush()
    assert answer(unheard) == answer(ask_for_reset(nobody, "nobody@harbour.test"))
    assert len(mail_server.to(ADA)) == 5
    assert nobody.get(mail_server.to(ADA)[-1].link).status_code == 200


def test_a_reset_link_lives_for_an_hour_from_its_hand_over(
    nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    ask_for_reset(nobody, ADA)
    with later(6 * 60 * 60):
        # The mail server took it only now.
        outbox.flush()
        link = mail_server.wait_for(ADA).link
        assert nobody.get(link).status_code == 200
        with later(3590):
            assert nobody.get(link).status_code == 200
        with later(3600):
            assert nobody.get(link).status_code == 410
            late = nobody.post(link, {"password": OTHER_PASSWORD})
            assert late.status_code == 410
            assert "expired" in late.text
