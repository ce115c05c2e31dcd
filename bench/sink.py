"""The sink: a mail server that takes every mail and counts it. A small process of its own, so it is not the bottleneck.

    python -m bench.sink

It listens on a free loopback port. It reads questions from stdin and writes answers to stdout, each a line of JSON; the
first line it writes holds the port. Questions: `{"do": "reset", "latency": SECONDS, "keep": BOOLEAN}` resets the
counts; with `"drips": DOMAIN` it never finishes taking mails for that domain. `{"do": "count"}` returns what was taken
since the reset. `{"do": "mails"}` returns the mails themselves, if they were kept.
"""

from __future__ import annotations

import asyncio
import json
import sys
from hashlib import sha256
from threading import Thread
from time import monotonic, process_time
from typing import Any

_GREETING = b"220 sink ESMTP\r\n"
_FEATURES = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 10485760\r\n"
_OK = b"250 OK\r\n"
_GO_AHEAD = b"354 Go ahead\r\n"
_BYE = b"221 Bye\r\n"
DRIP_SECONDS = 0.5
_END = b"\r\n.\r\n"


class Sink:
    """What was taken since the last reset. `latency`: seconds before the answer to a whole mail.

    `drips`: mails for this domain are answered with one byte every half second (`DRIP_SECONDS`), without an end.
    """

    def __init__(self) -> None:
        self.reset(0.0)

    def reset(self, latency: float, *, keep: bool = False, drips: str = "") -> None:
        self.latency = latency
        self.drips = drips.encode()
        self.dripping = 0
        self.recipients: list[bytes] = []
        self.connections = 0
        self.first: float | None = None
        self.last: float | None = None
        self.kept: list[tuple[bytes, bytes]] | None = [] if keep else None
        self._worked = process_time()

    def take(self, recipient: bytes, content: bytes) -> None:
        self.recipients.append(recipient)
        self.last = monotonic()
        self.first = self.first or self.last
        if self.kept is not None:
            self.kept.append((recipient, content))

    def count(self) -> dict[str, object]:
        return {
            "mails": len(self.recipients),
            "distinct": len(set(self.recipients)),
            "who": fingerprint([one.decode() for one in self.recipients]),
            "connections": self.connections,
            "dripping": self.dripping,
            "first": self.first,
            "last": self.last,
            "worked": process_time() - self._worked,
        }


def fingerprint(recipients: list[str]) -> str:
    """A hash of the recipients that does not depend on their order."""
    return sha256("\n".join(sorted(recipients)).encode()).hexdigest()


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink, loop: asyncio.AbstractEventLoop) -> None:
        self._sink = sink
        self._loop = loop
        self._unread = b""
        self._recipient = b""
        self._is_content = False
        self._is_thinking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sink.connections += 1
        transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if not self._is_thinking:
            self._go_on()

    def _go_on(self) -> None:
        replies = []
        while not self._is_thinking:
            end, _, rest = self._unread.partition(_END if self._is_content else b"\r\n")
            if len(end) == len(self._unread):
                break
            self._unread = rest
            if not self._is_content:
                replies.append(self._command(end))
                continue
            self._is_content = False
            if self._sink.drips and self._recipient.endswith(b"@" + self._sink.drips):
                self._is_thinking = True
                self._sink.dripping += 1
                self._drip()
                continue
            self._sink.take(self._recipient, end)
            if self._sink.latency:
                self._is_thinking = True
                self._loop.call_later(self._sink.latency, self._taken)
            else:
                replies.append(_OK)
        if replies:
            self._transport.write(b"".join(replies))
        if _BYE in replies:
            self._transport.close()

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"2")
            self._loop.call_later(DRIP_SECONDS, self._drip)

    def _taken(self) -> None:
        self._transport.write(_OK)
        self._is_thinking = False
        self._go_on()

    def _command(self, line: bytes) -> bytes:
        word = line[:4].upper()
        if word == b"RCPT":
            self._recipient = line[line.index(b"<") + 1 : line.index(b">")]
        elif word == b"DATA":
            self._is_content = True
            return _GO_AHEAD
        elif word == b"EHLO":
            return _FEATURES
        elif word == b"QUIT":
            return _BYE
        return _OK


async def serve() -> None:
    sink, loop, ended = Sink(), asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(lambda: _Connection(sink, loop), "127.0.0.1", 0, backlog=256)

    def answer(question: dict[str, Any]) -> None:
        match question["do"]:
            case "reset":
                sink.reset(question["latency"], keep=question["keep"], drips=question.get("drips", ""))
                _say({})
            case "count":
                _say(sink.count())
            case "mails":
                # Undoes SMTP's dot-stuffing (RFC 5321, 4.5.2).
                kept = [(who.decode(), what.replace(b"\r\n..", b"\r\n.").decode()) for who, what in sink.kept or ()]
                _say({"mails": kept})

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(answer, json.loads(line))
        loop.call_soon_threadsafe(ended.set)

    _say({"port": server.sockets[0].getsockname()[1]})
    Thread(target=listen, daemon=True).start()
    await ended.wait()


def _say(words: dict[str, object]) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
