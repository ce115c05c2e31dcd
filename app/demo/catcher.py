"""A mail server for this machine only. It accepts every mail and forwards none."""

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
    """Accept mails during the block. Yields the port, which was a free one."""
    controller = _Controller(_Keeper(mailbox), hostname=HOST, port=0)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop(no_assert=True)


class _Keeper:
    """The aiosmtpd handler: adds each mail to the mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        # aiosmtpd passes bytes unless it is configured to decode.
        source = envelope.original_content or b""
        try:
            self._mailbox.add(source)
        except OSError as error:
            # The disk is full. With a temporary error the sender keeps the mail and tries again.
            return f"452 4.3.1 The mail cannot be kept: {error.strerror}"
        return "250 2.0.0 Kept"


class _Controller(Controller):
    def factory(self) -> SMTP:
        # By default, aiosmtpd asks the DNS for this machine's name.
        return SMTP(self.handler, hostname="localhost")

    def _trigger_server(self) -> None:
        # The library connects to the port it was given, but that was 0, and the system has chosen another.
        self.port = cast(Server, self.server).sockets[0].getsockname()[1]
        super()._trigger_server()
