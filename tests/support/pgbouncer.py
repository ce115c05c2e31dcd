"""A PgBouncer in front of a test's database, in transaction pooling, with fewer connections than its clients have."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

import psycopg

from tests.support.processes import wait_until

MISSING = "pgbouncer is not installed (Debian: apt-get install pgbouncer)"


def program() -> str | None:
    """Where PgBouncer is, if it is installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class PgBouncer:
    """Use as a context. `url` is the database's address through it."""

    def __init__(self, database_url: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with psycopg.connect(database_url) as connection:
            server = connection.info
            host, name, user = server.host, server.dbname, server.user
            self._socket = Path(host) / f".s.PGSQL.{server.port}"
            there = f"host={host} port={server.port} user={user}"
        self.url = f"postgresql://{user}@127.0.0.1:{port}/{name}"
        self.log = folder / "pgbouncer.log"
        self._config = folder / "pgbouncer.ini"
        self._config.write_text(
            f"[databases]\n{name} = {there}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 200\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [str(program()), str(self._config)]
        if os.getuid() == 0:
            # It does not run as root; who owns the server's socket may use it.
            owner = pwd.getpwuid(self._socket.stat().st_uid).pw_name if self._socket.exists() else "nobody"
            command += ["-u", owner if owner != "root" else "nobody"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=log)
        wait_until(self._answers, f"PgBouncer answers: {self.log.read_text()}")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
