"""Mails and passwords go encrypted where they have to, to a server that is who it says, or not at all."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import AuthResult, LoginPassword

from app.outbox.errors import AmbiguousOutcome, DeliveryError, ServerMisconfigured, ServerUnavailable
from app.outbox.smtp import SmtpConnection
from app.outbox.smtp_session import MailServer
from tests.support.scripted_smtp import Act, Close, Drip, Hang, Reply, ScriptedSmtp, Step
from tests.unit.outbox.sending import IMPATIENT, Inbox, a_mail, at, failure_of, limits_for, running


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_tls(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


SIGNED_IN: dict[str, Any] = {"username": "postmaster", "password": "correct horse"}


class TestTls:
    @pytest.mark.parametrize("tls", ["starttls", "ssl"])
    def test_mail_and_password_go_encrypted(self, authority: trustme.CA, ca_file: str, tls: str) -> None:
        context = server_tls(authority)
        with (
            ScriptedSmtp(tls=context, implicit_tls=tls == "ssl", offer_auth=True) as server,
            SmtpConnection(at(server, tls=tls, ca_file=ca_file, **SIGNED_IN)) as connection,
        ):
            assert connection.send(a_mail())
            assert connection.send(a_mail())

        greeting = ["EHLO", "STARTTLS", "EHLO"] if tls == "starttls" else ["EHLO"]
        a_mails = ["MAIL", "RCPT", "DATA"]
        assert server.verbs == [*greeting, "AUTH", *a_mails, *a_mails, "QUIT"]

    def test_a_real_server_that_wants_both(self, inbox: Inbox, authority: trustme.CA, ca_file: str) -> None:
        wants = {"require_starttls": True, "auth_required": True, "authenticator": only_the_postmaster}
        with running(inbox, tls_context=server_tls(authority), **wants) as port:
            server = MailServer("127.0.0.1", port, "starttls", ca_file=ca_file, **SIGNED_IN)
            with SmtpConnection(server) as connection:
                connection.send(a_mail())
            failure = failure_of(replace(server, password="wrong"))

        assert len(inbox.envelopes) == 1
        assert type(failure) is ServerMisconfigured
        assert "refused the user name or password" in failure.reason
        assert "Mail server's reply: 535 " in failure.reason

    @pytest.mark.parametrize("tls", ["starttls", "ssl"])
    @pytest.mark.parametrize("flaw", ["unknown authority", "another name"])
    def test_a_certificate_that_cannot_be_verified(
        self, authority: trustme.CA, ca_file: str, tls: str, flaw: str
    ) -> None:
        another = flaw == "another name"
        context = server_tls(authority, "mail.elsewhere.example" if another else "127.0.0.1")
        with ScriptedSmtp(tls=context, implicit_tls=tls == "ssl", offer_auth=True) as server:
            failure = failure_of(at(server, tls=tls, ca_file=ca_file if another else None, **SIGNED_IN))
        assert type(failure) is ServerMisconfigured
        assert "certificate is not trusted" in failure.reason
        assert not {"AUTH", "MAIL"} & set(server.verbs)

    def test_starttls_stripped_by_somebody_in_between(self) -> None:
        with ScriptedSmtp(offer_auth=True) as server:
            failure = failure_of(at(server, tls="starttls", **SIGNED_IN))
        assert type(failure) is ServerMisconfigured
        assert "STARTTLS" in failure.reason
        assert server.verbs[0] == "EHLO"
        assert not {"AUTH", "MAIL"} & set(server.verbs)

    @pytest.mark.parametrize(
        ("act", "kind"),
        [
            (Reply("454 4.7.0 not now"), ServerUnavailable),
            (Reply("502 no"), ServerMisconfigured),
            (Reply("220 go ahead\r\n220 but not in TLS"), ServerMisconfigured),
            (Drip(), ServerUnavailable),
        ],
        ids=repr,
    )
    def test_starttls_that_fails(self, act: Act, kind: type[DeliveryError], authority: trustme.CA) -> None:
        with ScriptedSmtp({"starttls": act}, tls=server_tls(authority), offer_auth=True) as server:
            failure = failure_of(at(server, tls="starttls", **SIGNED_IN), **limits_for(act))
        assert type(failure) is kind
        assert not {"AUTH", "MAIL"} & set(server.verbs)

    def test_a_silent_handshake_ends_in_time(self, authority: trustme.CA) -> None:
        with ScriptedSmtp({"handshake": Hang()}, tls=server_tls(authority), implicit_tls=True) as server:
            failure = failure_of(at(server, tls="ssl"), **IMPATIENT)
        assert type(failure) is ServerUnavailable

    def test_a_handshake_gets_no_more_than_what_is_left(self, authority: trustme.CA) -> None:
        script: dict[Step, Act] = {"starttls": Reply("220 go ahead", after=1.0), "handshake": Hang()}
        began = time.monotonic()
        with ScriptedSmtp(script, tls=server_tls(authority)) as server:
            failure = failure_of(at(server, tls="starttls"), deadline=1.3)
        assert type(failure) is ServerUnavailable
        assert time.monotonic() - began < 5, "ten seconds, had it begun to count anew"

    def test_a_verdict_that_drips_under_tls_ends_in_time(self, authority: trustme.CA, ca_file: str) -> None:
        began = time.monotonic()
        with ScriptedSmtp({"body": Drip()}, tls=server_tls(authority)) as server:
            failure = failure_of(at(server, tls="starttls", ca_file=ca_file), **IMPATIENT)
        assert type(failure) is AmbiguousOutcome
        assert time.monotonic() - began < 5


class TestSigningIn:
    def test_in_clear_text_only_on_this_machine(self) -> None:
        with (
            ScriptedSmtp(offer_auth=True) as server,
            SmtpConnection(at(server, **SIGNED_IN)) as connection,
        ):
            assert connection.send(a_mail())
        assert "AUTH" in server.verbs

    def test_never_in_clear_text_over_the_network(self) -> None:
        with ScriptedSmtp(offer_auth=True, host=own_network_address()) as server:
            failure = failure_of(at(server, **SIGNED_IN))
        assert type(failure) is ServerMisconfigured
        assert "not encrypted" in failure.reason
        assert not {"AUTH", "MAIL"} & set(server.verbs)

    @pytest.mark.parametrize(
        ("act", "kind"),
        [
            (Reply("535 5.7.8 wrong password"), ServerMisconfigured),
            (Reply("454 4.7.0 try again"), ServerUnavailable),
            (Close(), ServerUnavailable),
            (Hang(), ServerUnavailable),
            (Drip(), ServerUnavailable),
        ],
        ids=repr,
    )
    def test_that_fails_burns_no_mail(self, act: Act, kind: type[DeliveryError]) -> None:
        with ScriptedSmtp({"auth": act}, offer_auth=True) as server:
            failure = failure_of(at(server, **SIGNED_IN), **limits_for(act))
        assert type(failure) is kind
        assert "MAIL" not in server.verbs

    def test_that_the_server_does_not_offer(self) -> None:
        with ScriptedSmtp() as server:
            failure = failure_of(at(server, **SIGNED_IN))
        assert type(failure) is ServerMisconfigured
        assert "AUTH" in failure.reason
        assert "MAIL" not in server.verbs

    def test_the_password_is_not_shown(self) -> None:
        assert "correct horse" not in repr(MailServer("h", 25, "ssl", **SIGNED_IN))


def only_the_postmaster(_server: Any, _session: Any, _envelope: Any, _how: str, given: Any) -> AuthResult:
    return AuthResult(success=given == LoginPassword(b"postmaster", b"correct horse"), handled=False)


def own_network_address() -> str:
    """An address of this machine that is not loopback. Nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        address: str = probe.getsockname()[0]
    return address
