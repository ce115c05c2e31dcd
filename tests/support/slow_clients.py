"""Clients that send slowly, or not all that they announce, or do not read what they get: at bare sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from threading import Event, Thread
from typing import Any, Self

PATIENCE_SECONDS = 30


def head(method: str, path: str, *headers: str) -> bytes:
    """The first lines of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: clients.harbour.test", *headers, "", ""]).encode()


class _Incoming:
    """What comes over a connection, read through one buffer: it may hold the next answer as well."""

    def __init__(self, connection: socket.socket) -> None:
        self.file = connection.makefile("rb")

    def makefile(self, _mode: str) -> _Incoming:
        return self

    def close(self) -> None:
        """An answer ends here, not the connection."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class SlowClient:
    """One connection. Use as a context."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._incoming = _Incoming(self._socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._incoming.file.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read_little(self) -> bytes:
        """The first bytes there are, or none when the other side has closed."""
        try:
            return self._socket.recv(64)
        except ConnectionResetError:
            return b""

    def answer(self) -> HTTPResponse:
        """Wait for an answer; its body is there to read."""
        response = HTTPResponse(self._incoming)  # type: ignore[arg-type]
        response.begin()
        return response

    def is_answered(self) -> bool:
        """Whether anything has come back, or the other side has closed, already."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        finally:
            self._socket.settimeout(PATIENCE_SECONDS)
        return True


@contextmanager
def dripping(port: int, count: int, first: bytes, *, seconds: float = 1.0) -> Iterator[list[SlowClient]]:
    """So many clients that have sent `first`, and send one byte more each time these seconds have passed."""
    clients = [SlowClient(port) for _ in range(count)]
    end = Event()

    def drip() -> None:
        open_ones = list(clients)
        while not end.wait(seconds):
            for client in list(open_ones):
                try:
                    client.send(b"x")
                except OSError:  # it was answered and closed
                    open_ones.remove(client)

    for client in clients:
        client.send(first)
    thread = Thread(target=drip, name="dripping")
    thread.start()
    try:
        yield clients
    finally:
        end.set()
        thread.join()
        for client in clients:
            client.close()
