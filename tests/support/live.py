"""The application behind a real port of loopback, in threads of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from app.jobs.scheduler import start_embedded


class _Handler(WSGIRequestHandler):
    # One request a connection: a server that has stopped is gone for everybody, at once.
    protocol_version = "HTTP/1.0"

    def log(self, *args: Any) -> None:
        """Nothing: the test says what went wrong."""


class LiveServer:
    """Has its address from the beginning, so that the settings can name it; answers from `start` on."""

    def __init__(self) -> None:
        self._server = self._listen(0)
        self.port = self._server.port
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self, app: Flask) -> None:
        self._server.app = app
        self._thread = Thread(target=self._server.serve_forever, args=[0.02], name="live-server")
        self._thread.start()

    def stop(self) -> None:
        """Be gone, as a server is that was switched off."""
        self._server.shutdown()
        self._thread.join()

    def start_again(self) -> None:
        """Answer at the same address as before."""
        app = self._server.app
        self._server = self._listen(self.port)
        self.start(app)

    @staticmethod
    def _listen(port: int) -> BaseWSGIServer:
        def not_yet(environ: object, start_response: object) -> list[bytes]:
            raise RuntimeError("not started")

        return make_server("127.0.0.1", port, not_yet, threaded=True, request_handler=_Handler)


@contextmanager
def serving(server: LiveServer, app: Flask) -> Iterator[LiveServer]:
    """Serve the application with its scheduler, and end both."""
    scheduler = start_embedded(app)
    server.start(app)
    try:
        yield server
    finally:
        server.stop()
        scheduler.stop()
