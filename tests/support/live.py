"""The application behind a real port of loopback, in threads of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Thread
from typing import Any

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from app.jobs.schedule import jobs
from app.jobs.scheduler import JobScheduler, start_embedded

_WAITED_FOR = {"flush-outbox", "flush-webhooks"}
"""The jobs that somebody at a browser waits for. The others run once as a scheduler starts, which takes its time."""
_END_SECONDS = 20


class _Handler(WSGIRequestHandler):
    # One request a connection: a server that has stopped is gone for everybody, at once.
    protocol_version = "HTTP/1.0"

    live: LiveServer

    def run_wsgi(self) -> None:
        with self.live.one_more():
            super().run_wsgi()

    def log(self, *args: Any) -> None:
        """Nothing: the test says what went wrong."""


class LiveServer:
    """Has its address from the beginning, so that the settings can name it; answers from `start` on."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._under_way = 0
        self._was_stopped = False
        self._thread: Thread | None = None
        self._server = self._listen(0)
        self.port = self._server.port
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self, app: Flask) -> None:
        """Answer with this application, from now on or instead of the one before."""
        if self._was_stopped:
            self._server, self._was_stopped = self._listen(self.port), False
        self._server.app = app
        if self._thread is None:
            self._thread = Thread(target=self._server.serve_forever, args=[0.02], name="live-server")
            self._thread.start()

    def stop(self) -> None:
        """Be gone, as a server is that was switched off."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread, self._was_stopped = None, True

    def rest(self) -> None:
        """Keep the address, but answer nobody until the next start. Returns when no request is under way any more."""
        self._server.app = _not_yet
        with self._changed:
            assert self._changed.wait_for(lambda: self._under_way == 0, _END_SECONDS), "a request does not end"

    def start_again(self) -> None:
        """Answer at the same address as before."""
        self.start(self._server.app)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """One more request is under way."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._changed:
            self._under_way += more
            self._changed.notify_all()

    def _listen(self, port: int) -> BaseWSGIServer:
        class Handler(_Handler):
            live = self

        return make_server("127.0.0.1", port, _not_yet, threaded=True, request_handler=Handler)


def _not_yet(environ: object, start_response: object) -> list[bytes]:
    raise RuntimeError("not started")


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


@contextmanager
def answering(server: LiveServer, app: Flask) -> Iterator[None]:
    """Let a server that stays answer with the application for a while, and have its mails and webhooks sent."""
    scheduler = JobScheduler(app, [job for job in jobs(app) if job.name in _WAITED_FOR])
    server.start(app)
    try:
        yield
    finally:
        server.rest()
        scheduler.stop()
