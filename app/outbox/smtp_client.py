"""smtplib's client, whose every step is bounded in time and whose connection is made to a permitted address."""

from __future__ import annotations

import io
import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app.net.dialer import AddressRefused, AddressRule, Watch, connected, ip_of
from app.outbox.errors import ServerMisconfigured, refusal, words_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_REPLY_SIZE = 64 * 1024  # more than any honest reply; without a bound it would fill our memory
_CLOSING = 421


class Step(StrEnum):
    """What has to go well, one after the other, until a server has taken a mail."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    ENCRYPT = "encrypt"
    SIGN_IN = "sign_in"
    HAND_OVER = "hand_over"


@dataclass(frozen=True)
class Dialing:
    """How a connection is made: within which time, to which addresses, under which name, and who hears of it."""

    watch: Watch
    permits: AddressRule
    local_hostname: str
    told: Callable[[Step], None]


class SmtpClient(smtplib.SMTP):
    """smtplib's client, none of whose steps outlasts the watch.

    A socket's own timeout begins anew with each byte, so a server that sends one now and then would
    hold us for ever: here it is set before each read, to no more than what is left of the mail's time.
    """

    def __init__(self, host: str, port: int, dialing: Dialing, tls: ssl.SSLContext | None) -> None:
        self._dialing = dialing
        self._tls = tls
        self._room = 0  # bytes that the reply now being read may still have
        self._waits_for_verdict = False
        # Left to itself, smtplib asks the DNS for our own name, which can take seconds.
        super().__init__(host, port, dialing.local_hostname)

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        told, watch = self._dialing.told, self._dialing.watch
        try:
            sock = connected(host, port, watch, self._dialing.permits, resolved=lambda: told(Step.RESOLVE))
        except AddressRefused:
            raise ServerMisconfigured("The address of the mail server is not allowed.") from None
        told(Step.CONNECT)
        self.file = None
        if self._tls is None:
            self.sock = sock
        else:
            sock.settimeout(watch.next_wait())
            self.sock = self._tls.wrap_socket(sock, server_hostname=host)
            told(Step.ENCRYPT)
        return self.getreply()

    @property
    def is_private(self) -> bool:
        """Whether nobody can listen: it is encrypted, or does not leave this machine."""
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
        # starttls() may shake hands next, and does not ask how long that may take.
        with suppress(TimeoutError):
            self._bound_wait()
        return reply

    def receive(self, buffer: WriteableBuffer) -> int:
        """Read what there is, as `socket.recv_into` does, but in time and within bounds."""
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
                    raise OSError("the server's reply is too long")
                return size
        return 0

    def verdict(self) -> tuple[int, bytes]:
        """The reply to a whole mail, waited for until the deadline: giving up early sends it twice."""
        self._waits_for_verdict = True
        try:
            return self.getreply()
        finally:
            self._waits_for_verdict = False

    def _bound_wait(self) -> None:
        """Let the socket's next step wait as long as it may. Raises TimeoutError when the mail's time is up."""
        if self.sock is None:
            return
        seconds = self._dialing.watch.next_wait()
        # Asking costs nothing. Telling is a system call, for which the thread lets others have the interpreter.
        if self.sock.gettimeout() != seconds:
            self.sock.settimeout(seconds)
            # It may have waited long to get it back.
            self._dialing.watch.left()

    def size_option(self, size: int) -> str:
        return f" SIZE={size}" if self.has_extn("size") else ""

    def expect(self, kind: int, step: str, answer: tuple[int, bytes]) -> None:
        """Raise what a reply means, unless its first digit is `kind`."""
        code, reply = answer
        if code // 100 == kind:
            return
        words = words_of(code, reply)
        if code == _CLOSING:
            self.close()
        if code // 100 in (4, 5):
            raise refusal(step, code, words)
        raise smtplib.SMTPServerDisconnected(f"unexpected reply to {step}: {words}")


class _Incoming(io.RawIOBase):
    """What smtplib reads replies from."""

    def __init__(self, client: SmtpClient) -> None:
        self._client = client

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._client.receive(buffer)
