"""A mail server for this machine alone: it takes every mail and passes none on."""

from __future__ import annotations

from asyncio import Server
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from app.demo.mailbox import Mailbox

HOST = "127.0.0.1"


@contextmanager
def catching_mails(mailbox: Mailbox) -> Iterator[int]:
    """Take mails while entered; gives the port, one that was free."""
    controller = _Controller(_Keeper(mailbox), hostname=HOST, port=0)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop(no_assert=True)


class _Keeper:
    """What happens to a mail that arrives."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        # aiosmtpd hands over bytes unless it is told to decode.
        source = envelope.original_content or b""
        try:
            self._mailbox.add(source)
        except OSError as error:
            # A full disk: the sender keeps the mail and tries again.
            return f"452 4.3.1 The mail cannot be kept: {error.strerror}"
        return "250 2.0.0 Kept"


class _Controller(Controller):
    def factory(self) -> SMTP:
        # Left to itself, aiosmtpd asks the DNS for this machine's name.
        return SMTP(self.handler, hostname="localhost")

    def _trigger_server(self) -> None:
        # The library greets the port it was given, which is 0: the system chose another.
        self.port = cast(Server, self.server).sockets[0].getsockname()[1]
        super()._trigger_server()
