"""One mail is sent to a mail server of the test, real or misbehaving."""

from __future__ import annotations

import email
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default as modern
from email.utils import formataddr
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from app.outbox.errors import DeliveryError
from app.outbox.mime import RenderedMail
from app.outbox.smtp import SmtpConnection
from app.outbox.smtp_session import MailServer
from tests.support.scripted_smtp import Act, Drip, Hang, ScriptedSmtp, Step

IMPATIENT: dict[str, Any] = {"timeout": 0.4, "deadline": 0.8}
LINK = "https://portal.example.com/invitations/aB3-_x=.y"


def a_mail(**changes: Any) -> RenderedMail:
    mail = RenderedMail(
        message_id="<7c9e.1@portal.example.com>",
        sender=formataddr(("Bakuun, Inc.", "noreply@portal.example.com")),
        recipient="jane.doe+x@client.example.org",
        subject="Invitation to Acme",
        text=f"Hello\n\n{LINK}\n\nBye\n",
        html=f'<p>Hello</p><a href="{LINK}">Accept</a>',
        date=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    )
    return mail._replace(**changes)


def at(server: ScriptedSmtp, **changes: Any) -> MailServer:
    return replace(MailServer(server.host, server.port, "none"), **changes)


def failure_of(server: MailServer, **options: Any) -> DeliveryError:
    """What sending one mail raises."""
    with SmtpConnection(server, **options) as connection, pytest.raises(DeliveryError) as failure:
        connection.send(a_mail())
    return failure.value


def failure_at(step: Step, act: Act, **options: Any) -> tuple[DeliveryError, ScriptedSmtp]:
    """What sending one mail raises when the server does `act` at `step`; and that server."""
    with ScriptedSmtp({step: act}) as server:
        return failure_of(at(server), **(options or limits_for(act))), server


def limits_for(act: Act) -> dict[str, Any]:
    """The usual limits where an answer comes, so that a busy machine fails no test; else short ones."""
    return IMPATIENT if isinstance(act, Hang | Drip) else {}


@dataclass
class Inbox:
    """An aiosmtpd handler that takes everything and remembers it."""

    envelopes: list[Envelope] = field(default_factory=list)
    peers: list[Any] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        self.peers.append(session.peer)
        return "250 2.0.0 taken"

    def message(self) -> EmailMessage:
        """The only mail that came, parsed."""
        (envelope,) = self.envelopes
        return parsed(envelope.original_content)

    def raw(self) -> bytes:
        content = self.envelopes[-1].original_content
        assert content is not None
        return content


def parsed(content: bytes | None) -> EmailMessage:
    assert content is not None
    message = email.message_from_bytes(content, policy=modern)
    assert isinstance(message, EmailMessage)
    return message


@contextmanager
def running(handler: Inbox, **options: Any) -> Iterator[int]:
    """A real SMTP server; yields its port."""
    port = free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
