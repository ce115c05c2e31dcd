"""A web server that does what it is told, also what real ones do only on a bad day.

    with ScriptedHttp(lambda request: Reply(500)) as server:
        ...  # talk to server.url
        assert server.requests[0].body == b"..."

It remembers each request that came whole, and can be away for a while: `stop` and `start` keep the port.
"""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Self


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer as it should be, `after` so many seconds."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0


@dataclass(frozen=True)
class Raw:
    """These bytes, and then the end of the connection."""

    content: bytes


@dataclass(frozen=True)
class Hang:
    """Say nothing, and keep the connection open."""


@dataclass(frozen=True)
class Drip:
    """Begin like this, and go on with one byte at a time, `pause` seconds apart."""

    start: bytes = b""
    pause: float = 0.05


@dataclass(frozen=True)
class Flood:
    """Begin like this, and go on with more of the other without an end."""

    start: bytes
    more: bytes


Act = Reply | Raw | Hang | Drip | Flood


def _always_well(_request: Request) -> Act:
    return Reply()


class ScriptedHttp:
    """Listens on loopback while it is entered; under TLS with a context. What it does is asked of `act` each time."""

    def __init__(
        self,
        act: Callable[[Request], Act] = _always_well,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.act = act
        self.tls = tls
        self.host = host
        self.port = 0
        self.requests: list[Request] = []
        self.connections = 0
        self._lock = Lock()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}/hooks"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._stopping = Event()
        self._open: list[socket.socket] = []
        self._threads: list[Thread] = []
        self._listener = socket.create_server((self.host, self.port))
        self.port = self._listener.getsockname()[1]
        self._begin(self._accept)

    def stop(self) -> None:
        self._stopping.set()
        for sock in [self._listener, *self._open]:
            _shut(sock)
        for thread in self._threads:
            thread.join(timeout=5)

    def _begin(self, target: Callable[[], None]) -> None:
        thread = Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._stopping.is_set():
                sock, _ = self._listener.accept()
                self.connections += 1
                self._open.append(sock)
                self._begin(lambda sock=sock: self._talk(sock))  # type: ignore[misc]

    def _talk(self, sock: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            request = _read(sock.makefile("rb"))
            with self._lock:
                self.requests.append(request)
            self._answer(sock, self.act(request))
        _shut(sock)

    def _answer(self, sock: socket.socket, act: Act) -> None:
        match act:
            case Reply(status, body, headers, after):
                self._stopping.wait(after)
                lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(body)}"]
                lines += [f"{name}: {value}" for name, value in headers.items()]
                sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            case Raw(content):
                sock.sendall(content)
            case Hang():
                self._stopping.wait()
            case Drip(start, pause):
                sock.sendall(start)
                while not self._stopping.wait(pause):
                    sock.sendall(b"1")
            case Flood(start, more):
                sock.sendall(start)
                while not self._stopping.is_set():
                    sock.sendall(more)


def _read(lines: io.BufferedReader) -> Request:
    method, path, _version = lines.readline().decode().split(" ")
    headers = {}
    while line := lines.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(method, path, headers, lines.read(int(headers.get("content-length", "0"))))


def _shut(sock: socket.socket) -> None:
    # shutdown() wakes a thread that waits in accept() or recv(); close() alone does not.
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
