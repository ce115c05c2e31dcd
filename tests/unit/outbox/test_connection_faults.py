"""Why there is no connection: each fault of a real server is a sentence that says what to do, and quotes no library."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from app.net.faults import network_fault
from app.outbox.errors import DeliveryError, ServerMisconfigured, ServerUnavailable
from app.outbox.smtp_session import MailServer
from tests.support.scripted_smtp import Close, Hang, ScriptedSmtp
from tests.unit.outbox.sending import IMPATIENT, at, failure_of, free_port

UNTRUSTED = "The mail server's certificate is not trusted: "
UNENCRYPTED = "There is no encrypted connection to the mail server: "
UNREACHABLE = "The mail server cannot be reached: "


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def context(cert: trustme.LeafCert) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    cert.configure_cert(made)
    return made


def expired(authority: trustme.CA) -> ssl.SSLContext:
    now = datetime.now(UTC)
    return context(
        authority.issue_cert("127.0.0.1", not_before=now - timedelta(days=9), not_after=now - timedelta(days=1))
    )


def of_another_name(authority: trustme.CA) -> ssl.SSLContext:
    return context(authority.issue_cert("mail.elsewhere.example"))


def of_another_authority(_authority: trustme.CA) -> ssl.SSLContext:
    return context(trustme.CA().issue_cert("127.0.0.1"))


def outdated(authority: trustme.CA) -> ssl.SSLContext:
    made = context(authority.issue_cert("127.0.0.1"))
    made.set_ciphers("ALL:@SECLEVEL=0")
    made.minimum_version = ssl.TLSVersion.TLSv1
    made.maximum_version = ssl.TLSVersion.TLSv1_1
    return made


def without_common_ciphers(authority: trustme.CA) -> ssl.SSLContext:
    made = context(authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA))
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers("AES128-GCM-SHA256")
    return made


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("tls", ["starttls", "ssl"])
@pytest.mark.parametrize(
    ("server_tls", "sentence"),
    [
        (expired, f"{UNTRUSTED}it has expired. "),
        (of_another_name, f"{UNTRUSTED}it is for another name. "),
        (of_another_authority, f"{UNTRUSTED}it comes from an unknown authority. "),
        (outdated, f"{UNENCRYPTED}it has no version of TLS that is still safe. "),
        (without_common_ciphers, f"{UNENCRYPTED}it has no encryption method (cipher) that is still safe. "),
    ],
)
def test_tls_that_cannot_be_trusted(
    authority: trustme.CA,
    ca_file: str,
    server_tls: Callable[[trustme.CA], ssl.SSLContext],
    sentence: str,
    tls: Any,
) -> None:
    with ScriptedSmtp(tls=server_tls(authority), implicit_tls=tls == "ssl") as server:
        failure = failure_of(at(server, tls=tls, ca_file=ca_file))
    assert type(failure) is ServerMisconfigured
    assert failure.reason.startswith(sentence)
    assert is_a_sentence(failure)
    assert "MAIL" not in server.verbs


def test_a_self_signed_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    """A root that names itself: trustme's authority, used as if it were the server's own certificate."""
    root = tmp_path / "root.pem"
    authority.cert_pem.write_to_path(str(root))
    authority.private_key_pem.write_to_path(str(root), append=True)
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(str(root))
    with ScriptedSmtp(tls=made, implicit_tls=True) as server:
        failure = failure_of(at(server, tls="ssl"))
    assert type(failure) is ServerMisconfigured
    assert failure.reason.startswith(f"{UNTRUSTED}it is self-signed")


def test_a_port_that_expects_no_tls() -> None:
    with ScriptedSmtp() as server:
        failure = failure_of(at(server, tls="ssl"))
    assert type(failure) is ServerMisconfigured
    assert failure.reason.startswith(f"{UNENCRYPTED}it answered without encryption. ")
    assert is_a_sentence(failure)


@pytest.mark.parametrize("tls", ["none", "starttls"])
def test_a_port_that_expects_tls_from_the_start(authority: trustme.CA, tls: Any) -> None:
    with ScriptedSmtp(tls=context(authority.issue_cert("127.0.0.1")), implicit_tls=True) as server:
        failure = failure_of(at(server, tls=tls), **IMPATIENT)
    assert type(failure) is ServerUnavailable
    assert "at port 465), choose SSL/TLS" in failure.reason


def test_no_starttls() -> None:
    with ScriptedSmtp() as server:
        failure = failure_of(at(server, tls="starttls"))
    assert type(failure) is ServerMisconfigured
    assert failure.reason.startswith("The mail server does not offer STARTTLS")


def test_nobody_there() -> None:
    with ScriptedSmtp({"banner": Close()}) as hangs_up, ScriptedSmtp({"ehlo": Hang()}) as silent:
        failures = [
            (
                failure_of(MailServer("127.0.0.1", free_port(), "none")),
                f"{UNREACHABLE}nothing is listening on this port. ",
            ),
            (failure_of(MailServer("no-such-host.invalid", 25, "none")), f"{UNREACHABLE}its name "),
            (failure_of(MailServer("a..b", 25, "none")), f"{UNREACHABLE}its name was not found. "),
            (failure_of(at(hangs_up)), "The mail server closed the connection at once. "),
            (failure_of(at(silent), **IMPATIENT), "The connection to the mail server was lost: there was no answer"),
        ]
    for failure, sentence in failures:
        assert failure.reason.startswith(sentence)
        assert is_a_sentence(failure)


def test_no_number_or_text_of_the_operating_system_is_quoted() -> None:
    for number in errno.errorcode:
        fault = network_fault(OSError(number, os.strerror(number)))
        assert fault.endswith(".")
        assert os.strerror(number).lower() not in fault.lower()
    assert network_fault(OSError("anything")).startswith("the connection failed")


def is_a_sentence(failure: DeliveryError) -> bool:
    shown = failure.reason.endswith(".")
    return shown and not any(mark in failure.reason for mark in ("[", "_", "Errno", "ssl.c", "timed out", "Error"))
