"""`python wsgi.py` as a person runs it: one command, a browser without JavaScript, Ctrl+C, and again."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import pytest

from app.demo.data import HARBOUR, PASSWORD
from tests.support.browser import ic
from tests.support.child_process import Forked, Fresh, run
from tests.support.scripted_http import Reply, ScriptedHttp

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_SECONDS = 30

# A setting that is empty hides the one of the same name in somebody's .env.
NO_SETTINGS = {
    "DATABASE_URL": "",
    "INVITATION_TTL_SECONDS": "",
    "MAIL_ALLOWED_NETWORKS": "",
    "WEBHOOK_ALLOWED_NETWORKS": "",
    "MAIL_DEFAULT_SENDER": "",
    "MAIL_PASSWORD": "",
    "MAIL_PORT": "",
    "MAIL_SERVER": "",
    "MAIL_USERNAME": "",
    "MAIL_USE_SSL": "",
    "MAIL_USE_TLS": "",
    "OUTBOX_CONNECTIONS": "",
    "OUTBOX_INTERVAL_SECONDS": "",
    "PUBLIC_BASE_URL": "",
    "SCHEDULER": "",
    "SECRET_KEY": "",
    "SECRET_KEY_FALLBACKS": "",
    "TRUSTED_PROXIES": "",
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def command_of(folder: Path) -> list[str]:
    return ["wsgi.py", "--folder", str(folder)]


def run_to_its_end(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start a server that is expected not to run."""
    environment = {**os.environ, **NO_SETTINGS, "PORT": str(free_port()), **settings}
    return run(command_of(folder), environment, seconds=PATIENCE_SECONDS)


class DemoServer:
    """The first-run server in a process of its own, running while entered."""

    def __init__(self, folder: Path, port: int, logs: Path, *, fresh: bool) -> None:
        self.port = port
        self.address = f"http://localhost:{port}"
        self._output, self._complaints = logs / "output", logs / "complaints"
        environment = {**os.environ, **NO_SETTINGS, "PORT": str(port)}
        start = Fresh if fresh else Forked
        self.process = start(command_of(folder), environment, self._output, complaints=self._complaints)

    def __enter__(self) -> Self:
        try:
            wait_for(self._is_ready)
        except BaseException:
            # Whoever does not get in does not leave either, and it would run on.
            self.process.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    def _is_ready(self) -> bool:
        assert self.process.is_running, self._complaints.read_text()
        try:
            with urlopen(f"{self.address}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, ConnectionError, TimeoutError):
            return False

    def stop(self, by: signal.Signals) -> tuple[int | None, str, str]:
        """Exit code and what was printed and complained about."""
        self.process.send(by)
        return self.process.exit_code(10), self._output.read_text(), self._complaints.read_text()


class Person:
    """Somebody at a browser, signed in as the demo's client admin."""

    def __init__(self, server: DemoServer) -> None:
        self._address = server.address
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))
        self.send("/login", {"email": HARBOUR.admin.email, "password": PASSWORD})

    def open(self, path: str, data: bytes | None = None) -> HTTPResponse:
        """Follows redirects; an error status is an exception."""
        url = path if path.startswith("http") else self._address + path
        response: HTTPResponse = self._opener.open(url, data, timeout=PATIENCE_SECONDS)
        return response

    def get(self, path: str) -> str:
        with self.open(path) as response:
            return response.read().decode()

    def send(self, path: str, fields: dict[str, str]) -> str:
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/password-reset"))
        assert token
        with self.open(path, urlencode({**fields, "csrf_token": token[1]}).encode()) as response:
            return response.read().decode()

    def add_client(self, company: str, email: str) -> None:
        assert email in self.send(ic(HARBOUR.id), {"company_name": company, "email": email})

    def mails_to(self, email: str) -> list[str]:
        """The addresses of the mails' pages."""
        entry = re.compile(r'<a href="(/demo/mail/[0-9a-f-]+)">.*?</a>', re.DOTALL)
        return [found[1] for found in entry.finditer(self.get("/demo/mail")) if f"To {email}<" in found[0]]

    def link_in(self, mail_path: str) -> str:
        found = re.search(r'<a href="(http[^"]+)"', self.get(f"{mail_path}?part=text"))
        assert found
        return found[1]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "var"


