"""The application with a bounce address, and a client whose invitation a mail server has taken."""

from __future__ import annotations

from uuid import UUID

import pytest
from click.testing import Result
from flask import Flask

from tests.conftest import Outbox
from tests.support.app_driver import AppDriver
from tests.support.smtp import MailServer, Taken

BOUNCES = "bounces@mail.harbour.test"
INVITEE = "info@nordwind.test"


class Mailman:
    """Hands messages to the command, as a mail server does."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def bring(self, message: bytes) -> str:
        """Hand over a message. Returns what was logged: one line, without addresses."""
        done: Result = self._app.test_cli_runner().invoke(args=["bounces", "ingest"], input=message)
        assert (done.exit_code, done.stdout) == (0, ""), done.output
        (line,) = done.stderr.splitlines()
        assert "nordwind" not in line
        return str(line)


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"MAIL_BOUNCE_ADDRESS": BOUNCES}


@pytest.fixture
def mailman(app: Flask) -> Mailman:
    return Mailman(app)


@pytest.fixture
def client_id(app_driver: AppDriver, outbox: Outbox) -> UUID:
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    return client_id


@pytest.fixture
def taken(client_id: UUID, mail_server: MailServer) -> Taken:
    """The invitation as the mail server took it."""
    return mail_server.wait_for(INVITEE)
