"""A real SMTP server on loopback that keeps what it takes, and can be told to refuse."""

from __future__ import annotations

import asyncio
import email
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default as default_policy
from threading import Event
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Taken:
    """One mail as it was handed over."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    raw: bytes = b""
    taken_at: float = field(default_factory=time.monotonic)

    @property
    def recipient(self) -> str:
        (only,) = self.recipients
        return only

    @property
    def text(self) -> str:
        return self.part("plain")

    @property
    def html(self) -> str:
        return self.part("html")

    def part(self, subtype: str) -> str:
        body = self.message.get_body((subtype,))
        assert body is not None
        content = body.get_content()
        assert isinstance(content, str)
        return content.replace("\r\n", "\n")

    @property
    def link(self) -> str:
        """The one link of the mail: alone on its line in the text, and the only one in the HTML."""
        (link,) = re.findall(r"^(https?://\S+)$", self.text, re.MULTILINE)
        assert set(re.findall(r'(?:href|src)="((?!cid:)[^"]+)"', self.html)) == {link}
        return str(link)


@dataclass
class MailServer:
    """What tests see of the server.

    `refuse` maps a recipient to the answer it gets at RCPT TO, `refuse_data` to the one after the whole mail.

    While `hold` is set it takes a mail's text and does not answer; `holding` says that it has one. Recipients in
    `slow_to_take` are not answered until they are taken out; `dawdling` counts them. Every mail takes `take_seconds`.
    A connection beyond `most_connections` is turned away.
    """

    host: str = "127.0.0.1"
    port: int = 0
    mails: list[Taken] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    refuse_data: dict[str, str] = field(default_factory=dict)
    hold: Event = field(default_factory=Event)
    holding: Event = field(default_factory=Event)
    slow_to_take: set[str] = field(default_factory=set)
    dawdling: int = 0
    take_seconds: float = 0
    most_connections: int | None = None
    connections: int = 0

    def reset(self) -> None:
        """Be as at the beginning, but for connections that are open."""
        fresh = MailServer(self.host, self.port, connections=self.connections)
        self.__dict__.update(fresh.__dict__)

    def to(self, recipient: str) -> list[Taken]:
        return [mail for mail in self.mails if mail.recipient == recipient]

    def besides_roles(self, recipient: str) -> list[Taken]:
        """What an address got, but for what tells of a changed role."""
        return [mail for mail in self.to(recipient) if "role" not in mail.message["Subject"]]

    def wait_for(self, recipient: str, count: int = 1, seconds: float = 20) -> Taken:
        """The newest mail to somebody, as soon as there are `count` of them."""
        deadline = time.monotonic() + seconds
        while len(self.to(recipient)) < count:
            assert time.monotonic() < deadline, f"no mail to {recipient}; there are {self.mails}"
            time.sleep(0.02)
        return self.to(recipient)[-1]

    @contextmanager
    def answering_nobody(self) -> Iterator[None]:
        """Take the text of each mail, and answer only at the end of all this."""
        self.holding.clear()
        self.hold.set()
        try:
            yield
        finally:
            self.hold.clear()

    @contextmanager
    def taking_their_time(self, seconds: float) -> Iterator[None]:
        """Answer to a mail's text after so long."""
        self.take_seconds = seconds
        try:
            yield
        finally:
            self.take_seconds = 0

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        if self.most_connections is not None and self.connections > self.most_connections:
            return ["421 4.7.0 too many connections"]
        return responses

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[Any]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        while self.hold.is_set():
            self.holding.set()
            await asyncio.sleep(0.01)
        if self.slow_to_take.intersection(envelope.rcpt_tos):
            self.dawdling += 1
            while self.slow_to_take.intersection(envelope.rcpt_tos):
                await asyncio.sleep(0.01)
        await asyncio.sleep(self.take_seconds)
        for recipient in envelope.rcpt_tos:
            if recipient in self.refuse_data:
                return self.refuse_data[recipient]
        message = email.message_from_bytes(envelope.content, policy=default_policy)
        assert isinstance(message, EmailMessage)
        self.mails.append(Taken(str(envelope.mail_from), list(envelope.rcpt_tos), message, envelope.content))
        return "250 OK"


class _CountingSmtp(SMTP):
    def connection_made(self, transport: Any) -> None:
        self.event_handler.connections += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.connections -= 1
        super().connection_lost(error)


class _QuietController(Controller):
    def factory(self) -> SMTP:
        return _CountingSmtp(self.handler, hostname="localhost")

    def _trigger_server(self) -> None:
        # The library greets the port it was given, which is 0: the system chose another.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def start(port: int = 0) -> tuple[Controller, MailServer]:
    """Start a server, on a free port if none is given; stop the controller at the end."""
    handler = MailServer()
    controller = _QuietController(handler, hostname=handler.host, port=port, ready_timeout=30)
    controller.start()
    handler.port = controller.port
    return controller, handler
