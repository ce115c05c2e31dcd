"""A real mail server takes everything that the tests send, and remembers it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.outbox.smtp_session import MailServer
from tests.unit.outbox.sending import Inbox, running


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def real_server(inbox: Inbox) -> Iterator[MailServer]:
    with running(inbox) as port:
        yield MailServer("127.0.0.1", port, "none")
