"""The deployed commands in processes of their own: `flask ...`, `gunicorn ...` and `wsgi.py ...`.

A fresh interpreter takes two seconds to import the application. So a process is forked, from one that has imported it
and done nothing else; after that it does what a fresh one does. Not the same are what its memory holds in the beginning
and how it shares figures: `prometheus_client` decides that when it is imported. Tests of these take a fresh one, and so
does one test at least of each command.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from config import ROOT

_IMPORTED_BEFORE = (
    "app.demo.server",
    "app.jobs.scheduler",
    "gunicorn.app.wsgiapp",
    "webserver.gunicorn_worker",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
)

if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    # We are the one that all others are forked from.
    for _name in _IMPORTED_BEFORE:
        import_module(_name)
    assert threading.active_count() == 1
    assert "wsgi" not in sys.modules, "it reads the settings"

_forkserver = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload([__name__])

_FRESH = {"flask": ["-m", "flask"], "gunicorn": ["-m", "gunicorn"], "wsgi.py": ["wsgi.py"]}


class _Child:
    """A process in a session of its own, so that it is killed with all its children."""

    pid: int

    @property
    def is_running(self) -> bool:
        return self.exit_code(0) is None

    def exit_code(self, seconds: float) -> int | None:
        """Wait for its end; None if it does not come in time."""
        raise NotImplementedError

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def tell_to_stop(self) -> None:
        """SIGTERM, as from a supervisor."""
        self.send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL for it and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.is_running:
            # Its session may not have begun yet.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.exit_code(10)


class Forked(_Child):
    """Forked from the one that has the application; `prepare` is called in it before the command begins."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: Path,
        *,
        complaints: Path | None = None,
        typed: str = "",
        listener: socket.socket | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """What it says goes into `output`, with its complaints unless they have a file; gunicorn gets the listener."""
        files = (str(output), str(complaints or output))
        # A daemon is ended with the tests, if one of them has left it.
        self._process: ForkServerProcess = _forkserver.Process(
            target=_live, args=(list(command), dict(environment), files, typed, listener, prepare), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def exit_code(self, seconds: float) -> int | None:
        self._process.join(seconds)
        return self._process.exitcode


class Fresh(_Child):
    """An interpreter of its own, as an operator starts it; `root` is the folder of the code."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: Path,
        *,
        complaints: Path | None = None,
        typed: str = "",
        listener: socket.socket | None = None,
        root: Path = ROOT,
    ) -> None:
        with output.open("ab") as said, (complaints or output).open("ab") as complained:
            self._process = subprocess.Popen(
                [sys.executable, *_FRESH[command[0]], *command[1:], *_bound_to(listener)],
                cwd=root,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=complained,
                pass_fds=[listener.fileno()] if listener else (),
                start_new_session=True,
            )
        self.pid = self._process.pid
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(typed.encode())

    def exit_code(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


def run(
    command: Sequence[str], environment: Mapping[str, str], *, typed: str = "", fresh: bool = False, seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which has to come in time."""
    start = Fresh if fresh else Forked
    with TemporaryDirectory() as folder:
        output, complaints = Path(folder, "output"), Path(folder, "complaints")
        child = start(command, environment, output, complaints=complaints, typed=typed)
        code = child.exit_code(seconds)
        if code is None:
            child.kill()
            raise subprocess.TimeoutExpired(command, seconds, output.read_text(), complaints.read_text())
        return subprocess.CompletedProcess(command, code, output.read_text(), complaints.read_text())


def _bound_to(listener: socket.socket | None) -> list[str]:
    return ["-b", f"fd://{listener.fileno()}"] if listener else []


# In the process that is forked


def _live(
    command: list[str],
    environment: dict[str, str],
    files: tuple[str, str],
    typed: str,
    listener: socket.socket | None,
    prepare: Callable[[], None] | None,
) -> None:
    os.setsid()
    os.chdir(ROOT)
    _connect(files, typed)
    os.environ.clear()
    os.environ.update(environment)
    if prepare:
        prepare()
    if listener:
        os.set_inheritable(listener.fileno(), True)
    sys.argv = [*command, *_bound_to(listener)]
    try:
        _run(command[0])
    finally:
        # As an interpreter ends; multiprocessing leaves this out. A web process of gunicorn comes by here too.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()


def _connect(files: tuple[str, str], typed: str) -> None:
    for descriptor, name in enumerate(files, start=1):
        file = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(file, descriptor)
        os.close(file)
    reading, writing = os.pipe()
    os.write(writing, typed.encode())
    os.close(writing)
    os.dup2(reading, 0)
    os.close(reading)
    sys.stdin = os.fdopen(0, closefd=False)


def _run(program: str) -> None:
    if program == "wsgi.py":
        runpy.run_path(program, run_name="__main__")
    elif program == "gunicorn":
        from gunicorn.app import wsgiapp

        wsgiapp.run()
    else:
        from flask import cli

        cli.main()
