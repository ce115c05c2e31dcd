"""The application as it runs in production: gunicorn, in a process of its own, answering at a port of loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from io import BytesIO

from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from config import ROOT
from tests.support.browser import Browser

PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


@contextmanager
def gunicorn(settings: dict[str, str], *, app: str = "wsgi:app", workers: int = 1) -> Iterator[int]:
    """As `gunicorn.conf.py` has it. Gives its port; requests wait until it is ready."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        command = ["--workers", str(workers), "-b", f"fd://{listener.fileno()}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", app, *command, "--log-level", "warning"],
            cwd=ROOT,
            # As the operations page advises for workers with threads.
            env={**os.environ, "MALLOC_ARENA_MAX": "2", "SCHEDULER": "off", "TRUSTED_PROXIES": "0", **settings},
            pass_fds=[listener.fileno()],
        )
        port = listener.getsockname()[1]
    try:
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


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
            return Answer(response.status, dict(response.getheaders()), response.read().decode())
        finally:
            connection.close()
