"""`python -m examples.b_portal_shell` starts Imported Clients with its demo, and the shell around it."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import waitress

from examples.b_portal_shell.people import PORTALS
from examples.b_portal_shell.shell import PREFIX, Settings, create_shell
from examples.b_portal_shell.signing import kept_key

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
_PATIENCE_SECONDS = 60


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="Try Imported Clients inside the pages of a host shell.")
    parser.add_argument(
        "--folder", type=Path, default=Path(__file__).with_name("var"), help="where both keep their data"
    )
    folder = parser.parse_args().folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    port, clients_port = _port("SHELL_PORT", 8100), _port("PORT", 8000)
    # A browser treats these two hosts as two sites, so it applies its cross-site rules.
    origin, clients_url = f"http://localhost:{port}", f"http://{HOST}:{clients_port}"
    shell = create_shell(
        Settings(origin, clients_url, clients_port, _kept_secret(folder / "shell_secret"), kept_key(folder / "key.pem"))
    )
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _leave)
    with ExitStack() as running:
        # First of all: if the port is taken, nothing else should be created.
        try:
            server = waitress.create_server(shell, host=HOST, port=port, threads=16)
        except OSError as error:
            sys.exit(f"Cannot start: SHELL_PORT {port} cannot be used ({error.strerror}).")
        clients = _Clients(folder / "imported-clients", clients_port, clients_url)
        running.callback(clients.stop)
        clients.start()
        clients.command(
            "issuer", "add", "--issuer", origin, "--jwks-url", f"{origin}/.well-known/jwks.json", "--replace"
        )
        for portal_id in PORTALS:
            clients.command("issuer", "grant", "--issuer", origin, "--portal", portal_id)
            clients.command("portal", "allow-origin", "--id", portal_id, origin)
        print(
            "\n".join(
                [
                    "",
                    "The example shell is running, for this machine only.",
                    "",
                    f"  The shell          {origin}/",
                    f"    same origin      {origin}/portals/harbour/accounts",
                    f"    own origin       {origin}/portals/harbour/accounts-own-origin",
                    f"  Imported Clients   {clients_url}/ and {origin}{PREFIX}/",
                    "",
                    "Press Ctrl+C to stop.",
                ]
            ),
            flush=True,
        )
        server.run()


class _Clients:
    """A process that runs Imported Clients as `make run` does."""

    def __init__(self, folder: Path, port: int, url: str) -> None:
        self._folder = folder
        self._port = port
        # A single public address, because it is the audience of the shell's tokens, wherever a page is mounted.
        self._settings = {"PORT": str(port), "PUBLIC_BASE_URL": url, "TRUSTED_PROXIES": "1"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers.

        Exits with one line if its port is taken or it fails to start.
        """
        try:
            socket.create_server((HOST, self._port)).close()
        except OSError as error:
            sys.exit(
                f"Cannot start: PORT {self._port} cannot be used ({error.strerror}). "
                "Stop what uses it (is `make run` running?), or choose another: PORT=8001 make shell"
            )
        self._process = subprocess.Popen(
            [sys.executable, "wsgi.py", "--folder", str(self._folder)], cwd=ROOT, env=os.environ | self._settings
        )
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                sys.exit("Cannot start: Imported Clients does not answer.")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the process and wait for its end."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def command(self, *words: str) -> None:
        """Run one of the operator's commands on the application's database. Exits if it fails."""
        settings = {
            "DATABASE_URL": f"sqlite:///{self._folder / 'demo.sqlite3'}",
            "SECRET_KEY": (self._folder / "secret_key").read_text().strip(),
        }
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | self._settings | settings, stdout=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            sys.exit(f"Cannot start: flask --app wsgi {' '.join(words)} has failed.")

    def _is_ready(self) -> bool:
        connection = HTTPConnection(HOST, self._port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def _port(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip() or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        sys.exit(f"Cannot start: {name} must be a port, 1 to 65535, but it is {text!r}.")
    return int(text)


def _kept_secret(path: Path) -> str:
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text()


def _leave(_signal: int, _frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


if __name__ == "__main__":
    main()
