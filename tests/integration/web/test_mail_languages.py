"""Mails to invitees are in their portal's language, with dates as it says them, and any server passes them on."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask_babel import force_locale

from app.outbox.render import expiry_text
from tests.conftest import ALPINE, Outbox
from tests.integration.web.languages import (
    INVITEE,
    NORA,
    SAYS,
    assert_in,
    every_language,
    invite_to_alpine,
    on_sqlite,
    verification_link,
)
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.factories import make_user
from tests.support.smtp import MailServer, Taken


@every_language
def test_an_invitation_is_mailed_in_its_portal_s_language(
    language: str,
    speaks: Callable[..., None],
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
) -> None:
    speaks(language)
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    mail = mail_server.wait_for(INVITEE)
    assert mail.message["Subject"] == SAYS[language]["subject"]
    assert mail.link == app_driver.link(client_id)
    assert_in(language, mail.html)
    assert SAYS[language]["accept"] in mail.html
    for part in (mail.text, mail.html):
        assert SAYS[language]["days"] in part.replace("\n", " ")
    assert_sendable(mail)


@every_language
def test_a_verification_is_mailed_in_the_language_of_the_portal(
    language: str,
    speaks: Callable[..., None],
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    nobody: Browser,
) -> None:
    speaks(language)
    assert nobody.post(app_driver.link(app_driver.invite(INVITEE)), NORA).status_code == 303
    outbox.flush()
    mail = mail_server.wait_for(INVITEE)
    assert mail.message["Subject"] == SAYS[language]["verify"]
    assert mail.link == verification_link(app_driver)
    assert_in(language, mail.html)
    assert_sendable(mail)


@on_sqlite
def test_a_new_password_is_mailed_in_the_language_of_the_page_where_it_was_asked_for(
    app: Flask, speaks: Callable[..., None], app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    app_driver.do(make_user, INVITEE, "Nora Wind")
    invited = Browser(app)
    speaks("ar")
    invited.get(app_driver.link(app_driver.invite(INVITEE)))
    invited.post("/password-reset", {"email": INVITEE})
    outbox.flush()
    mail_server.wait_for(INVITEE, count=2)
    (mail,) = [mail for mail in mail_server.to(INVITEE) if "/password-reset/" in mail.text]
    assert mail.message["Subject"] == "اختيار كلمة مرور جديدة لحسابك في Bakuun"
    assert_in("ar", mail.html)
    assert_sendable(mail)


@on_sqlite
def test_portals_mails_of_one_moment_are_each_in_their_own_language(
    speaks: Callable[..., None], app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    speaks("ar")
    speaks("de", ALPINE)
    for n in range(8):
        app_driver.invite(f"harbour{n}@client.test")
        app_driver.do(invite_to_alpine, f"alpine{n}@client.test")
    outbox.flush()
    for n in range(8):
        assert "حتى" in mail_server.wait_for(f"harbour{n}@client.test").text
        assert "bis zum" in mail_server.wait_for(f"alpine{n}@client.test").text


def assert_sendable(mail: Taken) -> None:
    """What any server passes on, and any mail program shows as it was meant: lines of sensible length."""
    lines = mail.raw.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    head = mail.raw.partition(b"\r\n\r\n")[0]
    assert head.isascii()
    (subject,) = re.findall(rb"^Subject: [^\r]*(?:\r\n [^\r]*)*", head, re.MULTILINE)
    assert max(map(len, subject.split(b"\r\n"))) <= 76  # RFC 2047, 2
    own = [line for line in mail.text.splitlines() if "://" not in line and "@" not in line]
    assert max(map(len, own)) <= 78


@on_sqlite
@pytest.mark.parametrize(
    "language,said",
    [
        ("en", "5 March 2026, 14:00 UTC"),
        ("de", "5. März 2026, 14:00 UTC"),
        ("fr", "5 mars 2026 à 14:00 UTC"),
        ("es", "5 de marzo de 2026, 14:00 UTC"),
        ("ar", "5 مارس 2026، الساعة 14:00 UTC"),
    ],
)
def test_dates_are_said_as_the_language_says_them(app: Flask, language: str, said: str) -> None:
    with app.app_context(), force_locale(language):
        assert expiry_text(datetime(2026, 3, 5, 14, 0, tzinfo=UTC)) == said
