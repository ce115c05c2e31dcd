"""The program's processes, started quickly: forked from one that has imported the application and done nothing else.

A process takes a second and a half to start, most of it importing; a hundred are to be killed. What is run is the
deployed commands themselves, `flask --app wsgi worker` and gunicorn, with a session and an environment of their own.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from tests.crash import crash_points

_IMPORTED_BEFORE = (
    "app.jobs.scheduler",
    "app.registration.routes",
    "gunicorn.app.wsgiapp",
    "webserver.gunicorn_worker",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
)

if any("forkserver" in word for word in sys.orig_argv):
    # We are the one that all others are forked from.
    for _name in _IMPORTED_BEFORE:
        import_module(_name)

if TYPE_CHECKING:
    from tests.crash.crash_points import Orders

_nursery = multiprocessing.get_context("forkserver")
_nursery.set_forkserver_preload(["tests.crash.child_process"])


class ChildProcess:
    """A process of the program. Its session is its own, so that it is killed with all its children."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        orders: Orders,
        listener: socket.socket | None = None,
    ) -> None:
        self.log = log
        log.touch()
        self._process: ForkServerProcess = _nursery.Process(
            target=_live, args=(list(command), dict(environment), str(log), str(orders.path), listener), daemon=False
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    def tell_to_stop(self) -> None:
        """SIGTERM, as from a supervisor."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> float:
        """SIGKILL for it and its children; returns the moment."""
        moment = monotonic()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.join(10)
        return moment

    def freeze(self) -> None:
        """SIGSTOP for it and its children. Its threads run on until the signal has come to them: see `is_frozen`."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)

    @property
    def is_frozen(self) -> bool:
        """Whether every one of its threads stands still."""
        try:
            threads = [(thread / "stat").read_text() for thread in Path(f"/proc/{self.pid}/task").iterdir()]
        except OSError:  # one has ended meanwhile
            return False
        return all(thread.rpartition(")")[2].split()[0] == "T" for thread in threads)

    def exit_code(self, seconds: float) -> int | None:
        """Wait for its end; None if it did not come in time."""
        self._process.join(seconds)
        return self._process.exitcode


def _live(
    command: list[str], environment: dict[str, str], log: str, orders: str, listener: socket.socket | None
) -> None:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    crash_points.wrap(crash_points.Orders(Path(orders)))
    if command[0] == "gunicorn":
        from gunicorn.app.wsgiapp import run

        assert listener is not None
        os.set_inheritable(listener.fileno(), True)
        sys.argv = [*command, "-b", f"fd://{listener.fileno()}"]
        run()
    else:
        from flask.cli import main

        sys.argv = list(command)
        main()
