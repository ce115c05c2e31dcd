"""The application as it runs in production: gunicorn, in a process of its own, answering at a port of loopback."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from tests.support.browser import Browser
from tests.support.child_process import Forked, Fresh

PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


@contextmanager
def gunicorn(settings: dict[str, str], *, app: str = "wsgi:app", workers: int = 1, fresh: bool = True) -> Iterator[int]:
    """As `gunicorn.conf.py` has it. Gives its port; requests wait until it is ready."""
    command = ["gunicorn", app, "--workers", str(workers), "--log-level", "warning"]
    # As the operations page advises for workers with threads.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "SCHEDULER": "off", "TRUSTED_PROXIES": "0", **settings}
    with TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            process = (Fresh if fresh else Forked)(command, environment, log, listener=listener)
            port = listener.getsockname()[1]
        try:
            yield port
        finally:
            process.tell_to_stop()
            if process.exit_code(PATIENCE_SECONDS) is None:
                process.kill()
            # Where pytest finds it, if the test has failed.
            print(log.read_text(), end="", file=sys.stderr)


class Visitor:
    """Somebody who is signed in already, at the port of another process on the same database."""

    def __init__(self, port: int, session_of: Browser) -> None:
        # The token first: asking for it for the first time changes the cookie.
        self._csrf_token = session_of.csrf_token()
        cookie = session_of.client.get_cookie("session")
        assert cookie is not None
        self._headers = {"Cookie": f"session={cookie.value}"}
        self._port = port

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, self._headers)

    def upload(self, path: str, data: bytes, *, field: str = "file", htmx: bool = False) -> Answer:
        """Post a file as a browser does."""
        return self.send(path, *self.form_with(data, field), htmx=htmx)

    def form_with(self, data: bytes, field: str = "file") -> tuple[bytes, str]:
        """The body of a request with this file, and its content type."""
        file = FileStorage(BytesIO(data), "clients.csv", content_type="text/csv")
        boundary, body = encode_multipart({"csrf_token": self._csrf_token, field: file})
        return body, f'multipart/form-data; boundary="{boundary}"'

    def send(self, path: str, body: bytes, content_type: str, *, htmx: bool = False) -> Answer:
        headers = self._headers | {"Content-Type": content_type} | ({"HX-Request": "true"} if htmx else {})
        return self._ask("POST", path, headers, body)

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read().decode(errors="replace"))
        finally:
            connection.close()
