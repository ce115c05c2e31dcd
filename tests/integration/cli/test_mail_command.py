"""`flask mail test`: a mail through the deployment's server, step by step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from app.outbox.errors import ServerUnavailable
from app.outbox.routing import paused_servers
from tests.integration.cli.running import refusal, run
from tests.support.app_driver import AppDriver
from tests.support.scripted_smtp import Reply, ScriptedSmtp
from tests.support.smtp import MailServer

ME = "operator@harbour.test"


@pytest.mark.both_databases
def test_a_mail_that_is_accepted_ends_the_pause(app: Flask, app_driver: AppDriver, mail_server: MailServer) -> None:
    app_driver.pause("", ServerUnavailable("Nobody listens."))
    done = run(app, "mail", "test", f" {ME.upper()}")
    assert done.exit_code == 0
    *steps, words = done.stdout.splitlines()
    assert steps == ["Server name found", "Connected", "Email accepted"]
    assert words.startswith("The server said: 250 ")
    assert ME not in done.stderr
    (mail,) = mail_server.to(ME)
    assert "http://clients.harbour.test" in mail.text
    assert "http://clients.harbour.test" in mail.html
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert app_driver.mails() == []
    assert app_driver.do(paused_servers) == {}


def test_a_refusal_is_told_with_the_step(reconfigured: Callable[..., Flask]) -> None:
    with ScriptedSmtp({"rcpt": Reply(f"550 5.1.1 <{ME}> is nobody here")}) as server:
        refused = run(reconfigured(MAIL_PORT=str(server.port)), "mail", "test", ME)
    assert refused.exit_code == 1
    assert refused.stdout.splitlines() == ["Server name found", "Connected"]
    (line,) = refused.stderr.splitlines()
    assert line.startswith("Error: Not reached: Email accepted. ")
    assert "550 5.1.1 <o…@harbour.test> is nobody here" in line


def test_without_a_mail_server_or_an_address(app: Flask, with_settings: Callable[..., Flask]) -> None:
    without = with_settings(MAIL_SERVER=None, MAIL_PORT=None)
    assert "MAIL_SERVER is not set" in refusal(without, "mail", "test", ME)
    assert "no @" in refusal(app, "mail", "test", "operator")
