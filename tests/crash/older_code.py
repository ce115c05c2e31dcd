"""Older code of ours out of git's history, and installations whose processes run this or that code."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Self, TypeVar
from urllib.parse import urlsplit

from app import create_app
from app.extensions import db
from config import ROOT, load_settings
from tests.crash.fault_smtp import BehavingSmtp
from tests.support.app_driver import AppDriver
from tests.support.child_process import Fresh
from tests.support.processes import FLASK, environment, wait_until
from tests.support.smtp import MailServer

RELEASE_0_1 = "4e6f50b696f3bf80d1a2930fbd5714991e8622f4"
"""The last commit of 0.1.0, whose newest migration is 0011."""
RENAMES_ENDED = "e508452ba0596891552df064719f18ca26a60db7"
"""The first commit whose newest migration is 0024. From here on, the code before a migration may run beside it."""

COMMAND_SECONDS = 180
_WEB_STOP_SECONDS, _WORKER_STOP_SECONDS = 40, 15
"""As the units in deploy/ have it."""
T = TypeVar("T")
GUNICORN = ["gunicorn", "wsgi:app", "--log-level", "warning"]

_FURNISH = """
import sys
from app import create_app
from app.models import Role, WebhookEvent
from app.webhooks.endpoints import EVENTS, add_endpoint
from config import load_settings
from tests.support.factories import make_member, make_portal

hook, *names = sys.argv[1:]
with create_app(load_settings()).app_context():
    for portal, admin in zip(names[::2], names[1::2]):
        make_portal(portal, "Harbour Tours")
        make_member(portal, admin, "Ada Berg", Role.CLIENT_ADMIN)
        add_endpoint(portal, hook, "", EVENTS)
"""


def is_known(commit: str) -> bool:
    """Whether git has this commit here: not in a shallow clone, nor in a folder without git."""
    try:
        return (
            subprocess.run(["git", "cat-file", "-e", f"{commit}^{{tree}}"], cwd=ROOT, capture_output=True).returncode
            == 0
        )
    except OSError:
        return False


def unpack(commit: str, folder: Path) -> Path:
    """The files of a commit, in a folder of that name. Returns it."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    root = folder / commit[:7]
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(root, filter="data")
    return root


@dataclass
class Running:
    """A process; what it says is in its log."""

    child: Fresh
    log: Path
    url: str = ""

    def wait(self) -> Self:
        """Wait until it is ready for work."""
        wait_until(
            lambda: status_of(f"{self.url}/readyz") == 200 if self.url else "worker: started" in self.said, "ready"
        )
        return self

    @property
    def said(self) -> str:
        return self.log.read_text()

    def stop(self) -> None:
        """Stop it as a supervisor does; it has to end well and in time."""
        self.child.tell_to_stop()
        code = self.child.exit_code(_WEB_STOP_SECONDS if self.url else _WORKER_STOP_SECONDS)
        assert code == 0, f"{code}\n{self.said[-5000:]}"


def status_of(url: str) -> int:
    """What a web process answers."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=COMMAND_SECONDS)
    try:
        connection.request("GET", address.path)
        return connection.getresponse().status
    finally:
        connection.close()


class Site:
    """A database, a mail server, and processes of whatever code. They run in the virtualenv of the tests."""

    def __init__(self, folder: Path, database_url: str, mail_server: MailServer | BehavingSmtp) -> None:
        self._folder = folder
        self._running: list[Running] = []
        self.settings = {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "tide-Lantern-93-orchard-Velvet-27",
            "PUBLIC_BASE_URL": "http://clients.harbour.test",
            "MAIL_SERVER": mail_server.host,
            "MAIL_PORT": str(mail_server.port),
            "OUTBOX_INTERVAL_SECONDS": "0.2",
            "TRUSTED_PROXIES": "1",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        }

    @contextmanager
    def open(self) -> Iterator[Site]:
        """Whatever still runs at the end is killed."""
        try:
            yield self
        finally:
            for one in self._running:
                one.child.kill()

    def furnish(self, root: Path, hook: str, admins: Mapping[str, str]) -> None:
        """Make portals, each with an admin and an endpoint, by the code that is in `root`."""
        command = [sys.executable, "-c", _FURNISH, hook, *chain.from_iterable(admins.items())]
        done = subprocess.run(command, cwd=root, env=environment(self.settings), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def flask(self, root: Path, *words: str) -> float:
        """Run a command to its end, which has to be a good one. Returns how many seconds it took."""
        began = monotonic()
        running = self._start(root, [*FLASK, *words])
        assert running.child.exit_code(COMMAND_SECONDS) == 0, running.said
        return monotonic() - began

    def web(self, root: Path) -> Running:
        """A web process at an address of its own, where requests wait until it is ready."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        running = self._start(root, GUNICORN, listener, url)
        listener.close()  # so that nobody waits there when it has ended
        return running

    def worker(self, root: Path) -> Running:
        return self._start(root, [*FLASK, "worker"])

    def do(self, work: Callable[[], T]) -> T:
        """Call a function with today's code, on the database."""
        driver = AppDriver(create_app(load_settings(self.settings)))
        try:
            return driver.do(work)
        finally:
            driver.do(lambda: db.engine.dispose())

    @property
    def troubles(self) -> Sequence[str]:
        """The errors and tracebacks that processes tell of."""
        lines = [line for one in self._running for line in one.said.splitlines()]
        return [line for line in lines if '"level": "error"' in line or "Traceback" in line]

    def _start(
        self, root: Path, command: Sequence[str], listener: socket.socket | None = None, url: str = ""
    ) -> Running:
        log = self._folder / f"{len(self._running)}-{root.name}-{command[-1]}.log"
        running = Running(Fresh(command, environment(self.settings), log, listener=listener, root=root), log, url)
        self._running.append(running)
        return running
