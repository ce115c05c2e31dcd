"""smtplib's client, with every step bounded in time and with connections to permitted addresses only."""

from __future__ import annotations

import io
import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app.core.stored_texts import stored
from app.net.dialer import AddressRefused, AddressRule, Watch, connected, ip_of
from app.outbox.classification import refusal
from app.outbox.errors import ServerMisconfigured, words_of
from app.outbox.faults import REPLY_TOO_LONG, NoGreeting, ProtocolError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_REPLY_SIZE = 64 * 1024  # more than any honest reply; without a limit a reply could fill our memory
_UNEXPECTED = stored("its reply to %(step)s was unexpected: %(words)s")
_CLOSING = 421


class Step(StrEnum):
    """The steps, in this order, until a server has taken a mail."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    ENCRYPT = "encrypt"
    SIGN_IN = "sign_in"
    HAND_OVER = "hand_over"


@dataclass(frozen=True)
class Dialing:
    """How to connect: within which time, to which addresses, under which own name, and whom to tell of each step."""

    watch: Watch
    permits: AddressRule
    local_hostname: str
    told: Callable[[Step], None]


class SmtpClient(smtplib.SMTP):
    """smtplib's client. None of its steps outlasts the watch.

    A socket's own timeout begins anew with each byte, so a server that sends one now and then would hold us for ever.
    Here the timeout is set before each read, to no more than the time left for the mail.
    """

    def __init__(self, host: str, port: int, dialing: Dialing, tls: ssl.SSLContext | None) -> None:
        self._dialing = dialing
        self._tls = tls
        self._room = 0  # bytes that the rest of the current reply may have
        self._waits_for_verdict = False
        # Without a given name, smtplib asks the DNS for our own, which can take seconds.
        super().__init__(host, port, dialing.local_hostname)

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        told, watch = self._dialing.told, self._dialing.watch
        try:
            sock = connected(host, port, watch, self._dialing.permits, resolved=lambda: told(Step.RESOLVE))
        except AddressRefused:
            raise ServerMisconfigured(stored("The address of the mail server is not allowed.")) from None
        told(Step.CONNECT)
        self.file = None
        if self._tls is None:
            self.sock = sock
        else:
            sock.settimeout(watch.next_wait())
            self.sock = self._tls.wrap_socket(sock, server_hostname=host)
            told(Step.ENCRYPT)
        return self._greeting()

    def _greeting(self) -> tuple[int, bytes]:
        try:
            return self.getreply()
        except smtplib.SMTPServerDisconnected as error:
            raise NoGreeting from error.__context__

    @property
    def is_private(self) -> bool:
        """Whether nobody can listen in: the connection is encrypted, or does not leave this machine."""
        if isinstance(self.sock, ssl.SSLSocket):
            return True
        return self.sock is not None and ip_of(self.sock.getpeername()).is_loopback

    def send(self, s: ReadableBuffer | str) -> None:
        self._bound_wait()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = io.BufferedReader(_Incoming(self))
        self._room = _REPLY_SIZE
        reply = super().getreply()
        # starttls() may do a handshake next, and sets no limit for it.
        with suppress(TimeoutError):
            self._bound_wait()
        return reply

    def receive(self, buffer: WriteableBuffer) -> int:
        """Read what is available, as `socket.recv_into` does, but within the time and size limits."""
        while self.sock is not None:
            self._bound_wait()
            try:
                size = self.sock.recv_into(buffer)
            except TimeoutError:
                if not self._waits_for_verdict:
                    raise
            else:
                self._room -= size
                if self._room < 0:
                    raise ProtocolError(REPLY_TOO_LONG)
                return size
        return 0

    def verdict(self) -> tuple[int, bytes]:
        """The reply to a whole mail. Waits until the deadline, because giving up early would send the mail twice."""
        self._waits_for_verdict = True
        try:
            return self.getreply()
        finally:
            self._waits_for_verdict = False

    def _bound_wait(self) -> None:
        """Set the socket's timeout for its next step. Raises TimeoutError when the mail's time is up."""
        if self.sock is None:
            return
        seconds = self._dialing.watch.next_wait()
        # Reading the timeout costs nothing. Setting it is a system call, during which other threads get the
        # interpreter.
        if self.sock.gettimeout() != seconds:
            self.sock.settimeout(seconds)
            # Getting the interpreter back may have taken long, so check the deadline again.
            self._dialing.watch.left()

    def size_option(self, size: int) -> str:
        return f" SIZE={size}" if self.has_extn("size") else ""

    def expect(self, kind: int, step: str, answer: tuple[int, bytes]) -> None:
        """Raise the error that a reply means, unless the first digit of its code is `kind`."""
        code, reply = answer
        if code // 100 == kind:
            return
        words = words_of(code, reply)
        if code == _CLOSING:
            self.close()
        if code // 100 in (4, 5):
            raise refusal(step, code, words)
        raise ProtocolError(_UNEXPECTED % {"step": step, "words": words})


class _Incoming(io.RawIOBase):
    """The stream that smtplib reads replies from."""

    def __init__(self, client: SmtpClient) -> None:
        self._client = client

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._client.receive(buffer)
