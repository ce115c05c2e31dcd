"""A reverse proxy in front of the application, that answers in its place, or breaks, when it is told to."""

from __future__ import annotations

import http.client
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

BAD_GATEWAY = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
CAPTIVE_PORTAL = b"<!doctype html><title>Welcome</title><h1>Welcome to the hotel</h1><p>Accept our terms to go on.</p>"
# Of the hop between two, and so not passed on.
_OF_THE_HOP = {"connection", "keep-alive", "transfer-encoding", "server", "date"}


class Mode(StrEnum):
    """What it does with a request."""

    PASS = "passes it on"
    BAD_GATEWAY = "answers 502, as nginx while the application starts anew"
    CAPTIVE_PORTAL = "answers 200 with a page of somebody else's"
    RESET = "resets the connection"
    LOSE = "passes it on, and resets the connection in place of the answer"
    CUT = "passes it on, and half of the answer back"


class Proxy:
    """Listens on loopback from `start` on. `mode` is for requests of these methods whose path ends with `path`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._mode, self._methods, self._path = Mode.PASS, {"GET", "POST"}, ""
        self._released = Event()
        self._released.set()
        self.asked: list[str] = []
        """Method and path of each request that came."""
        proxy = self

        class Handler(_Handler):
            front = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread = Thread(target=self._server.serve_forever, args=[0.02], name="proxy")
        self._thread.start()

    def forget(self) -> None:
        """Be as at the beginning, at the same address."""
        self.release()
        self._mode, self._methods, self._path = Mode.PASS, {"GET", "POST"}, ""
        self.asked.clear()

    def stop(self) -> None:
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @contextmanager
    def doing(self, mode: Mode, *, method: str | None = None, path: str = "") -> Iterator[None]:
        """Do this for a while, to all requests or some."""
        self._methods, self._path = {method} if method else {"GET", "POST"}, path
        self._mode = mode
        yield
        self._mode = Mode.PASS

    def hold(self) -> None:
        """Keep the answers to posts back until `release`."""
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    def count(self, method: str, path: str) -> int:
        """How many requests came for addresses that end so."""
        return sum(asked.startswith(f"{method} ") and asked.endswith(path) for asked in self.asked)

    def mode_for(self, method: str, path: str) -> Mode:
        return self._mode if method in self._methods and path.endswith(self._path) else Mode.PASS

    def wait(self) -> None:
        self._released.wait(10)

    def ask(self, handler: BaseHTTPRequestHandler) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the application answers."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.request(handler.command, handler.path, body, dict(handler.headers.items()))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, [pair for pair in answer.getheaders() if pair[0].lower() not in _OF_THE_HOP], text


class _Handler(BaseHTTPRequestHandler):
    front: Proxy

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.front.asked.append(f"{self.command} {path}")
        mode = self.front.mode_for(self.command, path)
        if mode is Mode.RESET:
            self._reset()
        elif mode is Mode.BAD_GATEWAY:
            self._answer(502, [("Content-Type", "text/html"), ("Content-Length", str(len(BAD_GATEWAY)))], BAD_GATEWAY)
        elif mode is Mode.CAPTIVE_PORTAL:
            length = str(len(CAPTIVE_PORTAL))
            self._answer(200, [("Content-Type", "text/html"), ("Content-Length", length)], CAPTIVE_PORTAL)
        else:
            status, headers, body = self.front.ask(self)
            if self.command == "POST":
                self.front.wait()
            if mode is Mode.LOSE:
                self._reset()
            else:
                self._answer(status, headers, body[: len(body) // 2] if mode is Mode.CUT else body)

    do_POST = do_GET

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()
        self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            """The browser, or we, have gone in the middle of it."""

    def log_message(self, *_args: Any) -> None:
        """Nothing: the test says what went wrong."""