@pytest.fixture
def start(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., DemoServer]]:
    """Starts the server, always in the same folder and on the same port."""
    port = free_port()
    with ExitStack() as running:

        def start(*, fresh: bool = False) -> DemoServer:
            return running.enter_context(DemoServer(folder, port, tmp_path_factory.mktemp("logs"), fresh=fresh))

        yield start


def test_invite_read_the_mail_stop_and_go_on(start: Callable[..., DemoServer], folder: Path) -> None:
    server = start(fresh=True)
    admin = Person(server)
    assert HARBOUR.invitees[0].company in admin.get(ic(HARBOUR.id))
    assert "alpine" in admin.get("/portals")

    admin.add_client("Nordlicht Reisen", "info@nordlicht.example")
    wait_for(lambda: len(admin.mails_to("info@nordlicht.example")) == 1)
    (mail,) = admin.mails_to("info@nordlicht.example")
    link = admin.link_in(mail)
    assert link.startswith(f"{server.address}/invitations/")
    assert "Nordlicht Reisen" in admin.get(link)

    # What is asked for in the last moment is sent now or after the next start, once.
    admin.add_client("Last Minute Tours", "desk@last-minute.example")
    exit_code, output, complaints = server.stop(signal.SIGTERM)
    assert (exit_code, complaints) == (0, "")
    for said in (f"{server.address}{ic(HARBOUR.id)}", f"{server.address}/demo/mail", HARBOUR.admin.email, PASSWORD):
        assert said in output

    began = time.monotonic()
    server = start()
    assert time.monotonic() - began < 10
    admin = Person(server)
    page = admin.get(ic(HARBOUR.id))
    for company in ("Nordlicht Reisen", "Last Minute Tours", HARBOUR.invitees[0].company):
        assert page.count(f">{company}</a></td>") == 1
    wait_for(lambda: len(admin.mails_to("desk@last-minute.example")) == 1)
    assert admin.mails_to("info@nordlicht.example") == [mail]
    assert "Nordlicht Reisen" in admin.get(link)
    exit_code, _output, complaints = server.stop(signal.SIGINT)
    assert (exit_code, complaints) == (0, "")
    assert (folder / "secret_key").stat().st_mode & 0o777 == 0o600


def test_it_is_served_to_this_machine_only(start: Callable[..., DemoServer]) -> None:
    server = start()
    # Any other address of this machine stands for those that others can reach.
    with pytest.raises(OSError, match=r"."):
        socket.create_connection(("127.0.0.2", server.port), timeout=5)


@pytest.mark.parametrize(
    "name, value",
    [
        ("DATABASE_URL", "postgresql://clients@db.example.com/clients"),
        ("PUBLIC_BASE_URL", "https://localhost:8000"),
        ("PUBLIC_BASE_URL", "http://clients.example.com"),
        ("MAIL_SERVER", "smtp.example.com"),
        ("MAIL_PORT", "seventy"),
        ("PORT", "0"),
        ("DATABASE_URL", "sqlite:////nowhere/at/all.sqlite3"),
    ],
)
def test_it_does_not_start_with_settings_of_production_or_wrong_ones(folder: Path, name: str, value: str) -> None:
    settings = {"MAIL_SERVER": "localhost"} if name == "MAIL_PORT" else {}
    ended = run_to_its_end(folder, **settings, **{name: value})
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"Cannot start: {name} ")
    assert not (folder / "demo.sqlite3").exists()


def test_a_port_in_use_is_said_in_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_to_its_end(folder, PORT=str(port))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"Cannot start: PORT {port} cannot be used")
    assert not (folder / "demo.sqlite3").exists()


def test_the_example_shell_does_not_take_a_server_that_is_running_already_for_its_own(tmp_path: Path) -> None:
    with ScriptedHttp(lambda _request: Reply(200)) as running:
        ended = subprocess.run(
            [sys.executable, "-m", "examples.b_portal_shell", "--folder", str(tmp_path / "shell")],
            cwd=ROOT,
            env={**os.environ, **NO_SETTINGS, "PORT": str(running.port), "SHELL_PORT": str(free_port())},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"Cannot start: PORT {running.port} cannot be used")


def test_a_folder_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = run_to_its_end(tmp_path / "file")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("Cannot start: ")
