"""A PostgreSQL of Debian's packages with a streaming standby, which takes over when the first one is dead."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.support.processes import wait_until

MISSING = "no PostgreSQL with pg_basebackup (Debian: apt-get install postgresql)"
_OWNER = "postgres"
"""PostgreSQL does not run as root; its package has made this user."""


def programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs, if it is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_basebackup"))
    return found[-1].parent if found else None


class Server:
    """One server, with its data in a folder of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self.data = folder / name
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make an empty one, to which standbys may connect."""
        run("initdb", "-D", self.data, "-U", _OWNER, "-A", "trust", "--no-sync")

    def copy(self, primary: Server) -> None:
        """Make this one the standby of a server that runs, as an operator does."""
        source = f"host=127.0.0.1 port={primary.port} user={_OWNER} application_name=standby"
        run("pg_basebackup", "-D", self.data, "-d", source, "-X", "stream", "-R", "--checkpoint=fast", "--no-sync")

    def start(self) -> None:
        options = ["-p", str(self.port), "-k", "", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", self.data, *options], stdout=log, stderr=log, cwd="/", **_as_owner()
            )
        wait_until(self._answers, f"PostgreSQL answers: {self._log.read_text()}")

    def promote(self) -> None:
        run("pg_ctl", "promote", "-D", self.data)

    def kill(self) -> None:
        """All its processes at once, as when its machine loses power."""
        if self._process is None:
            return
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in [pid, *map(int, children)]:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def ask(self, statement: str, database: str = "postgres") -> Any:
        """Run a statement; the first value of its answer, if it has one."""
        where = f"host=127.0.0.1 port={self.port} user={_OWNER} dbname={database}"
        with psycopg.connect(where, autocommit=True, connect_timeout=2) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def _answers(self) -> bool:
        try:
            return bool(self.ask("SELECT true"))
        except psycopg.OperationalError:
            return False


@contextmanager
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary, and its standby, without which it tells nobody that something is committed."""
    # Not among pytest's folders, which nobody else may enter.
    folder = Path(tempfile.mkdtemp(prefix="standby-"))
    if os.getuid() == 0:
        shutil.chown(folder, _OWNER)
    primary, standby = Server(folder, "primary"), Server(folder, "standby")
    try:
        primary.make()
        primary.start()
        standby.copy(primary)
        standby.start()
        primary.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        primary.ask("SELECT pg_reload_conf()")
        in_step = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_until(lambda: primary.ask(in_step) == 1, "the standby is in step")
        yield primary, standby
    finally:
        primary.kill()
        standby.kill()
        shutil.rmtree(folder, ignore_errors=True)


def url_of(database: str, *servers: Server) -> str:
    """The address of whichever of the servers takes writes."""
    hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://{_OWNER}@/{database}?{hosts}&target_session_attrs=read-write"


def run(program: str, *words: object) -> None:
    done = subprocess.run(
        [_program(program), *map(str, words)], capture_output=True, text=True, cwd="/", check=False, **_as_owner()
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _program(name: str) -> str:
    folder = programs()
    assert folder is not None, MISSING
    return str(folder / name)


def _as_owner() -> dict[str, Any]:
    return {"user": _OWNER, "group": _OWNER, "extra_groups": []} if os.getuid() == 0 else {}
