"""A site is a database with the application on it; its workers send mails to a sink, and the site checks the result."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import message_from_string, policy
from pathlib import Path
from time import monotonic
from typing import Any, Self

from sqlalchemy import Engine, create_engine, text

from bench.import_speed import FLOOR_OF
from bench.sink import fingerprint
from bench.support import Clients, Database
from config import ROOT, load_settings

_SENT_BEFORE = 1000


class Child:
    """A process that answers a line of JSON with a line of JSON."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, str] | None = None) -> None:
        began = monotonic()
        self._what = " ".join(command)
        self._process = subprocess.Popen(
            [sys.executable, *command] if command[0].startswith("-") else command,
            cwd=ROOT,
            env={**os.environ, "MALLOC_ARENA_MAX": "2", "SCHEDULER": "off", **(settings or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.hello = self.answer()
        self.start_seconds = monotonic() - began
        """The time from starting the process until it is ready."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, **words: object) -> None:
        assert self._process.stdin is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._what} has ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **words: object) -> dict[str, Any]:
        self.tell(**words)
        return self.answer()


@dataclass(frozen=True)
class Run:
    """One sending of all mails: its duration, and the sink's processor time meanwhile, both in seconds."""

    seconds: float
    sink: float


class Site:
    """A database with the application on it, and the sink."""

    def __init__(self, database: Database, sink: Child) -> None:
        self.database = database
        self.sink = sink
        self.clients = Clients()
        self.engine: Engine = create_engine(load_settings(database.settings).database_url)
        self._sent = 0
        self._writer = FLOOR_OF[database.kind](database)
        self._writer.write(self.clients.take(_SENT_BEFORE), state="sent")

    def worker(self, connections: int) -> Child:
        settings = {
            **self.database.settings,
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_PORT": str(self.sink.hello["port"]),
            "OUTBOX_CONNECTIONS": str(connections),
            "LOG_FORMAT": "console",
        }
        return Child(["-m", "bench.flush_once"], settings)

    def queue(self, mails: int) -> list[str]:
        """Write clients and their mails as an import does. Returns the recipients."""
        self._tidy_up()
        clients = self.clients.take(mails)
        self._writer.write(clients)
        return [email for _, email in clients]

    def flush(self, workers: Sequence[Child], mails: int, latency: float, *, keep: bool = False) -> Run:
        """Queue mails, have them sent, and check the results."""
        recipients = self.queue(mails)
        self.sink.ask(do="reset", latency=latency, keep=keep)
        for worker in workers:
            worker.tell(do="flush")
        answers = [worker.answer() for worker in workers]
        self.check(recipients)
        seconds = max(one["ended"] for one in answers) - min(one["began"] for one in answers)
        return Run(seconds, check_sink(self.sink, recipients))

    def check(self, recipients: Sequence[str]) -> None:
        """Check that every mail was sent at the first attempt and every client's link has its expiry."""
        mails = text(
            "SELECT count(*), sum(CASE WHEN state = 'sent' AND attempts = 1 AND lease_id IS NULL THEN 1 ELSE 0 END)"
            " FROM outbox_mail WHERE attempts > 0"
        )
        waiting = text("SELECT count(*) FROM outbox_mail WHERE state != 'sent'")
        stamped = text("SELECT count(*) FROM imported_client WHERE link_expires_at IS NOT NULL")
        told = text("SELECT count(*) FROM client_event WHERE kind = 'mail_sent'")
        with self.engine.connect() as connection:
            tried, sent = connection.execute(mails).one()
            self._sent += len(recipients)
            found = [tried, sent, connection.scalar(stamped), connection.scalar(told)]
            assert found == [self._sent] * 4, f"{found} instead of {self._sent}"
            assert not connection.scalar(waiting)

    def close(self) -> None:
        self._writer.close()
        self.engine.dispose()

    def _tidy_up(self) -> None:
        """Do the database's maintenance now, so that it does not start by itself during a run."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if self.database.kind == "sqlite":
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                return
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")


def check_sink(sink: Child, recipients: Sequence[str]) -> float:
    """Check that every recipient got exactly one mail. Returns the sink's processor time in seconds."""
    count = sink.ask(do="count")
    assert count["mails"] == count["distinct"] == len(recipients), f"{count} instead of {len(recipients)}"
    assert count["who"] == fingerprint(list(recipients)), "others were reached"
    worked: float = count["worked"]
    return worked


# Finished mails, for the floor and the peer


@dataclass(frozen=True)
class Ready:
    """The same mails in files, as finished messages (`whole`) and as subjects and bodies (`parts`)."""

    recipients: Sequence[str]
    whole: Path
    parts: Path
    size: float

    def send(self, floor: Child, sink: Child, connections: int, latency: float, *, push: bool = False) -> Run:
        sink.ask(do="reset", latency=latency, keep=False)
        answer = floor.ask(connections=connections, push=push)
        return Run(answer["ended"] - answer["began"], check_sink(sink, self.recipients))

    def send_by_peer(self, peer: Child, sink: Child) -> Run:
        peer.ask(do="queue")
        sink.ask(do="reset", latency=0, keep=False)
        answer = peer.ask(do="send")
        return Run(answer["ended"] - answer["began"], check_sink(sink, self.recipients))


def ready_mails(site: Site, worker: Child, count: int, folder: Path) -> Ready:
    """Have our worker send mails, and save them as the sink received them."""
    site.flush([worker], count, 0, keep=True)
    whole = site.sink.ask(do="mails")["mails"]
    parts = []
    for recipient, content in whole:
        message = message_from_string(content, policy=policy.default)
        bodies = [message.get_body([kind]) for kind in ("plain", "html")]
        parts.append((recipient, message["Subject"], *(body.get_content() for body in bodies if body is not None)))
    files = folder / "whole.json", folder / "parts.json"
    for file, mails in zip(files, (whole, parts), strict=True):
        file.write_text(json.dumps(mails))
    size = statistics.mean(len(content) for _, content in whole)
    return Ready([recipient for recipient, _ in whole], *files, size)
