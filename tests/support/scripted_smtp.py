"""An SMTP server that does what real ones do only on a bad day: one scripted act at each step.

    with ScriptedSmtp({"rcpt": Reply("550 5.1.1 no such user"), "quit": Hang()}) as server:
        ...  # talk to 127.0.0.1, server.port

Steps without an act are answered as by a friendly server. What was said and taken is kept for asserting.
"""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Literal, Self

Step = Literal["banner", "ehlo", "starttls", "handshake", "auth", "mail", "rcpt", "data", "body", "rset", "quit"]


@dataclass(frozen=True)
class Reply:
    """Say this, `after` so many seconds, and go on, or, with `then_close`, hang up."""

    text: str
    then_close: bool = False
    after: float = 0


@dataclass(frozen=True)
class Close:
    """Hang up without a word."""


@dataclass(frozen=True)
class Hang:
    """Say nothing more and keep the connection open."""


@dataclass(frozen=True)
class Drip:
    """Send a reply that never ends, a byte at a time, `pause` seconds apart."""

    pause: float = 0.05


@dataclass(frozen=True)
class Flood:
    """Send a reply that never ends, as fast as it goes."""


Act = Reply | Close | Hang | Drip | Flood

_FRIENDLY: dict[Step, str] = {
    "banner": "220 scripted.test ESMTP",
    "ehlo": "",  # made of what is offered
    "starttls": "220 go ahead",
    "handshake": "",  # goes on in silence
    "auth": "235 welcome",
    "mail": "250 sender ok",
    "rcpt": "250 recipient ok",
    "data": "354 go on",
    "body": "250 taken as 42",
    "rset": "250 forgotten",
    "quit": "221 bye",
}


class ScriptedSmtp:
    """Listens on `host` at a free `port` while it is entered.

    With `tls` it offers STARTTLS under that context, or, with `implicit_tls`, speaks TLS from the first byte.
    `offer_auth` offers PLAIN and LOGIN, or the mechanisms that it names. `commands` holds every command that arrived,
    `mails` each whole mail as it came over the wire (still dot-stuffed), taken or not, and `connections` counts them.
    """

    def __init__(
        self,
        script: Mapping[Step, Act] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        offer_auth: bool | str = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.script = dict(script or {})
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.offer_auth = offer_auth
        self.host = host
        self.commands: list[str] = []
        self.mails: list[bytes] = []
        self.connections = 0
        self.stopping = Event()
        self._conversations: list[_Conversation] = []
        self._threads: list[Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server((self.host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        _shut(self._listener)
        for conversation in self._conversations:
            _shut(conversation.sock)
        for thread in self._threads:
            thread.join(timeout=5)

    @property
    def verbs(self) -> list[str]:
        """The first word of each command, in upper case."""
        return [command.split(" ")[0].upper() for command in self.commands]

    def _start(self, target: Callable[[], None]) -> None:
        thread = Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self.stopping.is_set():
                sock, _ = self._listener.accept()
                self.connections += 1
                conversation = _Conversation(self, sock)
                self._conversations.append(conversation)
                self._start(conversation.run)


class _Conversation:
    """One connection, from the banner to its end."""

    def __init__(self, server: ScriptedSmtp, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.encrypted = False

    def run(self) -> None:
        with suppress(OSError, _Over):
            if self.server.implicit_tls:
                self._encrypt()
            self._talk()
        _shut(self.sock)

    def _talk(self) -> None:
        self._act("banner")
        lines = self.sock.makefile("rb")
        while line := lines.readline():
            command = line.decode("utf-8", "replace").strip()
            self.server.commands.append(command)
            step = _step_of(command)
            said = self._act(step)
            if step == "data" and said.startswith("354"):
                self.server.mails.append(_until_lone_dot(lines))
                self._act("body")
            elif step == "starttls" and said.startswith("220"):
                self._encrypt()
                lines = self.sock.makefile("rb")

    def _encrypt(self) -> None:
        assert self.server.tls is not None
        if "handshake" in self.server.script:
            self._act("handshake")
        self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
        self.encrypted = True

    def _act(self, step: Step) -> str:
        """Do what the script says at a step, and return what was said. Raises _Over to hang up."""
        match self.server.script.get(step, Reply(self._friendly(step))):
            case Reply(text, then_close, after):
                self.server.stopping.wait(after)
                self.sock.sendall(f"{text}\r\n".encode())
                if not then_close and step != "quit":
                    return text
            case Hang():
                self.server.stopping.wait()
            case Drip(pause):
                while not self.server.stopping.wait(pause):
                    self.sock.sendall(b"2")
            case Flood():
                while not self.server.stopping.is_set():
                    self.sock.sendall(b"250-and more\r\n" * 100)
        raise _Over

    def _friendly(self, step: Step) -> str:
        if step != "ehlo":
            return _FRIENDLY[step]
        offers = ["SIZE 10000000"]
        if self.server.tls is not None and not self.encrypted:
            offers.append("STARTTLS")
        if self.server.offer_auth:
            offers.append("AUTH PLAIN LOGIN" if self.server.offer_auth is True else f"AUTH {self.server.offer_auth}")
        return "".join(f"250-{offer}\r\n" for offer in ("scripted.test", *offers)) + "250 HELP"


class _Over(Exception):
    """The connection has come to its end."""


def _step_of(command: str) -> Step:
    verb = command.split(" ")[0].lower()
    if verb == "helo":
        return "ehlo"
    return verb if verb in _FRIENDLY else "auth"  # else it answers a challenge


def _until_lone_dot(lines: io.BufferedReader) -> bytes:
    body = b""
    while (line := lines.readline()) != b".\r\n":
        if not line:
            raise _Over
        body += line
    return body


def _shut(sock: socket.socket) -> None:
    # shutdown() wakes a thread that waits in accept() or recv(); close() alone does not.
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
