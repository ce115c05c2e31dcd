"""An issuer is registered by an operator, and its published keys are followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask

from tests.conftest import ALPINE, HARBOUR
from tests.integration.sso.handing_over import OTHER_SHELL, is_in
from tests.support.browser import Browser
from tests.support.databases import on_sqlite
from tests.support.shell import ISSUER, Published, ec_key, hand_over, jwks, public_pem, register, rsa_key, says, signed
from tests.support.together import at_once

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("shell")]


# Keys that are published


@pytest.fixture
def published() -> Iterator[Published]:
    with Published().running() as server:
        yield server


@on_sqlite
def test_keys_are_kept_and_changed_without_a_restart(
    app: Flask, published: Published, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    register(app, HARBOUR, issuer=OTHER_SHELL, jwks_url=published.url)
    published.document = jwks(one=ec_key())

    def status(kid: str, key: Any = None) -> int:
        return hand_over(Browser(app), signed(says(iss=OTHER_SHELL), key or ec_key(), kid=kid)).status_code

    start = datetime.now(UTC)
    with time_machine.travel(start, tick=False) as clock:
        assert [status("one"), status("one")] == [303, 303]
        assert published.fetched == 1
        # A new key is there at once, but nobody makes us ask again and again.
        clock.shift(31)
        published.document = jwks(two=ec_key("another"))
        assert [status("two", ec_key("another")), status("nine"), status("nine")] == [303, 401, 401]
        assert published.fetched == 2
        assert status("one") == 401  # taken back
        clock.shift(31)
        assert [status("nine"), status("nine")] == [401, 401]
        assert published.fetched == 3
        # Ten minutes later they are asked for anew. The shell is away: what is known goes on for an hour.
        published.status = 503
        lines()
        clock.shift(601)
        assert status("two", ec_key("another")) == 303
        assert published.fetched == 4
        (said,) = [line for line in lines() if line["logger"] == "app.sso.keys"]
        assert (said["issuer"], said["reason"]) == (OTHER_SHELL, "It answers with 503.")
        assert status("two", ec_key("another")) == 303
        assert published.fetched == 4
        clock.shift(3600)
        assert status("two", ec_key("another")) == 401
        # It is back, with a document that is none, and then a good one.
        published.status, published.document = 200, {}
        clock.shift(31)
        assert status("two", ec_key("another")) == 401
        clock.shift(31)
        published.document = jwks(two=ec_key("another"))
        assert status("two", ec_key("another")) == 303


@on_sqlite
def test_many_who_come_first_ask_for_the_keys_once(app: Flask, published: Published) -> None:
    register(app, HARBOUR, issuer=OTHER_SHELL, jwks_url=published.url)
    published.document = jwks(one=rsa_key())

    def come() -> int:
        return hand_over(Browser(app), signed(says(iss=OTHER_SHELL), rsa_key(), kid="one")).status_code

    assert at_once([come] * 4) == [303] * 4
    assert published.fetched == 1


# The operator's commands


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    """Exit code and what was printed, on whichever stream."""
    done = app.test_cli_runner().invoke(args=["issuer", *arguments])
    return done.exit_code, (done.stdout + done.stderr).strip()


@on_sqlite
def test_an_operator_registers_issuers(app: Flask, hanna: Browser, tmp_path: Path) -> None:
    pem = tmp_path / "shell.pem"
    pem.write_text(public_pem(ec_key("another")))
    jwks_url = "https://new.test/.well-known/jwks.json"
    assert run(app, "add", "--issuer", "https://new.test", "--jwks-url", jwks_url) == (0, "")
    assert run(app, "grant", "--issuer", "https://new.test", "--portal", HARBOUR) == (0, "")
    assert run(app, "grant", "--issuer", "https://new.test", "--portal", ALPINE) == (0, "")
    assert run(app, "grant", "--issuer", "https://new.test", "--portal", ALPINE) == (0, "")
    listed = [f"https://new.test\t{jwks_url}\talpine, harbour", f"{ISSUER}\tPEM, ES256\tharbour"]
    assert run(app, "list") == (0, "\n".join(listed))
    # Other keys: grants, accounts and sessions stay.
    assert run(app, "add", "--issuer", ISSUER, "--pem", str(pem), "--replace") == (0, "")
    assert is_in(hanna)
    assert hand_over(Browser(app), signed(says())).status_code == 401
    assert hand_over(Browser(app), signed(says(), ec_key("another"))).status_code == 303
    # A portal is taken back, and an issuer forgotten: their sessions end at once.
    assert run(app, "revoke", "--issuer", ISSUER, "--portal", HARBOUR) == (0, "")
    assert not is_in(hanna)
    assert hand_over(hanna, signed(says(), ec_key("another"))).status_code == 401
    assert run(app, "grant", "--issuer", ISSUER, "--portal", HARBOUR) == (0, "")
    assert hand_over(hanna, signed(says(), ec_key("another"))).status_code == 303
    assert run(app, "remove", "--issuer", ISSUER) == (0, "")
    assert run(app, "remove", "--issuer", "https://new.test") == (0, "")
    assert not is_in(hanna)
    assert run(app, "list") == (0, "")


@on_sqlite
def test_what_an_operator_mistypes_is_told_in_one_line(app: Flask, tmp_path: Path) -> None:
    private, text = tmp_path / "private.pem", tmp_path / "text.pem"
    private.write_bytes(ec_key().as_pem(private=True))
    text.write_bytes(b"\xff\xfe")
    new = ("add", "--issuer", "https://new.test")
    for arguments, sentence in {
        (*new, "--jwks-url", "http://1.1.1.1/jwks.json"): "Keys sent over plain http could be anyone's",
        (*new, "--jwks-url", "ftp://new.test/"): "The URL must start with https://",
        (*new, "--jwks-url", "https://a:b@new.test/"): "can't contain a user name or a password",
        (*new, "--pem", str(private)): "This is a private key",
        (*new, "--pem", str(text)): "The --pem file isn't text",
        ("add", "--issuer", "new.test", "--jwks-url", "https://new.test/"): "An issuer is a web address",
        ("add", "--issuer", ISSUER, "--jwks-url", "https://new.test/"): f"{ISSUER} is already registered",
        ("grant", "--issuer", "https://new.test", "--portal", HARBOUR): "There is no issuer https://new.test.",
        ("grant", "--issuer", ISSUER, "--portal", "nowhere"): "There is no portal with the id nowhere.",
        ("revoke", "--issuer", ISSUER, "--portal", ALPINE): f"{ISSUER} does not speak for portal alpine.",
        ("remove", "--issuer", "https://new.test"): "There is no issuer https://new.test.",
    }.items():
        code, said = run(app, *arguments)
        assert (code, said.count("\n")) == (1, 0), arguments
        assert sentence in said
    assert run(app, *new)[0] == 2
    assert run(app, *new, "--jwks-url", "http://127.0.0.1:8100/jwks.json") == (0, "")
