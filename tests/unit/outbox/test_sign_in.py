"""Signing in: the best mechanism that the server offers, tried once, whatever letters the password has."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from app.outbox.errors import ServerMisconfigured, ServerUnavailable
from app.outbox.smtp import SmtpConnection
from app.outbox.smtp_session import MailServer
from tests.support.scripted_smtp import Reply, ScriptedSmtp
from tests.unit.outbox.sending import Inbox, a_mail, at, failure_of, running

USER, PASSWORD = "büro@harbour.example", "geheimnisträger 旅 :"
CHALLENGE = b"<1896.697170952@mail.example>"


@dataclass
class Account(Inbox):
    """A real server with one account, which also knows CRAM-MD5."""

    async def auth_CRAM__MD5(self, server: SMTP, _args: list[str]) -> AuthResult:
        proof = await server.challenge_auth(CHALLENGE)
        expected = hmac.new(PASSWORD.encode(), CHALLENGE, "md5").hexdigest()
        return AuthResult(success=proof == f"{USER} {expected}".encode(), handled=False)


def check(_server: Any, _session: Any, _envelope: Any, _how: str, given: Any) -> AuthResult:
    return AuthResult(success=given == LoginPassword(USER.encode(), PASSWORD.encode()), handled=False)


@pytest.mark.parametrize("left_out", [[], ["PLAIN"], ["PLAIN", "LOGIN"]], ids=["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.filterwarnings("ignore:Session.login_data:DeprecationWarning", "ignore:Requiring AUTH:UserWarning")
def test_letters_of_any_language(left_out: list[str]) -> None:
    account = Account()
    options = {"auth_required": True, "auth_require_tls": False, "authenticator": check}
    with running(account, **options, auth_exclude_mechanism=left_out) as port:
        server = MailServer("127.0.0.1", port, "none", username=USER, password=PASSWORD)
        with SmtpConnection(server) as connection:
            connection.send(a_mail())
        wrong = MailServer("127.0.0.1", port, "none", username=USER, password=PASSWORD + "x")
        assert type(failure_of(wrong)) is ServerMisconfigured
    assert len(account.envelopes) == 1


@pytest.mark.parametrize(
    ("offered", "first"),
    [
        ("CRAM-MD5 LOGIN PLAIN", "AUTH PLAIN AG1lAHB3"),
        ("CRAM-MD5 LOGIN XOAUTH2", "AUTH LOGIN"),
        ("DIGEST-MD5 cram-md5", "AUTH CRAM-MD5"),
    ],
)
def test_one_mechanism_is_tried_once(offered: str, first: str) -> None:
    script = {"auth": Reply("535 5.7.8 no")}
    with ScriptedSmtp(script, offer_auth=offered) as server:  # type: ignore[arg-type]
        failure = failure_of(at(server, username="me", password="pw"))
    assert type(failure) is ServerMisconfigured
    assert [command for command in server.commands if command.upper().startswith("AUTH")] == [first]
    assert server.connections == 1
    assert failure.reason == (
        "The mail server refused the user name or password. Check both. Mail server's reply: 535 5.7.8 no"
    )


def test_a_server_that_cannot_check_now_is_asked_later() -> None:
    with ScriptedSmtp({"auth": Reply("454 4.7.0 directory away")}, offer_auth=True) as server:
        failure = failure_of(at(server, username="me", password="pw"))
    assert type(failure) is ServerUnavailable
    assert failure.reason.endswith("Mail server's reply: 454 4.7.0 directory away")
    assert server.verbs.count("AUTH") == 1


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        ("534 5.7.9 application-specific password required", "app password"),
        ("538 5.7.11 encryption required", "STARTTLS"),
        ("503 5.5.1 authentication not enabled", "refused the sign-in"),
        ("250 what?", "refused the sign-in"),
    ],
)
def test_a_refusal_says_what_to_do(reply: str, hint: str) -> None:
    with ScriptedSmtp({"auth": Reply(reply)}, offer_auth=True) as server:
        failure = failure_of(at(server, username="me", password="pw"))
    assert type(failure) is ServerMisconfigured
    assert hint in failure.reason
    assert "MAIL" not in server.verbs


def test_a_server_that_never_has_enough_is_left() -> None:
    with ScriptedSmtp({"auth": Reply("334 more")}, offer_auth=True) as server:
        failure = failure_of(at(server, username="me", password="pw"))
    assert type(failure) is ServerMisconfigured
    assert server.verbs[-2:] == ["AUTH", "*"]


def test_ways_to_sign_in_that_we_do_not_know_are_named() -> None:
    with ScriptedSmtp(offer_auth="XOAUTH2 GSSAPI") as server:
        failure = failure_of(at(server, username="me", password="pw"))
    assert type(failure) is ServerMisconfigured
    assert "XOAUTH2, GSSAPI" in failure.reason
    assert "AUTH" not in server.verbs


@pytest.mark.parametrize("password", ["nul\0", "half \ud800 a character"])
def test_a_password_that_cannot_be_sent(password: str) -> None:
    with ScriptedSmtp(offer_auth=True) as server:
        failure = failure_of(at(server, username="me", password=password))
    assert type(failure) is ServerMisconfigured
    assert "cannot be sent" in failure.reason
    assert "AUTH" not in server.verbs
