"""An SMTP server that behaves to each recipient as its address says, and forgets nothing that it was handed.

    rcpt-550.17@client.test       is refused at RCPT TO, always
    end-close.x2.3@client.test    gets its whole mail taken without a word, twice, and is then served

Before a recipient is known, at the banner, EHLO and MAIL FROM, connections behave as `plan` says, one after the
other. Whoever is not named so is served at once. What a whole mail was answered with is its verdict; a mail whose
verdict is unknown may have been taken.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Event, Thread
from time import monotonic
from typing import Literal, Self

from tests.crash.faults import OF_CONNECTIONS, OF_RECIPIENTS, Behaviour, Phase

Verdict = Literal["taken", "refused", "unknown"]

_FRIENDLY: dict[Phase, str] = {
    "banner": "220 behaving.test ESMTP",
    "ehlo": "250-behaving.test\r\n250 SIZE 10000000",
    "mail": "250 sender ok",
    "rcpt": "250 recipient ok",
    "data": "354 go on",
    "end": "250 taken",
    "rset": "250 forgotten",
    "quit": "221 bye",
}
_VERBS: dict[bytes, Phase] = {
    b"EHLO": "ehlo",
    b"HELO": "ehlo",
    b"MAIL": "mail",
    b"RCPT": "rcpt",
    b"DATA": "data",
    b"RSET": "rset",
    b"QUIT": "quit",
}
_BODY_BYTES = 500
_DRIP_SECONDS = 0.05
_LINK = re.compile(rb"https?://[^\s\"<>]+?/(?:(?:team-)?invitations|verify-email|password-reset)/[\w.-]+")


@dataclass(eq=False)
class Connection:
    """One connection, as the server saw it."""

    number: int
    began: float = field(default_factory=monotonic)
    ended: float | None = None
    mails_begun: list[float] = field(default_factory=list)
    """When each MAIL FROM came: by then the mail before it was marked."""


@dataclass(eq=False)
class Envelope:
    """A mail that was received in full: from here on it is in the server's hands, whatever was answered."""

    connection: Connection
    begun: float
    at: float
    recipients: list[str]
    raw: bytes = field(repr=False)
    verdict: Verdict = "unknown"
    said: str | None = None
    answered: float | None = None

    @property
    def recipient(self) -> str:
        return self.recipients[0] if self.recipients else ""

    @cached_property
    def message_id(self) -> str:
        found = re.search(rb"^Message-ID: (\S+)\r$", self.raw, re.MULTILINE)
        return found[1].decode() if found else ""

    @cached_property
    def links(self) -> frozenset[str]:
        """The links in both its parts, whatever their encoding: of what they hold, only dots can be encoded."""
        return frozenset(link.decode() for link in _LINK.findall(self.raw.replace(b"=\r\n", b"").replace(b"=2E", b".")))

    @property
    def connection_went_on(self) -> float | None:
        """When its connection took the next mail, if it did."""
        return next((moment for moment in self.connection.mails_begun if moment > self.begun), None)


class BehavingSmtp:
    """Listens at a free port of loopback while it is entered; may go away in between and come back.

    `take_seconds` is how long it thinks about each whole mail.
    """

    host = "127.0.0.1"

    def __init__(self, *, take_seconds: float = 0.0) -> None:
        self.take_seconds = take_seconds
        self.port = 0
        self.history: list[Envelope] = []
        """Every whole mail, in the order of their last bytes. Nothing is ever taken out."""
        self.connections: list[Connection] = []
        self.in_hand = 0
        """Whole mails that have not been answered yet."""
        self.seen: Counter[str] = Counter()
        """How often each behaviour was shown."""
        self._plan: deque[str | None] = deque()
        self._times: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="behaving-smtp", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[_Conversation] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.come_back()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def plan(self, names: Iterable[str | None]) -> None:
        """How the next connections behave, one after the other; None stands for well."""
        self._do(lambda: self._plan.extend(names))

    @property
    def planned(self) -> int:
        return len(self._plan)

    def go_away(self) -> None:
        """Nobody listens any more, and all connections break."""

        def leave() -> None:
            if self._server is not None:
                self._server.close()
                self._server = None
            for conversation in list(self._open):
                conversation.transport.abort()

        self._do(leave)

    def hang_up(self) -> None:
        """Connections that have nothing to do break, so that the next mail needs a new one."""

        def leave() -> None:
            for conversation in list(self._open):
                if conversation.is_idle:
                    conversation.transport.abort()

        self._do(leave)

    def come_back(self) -> None:
        """Listen, at the same port as before."""

        async def listen() -> None:
            self._server = await self._loop.create_server(
                lambda: _Conversation(self), self.host, self.port, backlog=500
            )
            self.port = self._server.sockets[0].getsockname()[1]

        asyncio.run_coroutine_threadsafe(listen(), self._loop).result(10)

    def to(self, recipient: str) -> list[Envelope]:
        return [mail for mail in list(self.history) if recipient in mail.recipients]

    def _do(self, call: Callable[[], object]) -> None:
        done = Event()

        def run() -> None:
            try:
                call()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10)


