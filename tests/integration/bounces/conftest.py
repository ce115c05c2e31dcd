"""The application with a bounce address, and a client whose invitation a mail server has taken."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select

from app.extensions import db
from app.models import ClientEvent, EventKind
from tests.conftest import Outbox
from tests.support.app_driver import AppDriver
from tests.support.reports import block, report
from tests.support.smtp import MailServer, Taken
from tests.support.webhooks import Receiver, Webhooks

BOUNCES = "bounces@mail.harbour.test"
INVITEE = "info@nordwind.test"
REPLY = "550 5.1.1 <info@nordwind.test> is nobody here"


def bounce(taken: Taken, came_to: str | None = None, action: str = "failed", status: str = "5.1.1") -> bytes:
    """A report on a mail that was taken, to its own envelope sender or to another address."""
    told = f"Diagnostic-Code: smtp; {REPLY}"
    to = taken.sender if came_to is None else came_to
    return report(to, block(INVITEE, action, status, told), message_id=taken.message["Message-ID"])


def details(app_driver: AppDriver, kind: EventKind) -> list[str | None]:
    """What the histories say beside the events of a kind."""
    query = select(ClientEvent.detail).where(ClientEvent.kind == kind)
    return list(app_driver.do(lambda: db.session.scalars(query).all()))


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
    # A test's own receiver of webhooks is on loopback.
    return environment | {"MAIL_BOUNCE_ADDRESS": BOUNCES, "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture
def webhooks(app: Flask) -> Webhooks:
    return Webhooks(app)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


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
