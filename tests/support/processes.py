"""The application as it is deployed: processes of their own, with their settings in the environment."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from app import create_app
from config import ROOT, load_settings
from tests.support.app_driver import AppDriver
from tests.support.child_process import Forked, Fresh, run
from tests.support.smtp import MailServer

PATIENCE_SECONDS = 30
STOP_SECONDS = 10
"""What supervisors grant a process before they kill it."""

FLASK = ["flask", "--app", "wsgi"]
GUNICORN = ["gunicorn", "wsgi:app", "-w", "2"]

# An empty value hides one of the developer's own `.env`.
_NONE_SET = dict.fromkeys(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE), "")


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """These settings and no others."""
    return {**os.environ, **_NONE_SET, **settings}


def wait_until(holds: Any, what: str) -> None:
    """Look again and again until it holds."""
    deadline = monotonic() + PATIENCE_SECONDS
    while not holds():
        assert monotonic() < deadline, f"in vain: {what}"
        sleep(0.02)


class Process:
    """A command that runs until it is told to stop; what it says goes into a file."""

    def __init__(
        self,
        command: Sequence[str],
        settings: Mapping[str, str],
        log: Path,
        listener: socket.socket | None = None,
        *,
        fresh: bool = False,
    ) -> None:
        """Forked, or with an interpreter of its own if it is to be fresh."""
        log.touch()
        self._log = log
        self._child = (Fresh if fresh else Forked)(command, environment(settings), log, listener=listener)

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.is_running

    def tell_to_stop(self) -> None:
        """SIGTERM, as from a supervisor."""
        self._child.tell_to_stop()

    def kill(self) -> None:
        """SIGKILL, as from a machine that has no memory left."""
        self._child.kill()

    def exit_code(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; whoever does not end in time is killed, and the test has failed."""
        code = self._child.exit_code(seconds)
        if code is None:
            self.kill()
            raise TimeoutError(self.said)
        return code

    def stop(self) -> None:
        """Stop it as a supervisor does; it has to end well and in time."""
        self.tell_to_stop()
        assert self.exit_code() == 0, self.said


class Deployment:
    """One installation; web processes and workers are started on it as they are needed."""

    def __init__(self, folder: Path, database_url: str, mailboxes: MailServer) -> None:
        self.folder = folder
        self.mailboxes = mailboxes
        # Bound from the beginning, so that PUBLIC_BASE_URL can name it; gunicorn inherits it.
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.settings = {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "a key for tests and nothing else",
            "PUBLIC_BASE_URL": self.url,
            "MAIL_SERVER": mailboxes.host,
            "MAIL_PORT": str(mailboxes.port),
            "OUTBOX_INTERVAL_SECONDS": "0.2",
        }
        self._logs = 0
        self._worker: Process | None = None

    def close(self) -> None:
        self.let_no_worker_run()
        self._listener.close()

    def flask(self, *words: str, typed: str = "") -> str:
        """Run a command to its end; what it prints."""
        done = run([*FLASK, *words], environment(self.settings), typed=typed, seconds=PATIENCE_SECONDS)
        assert done.returncode == 0, done.stderr
        self._next_log().write_text(done.stdout + done.stderr)
        return done.stdout

    @contextmanager
    def web(self, **settings: str) -> Iterator[str]:
        """gunicorn with two workers, at our address or, with settings of its own, at another; gives the address."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=64) if settings else self._listener
        process = Process(GUNICORN, self.settings | settings, self._next_log(), listener)
        try:
            # Whoever comes too early waits at the door: the socket is open already.
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            if settings:
                listener.close()
            process.stop()

    def start_worker(self, *, fresh: bool = False, **settings: str) -> Process:
        """A worker; whoever starts it stops it."""
        process = Process([*FLASK, "worker"], self.settings | settings, self._next_log(), fresh=fresh)
        wait_until(lambda: "worker: started" in process.said or not process.is_running, "the worker has started")
        assert process.is_running, process.said
        return process

    def let_worker_run(self) -> None:
        """One worker, from now on, for whoever needs nothing else of it than that it works."""
        if self._worker is None:
            self._worker = self.start_worker()

    def let_no_worker_run(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    @contextmanager
    def worker(self, *, fresh: bool = False, **settings: str) -> Iterator[Process]:
        process = self.start_worker(fresh=fresh, **settings)
        try:
            yield process
        finally:
            process.stop()

    @property
    def logs(self) -> str:
        """Everything that any process of it has said so far."""
        return "\n".join(log.read_text() for log in sorted(self.folder.glob("*.log")))

    @cached_property
    def app_driver(self) -> AppDriver:
        return AppDriver(create_app(load_settings(self.settings)))

    def _next_log(self) -> Path:
        self._logs += 1
        return self.folder / f"{self._logs}.log"