class _Conversation(asyncio.Protocol):
    """One connection, from the banner to its end."""

    transport: asyncio.Transport

    def __init__(self, server: BehavingSmtp) -> None:
        self._server = server
        self._plan: Behaviour | None = None
        self._plan_name = ""
        self._buffer = bytearray()
        self._is_deaf = False
        self._is_in_body = False
        self._peer_is_gone = False
        self._recipients: list[str] = []
        self._begun = 0.0
        self._at_the_end: str | None = None
        """Of the recipients so far, who wants QUIT to be answered in its own way."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._record = Connection(len(self._server.connections))
        self._server.connections.append(self._record)
        self._server._open.add(self)
        self.is_idle = False
        planned = self._server._plan.popleft() if self._server._plan else None
        if planned is not None:
            self._plan, self._plan_name = OF_CONNECTIONS[planned], planned
        self._answer("banner")

    def connection_lost(self, error: Exception | None) -> None:
        self._peer_is_gone = True
        self._record.ended = monotonic()
        self._server._open.discard(self)

    def eof_received(self) -> bool:
        self._peer_is_gone = True
        return False

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._listen()

    def _listen(self) -> None:
        while not self._is_deaf and not self.transport.is_closing():
            if self._is_in_body:
                if not self._read_body():
                    return
                continue
            end = self._buffer.find(b"\r\n")
            if end < 0:
                return
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            self._obey(line)

    def _obey(self, line: bytes) -> None:
        phase = _VERBS.get(line[:4].upper())
        if phase is None:
            self._say("502 unknown")
            return
        if phase == "mail":
            self.is_idle = False
            self._begun = monotonic()
            self._record.mails_begun.append(self._begun)
            self._recipients = []
        elif phase == "rcpt":
            self._recipients.append(line.partition(b"<")[2].partition(b">")[0].decode())
        self._answer(phase)

    def _read_body(self) -> bool:
        behaviour = self._behaviour("body", count=False)
        if behaviour is not None and len(self._buffer) > _BODY_BYTES:
            self._behaviour("body")
            self._buffer.clear()
            self._do(behaviour, "")
            return False
        end = self._buffer.find(b"\r\n.\r\n")
        if end < 0:
            return False
        # A dot at the beginning of a line was doubled on the way; a link that was broken there would be another one.
        raw = bytes(self._buffer[: end + 2]).replace(b"\r\n..", b"\r\n.")
        del self._buffer[: end + 5]
        self._is_in_body = False
        if behaviour is not None:  # a mail so short that it was over already
            self._do(behaviour, "")
            return False
        envelope = Envelope(self._record, self._begun, monotonic(), self._recipients, raw)
        self._server.history.append(envelope)
        self._server.in_hand += 1
        self._answer("end", envelope)
        return True

    # Behaving

    def _behaviour(self, phase: Phase, *, count: bool = True) -> Behaviour | None:
        """What is out of the ordinary at this phase, if anything is."""
        if self._plan is not None and self._plan.phase == phase:
            found, self._plan = self._plan, None
            self._server.seen[self._plan_name] += 1
            return found
        name, times = _asked_for(self._recipients[0]) if self._recipients else ("", 0)
        found_here = OF_RECIPIENTS.get(name)
        if found_here is not None and found_here.phase == "quit":
            self._at_the_end = name
        if phase == "quit" and self._at_the_end is not None:
            self._server.seen[self._at_the_end] += 1
            return OF_RECIPIENTS[self._at_the_end]
        if found_here is None:
            return None
        key = f"{self._recipients[0]} {phase}"
        if times and self._server._times[key] >= times:
            return None
        if phase == "rcpt" and found_here.first is not None:
            self._server._times[key] += 1
            return Behaviour("rcpt", found_here.first)
        if found_here.phase != phase:
            return None
        if count:
            self._server._times[key] += 1
            self._server.seen[name] += 1
        return found_here

    def _answer(self, phase: Phase, envelope: Envelope | None = None) -> None:
        friendly = _FRIENDLY[phase]
        behaviour = self._behaviour(phase) or Behaviour(phase, friendly, "close" if phase == "quit" else "go on")
        if phase == "data" and (behaviour.say or "").startswith("354"):
            self._is_in_body = True
        wait = behaviour.after + (self._server.take_seconds if phase == "end" else 0)
        if wait:
            self._is_deaf = True
            self._server._loop.call_later(wait, self._do_late, behaviour, envelope)
        else:
            self._do(behaviour, phase, envelope)

    def _do_late(self, behaviour: Behaviour, envelope: Envelope | None) -> None:
        self._is_deaf = False
        self._do(behaviour, behaviour.phase, envelope)
        self._listen()

    def _do(self, behaviour: Behaviour, phase: str, envelope: Envelope | None = None) -> None:
        self.is_idle = phase in {"end", "rset"} and behaviour.then == "go on"
        if envelope is not None:
            self._server.in_hand -= 1
            if behaviour.say is not None and not self._peer_is_gone and not self.transport.is_closing():
                envelope.said, envelope.answered = behaviour.say, monotonic()
                envelope.verdict = _verdict_of(behaviour.say)
        if behaviour.say is not None:
            self._say(behaviour.say)
        match behaviour.then:
            case "close":
                self.transport.close()
            case "hang":
                self._is_deaf = True
            case "drip":
                self._is_deaf = True
                self._drip()
            case "go on" if envelope is not None and (idle := self._behaviour("idle")) is not None:
                self._server._loop.call_later(idle.after, self._do, idle, "")

    def _drip(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"2")
            self._server._loop.call_later(_DRIP_SECONDS, self._drip)

    def _say(self, text: str) -> None:
        if not self.transport.is_closing():
            self.transport.write(f"{text}\r\n".encode())


def _asked_for(recipient: str) -> tuple[str, int]:
    """The behaviour that an address asks for, and how often; 0 is always."""
    name, *rest = recipient.partition("@")[0].split(".")
    times = int(rest[0][1:]) if rest and re.fullmatch(r"x\d+", rest[0]) else 0
    return name, times


def _verdict_of(reply: str) -> Verdict:
    last = reply.rpartition("\n")[2]
    if re.match(r"2\d\d( |$)", last):
        return "taken"
    return "refused" if re.match(r"[45]\d\d( |$)", last) else "unknown"
