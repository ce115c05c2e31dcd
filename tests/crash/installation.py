"""One installation under test: its database, its mail server, its processes, and what is held against them."""

from __future__ import annotations

import re
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from flask import Flask
from sqlalchemy import func, select

from app import create_app
from app.core.links import LinkKind, read_token
from app.extensions import db
from app.models import ImportedClient, MailState, OutboxMail, Role
from config import load_settings
from tests.crash.checker import Claim, Interruption, Judgement, Row, judge
from tests.crash.crash_points import Orders
from tests.crash.crash_process import CrashProcess
from tests.crash.fault_smtp import BehavingSmtp
from tests.crash.people import Ledger, Person
from tests.support.app_driver import HARBOUR, AppDriver
from tests.support.factories import PASSWORD, make_member, make_portal
from tests.support.processes import FLASK, STOP_SECONDS, Process, environment

ADA = "ada@harbour.test"
GUNICORN = ["gunicorn", "wsgi:app", "--threads", "4", "--log-level", "warning", "--graceful-timeout", "5"]
SETTLE_SECONDS = 60.0
SHORT = {"QUEUE_LEASE_SECONDS": "6", "QUEUE_FIRST_RETRY_SECONDS": "0.2", "QUEUE_LONGEST_RETRY_SECONDS": "2"}
"""A tenth of the program's own lease, since tests wait for leases to expire. Much less, and a worker on a busy machine
gives up its first attempt, which comes too late for its lease."""


def wait_until(holds: Callable[[], object], what: str, seconds: float = SETTLE_SECONDS) -> None:
    """Look again and again until it holds."""
    end = monotonic() + seconds
    while not holds():
        assert monotonic() < end, f"in vain: {what}"
        sleep(0.01)


class Installation:
    """Use as a context; whatever still runs at its end is killed."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        *,
        take_seconds: float = 0.0,
        through: str | None = None,
        **settings: str,
    ) -> None:
        """`through` is another address of the same database, which the processes get."""
        self.folder = folder
        self.smtp = BehavingSmtp(take_seconds=take_seconds)
        self.ledger = Ledger()
        self.interruptions: list[Interruption] = []
        self.orders = Orders(folder / "orders.json")
        self._listeners: list[socket.socket] = []
        self._processes: list[CrashProcess | Process] = []
        self._database_url = database_url
        # SQLite waits for a lock no longer than other things are waited for here.
        self._through = through or (f"{database_url}?timeout=3" if "sqlite" in database_url else database_url)
        self._more_settings = settings
        self._logs = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.smtp)
        self._listeners.append(_listener())
        self.url = _address_of(self._listeners[0])
        self.app_driver.do(make_portal, HARBOUR, "Harbour Tours")
        self.app_driver.do(make_member, HARBOUR, ADA, "Ada Berg", Role.CLIENT_ADMIN)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for listener in self._listeners:
            listener.close()
        self.app_driver.do(lambda: db.engine.dispose())
        self._stack.close()

    @property
    def settings(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self._through,
            "SECRET_KEY": "a key for tests and nothing else",
            "PUBLIC_BASE_URL": self.url,
            "MAIL_SERVER": self.smtp.host,
            "MAIL_PORT": str(self.smtp.port),
            "OUTBOX_INTERVAL_SECONDS": "0.1",
            **SHORT,
            **self._more_settings,
        }

    @cached_property
    def app(self) -> Flask:
        return create_app(load_settings({**self.settings, "DATABASE_URL": self._database_url}))

    @cached_property
    def app_driver(self) -> AppDriver:
        return AppDriver(self.app)

    # Processes

    def web(self, *, at: int = 0) -> CrashProcess:
        """gunicorn with one worker, at our first address or at another one."""
        while len(self._listeners) <= at:
            self._listeners.append(_listener())
        return self._child([*GUNICORN, "-w", "1"], self._listeners[at])

    def address(self, at: int) -> str:
        return _address_of(self._listeners[at])

    def worker(self, **settings: str) -> CrashProcess:
        return self._child([*FLASK, "worker"], None, **settings)

    def real_worker(self, **settings: str) -> Process:
        """A worker with nothing changed: its time limits are those of the program."""
        real = {name: value for name, value in self.settings.items() if name not in SHORT}
        process = Process([*FLASK, "worker"], {**real, **settings}, self._next_log())
        self._processes.append(process)
        wait_until(lambda: "worker: started" in process.said, "the worker has started")
        return process

    def admin(self) -> Person:
        """Ada, signed in."""
        person = Person(self.url, self.ledger)
        person.sign_in(ADA, PASSWORD)
        return person

    def kill(self, process: CrashProcess, what: str = "a kill") -> None:
        moment = monotonic()
        process.kill()
        self.note_moment(moment, what)

    def has_followed(self, process: CrashProcess, point: str, seconds: float = 30) -> bool:
        """Wait until a process has come to the point at which it was to die or to freeze."""
        end = monotonic() + seconds
        while self.orders.were_followed is None:
            if monotonic() > end or not process.is_running:
                break
            sleep(0.005)
        done = self.orders.were_followed
        if done is None:
            return False
        self.note_moment(done[1], f"dead or frozen at {point}")
        return True

    def note_moment(self, moment: float, what: str) -> None:
        """Somebody died or froze: what it had in the server's hands may be sent again."""
        self.interruptions.append(Interruption(moment, moment, what))

    def freeze(self, process: CrashProcess) -> None:
        """Let it sleep from this moment on, whatever it is doing, but for holding SQLite's write lock.

        With that in hand it would hold up everybody until it wakes, so it gets another moment. What it has in the
        server's hands now, others will send again when its leases are over.
        """
        wait_until(lambda: self._sleeps_unlocked(process), "it sleeps without the write lock")
        self.note_moment(monotonic(), "a freeze")

    def _sleeps_unlocked(self, process: CrashProcess) -> bool:
        process.freeze()
        # Not before: a thread that still runs, or has yet to come back from the disk, may take the lock after all.
        wait_until(lambda: process.is_frozen, "it sleeps")
        if self._is_locked():
            process.thaw()
            return False
        return True

    def _is_locked(self) -> bool:
        if not self._database_url.startswith("sqlite"):
            return False
        with closing(sqlite3.connect(self._database_url.removeprefix("sqlite:///"), timeout=0.2)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
        return False

    @contextmanager
    def interruption(self, what: str) -> Iterator[None]:
        """The database is away all the while: nothing that is taken can be marked."""
        since = monotonic()
        yield
        self.interruptions.append(Interruption(since, monotonic(), what))

    @contextmanager
    def may_not_grow(self) -> Iterator[None]:
        """SQLite takes no further page in any of our processes."""
        self.orders.full.touch()
        yield
        self.orders.full.unlink()

    def stop(self, process: CrashProcess) -> float:
        """Stop it as a supervisor does: it has to end well and in time. Returns how long that took."""
        began = monotonic()
        process.tell_to_stop()
        code = process.exit_code(STOP_SECONDS)
        seconds = monotonic() - began
        if code is None:
            process.kill()
        assert code == 0, f"exit code {code} after {seconds:.1f} s\n{process.said}"
        return seconds

    # The end

    def count(self, *states: MailState) -> int:
        """How many mails are in these states."""
        query = select(func.count()).select_from(OutboxMail).where(OutboxMail.state.in_(states))
        return int(self.app_driver.do(lambda: db.session.scalar(query)) or 0)

    @property
    def is_settled(self) -> bool:
        """Whether every mail was sent or has failed."""
        return self.count(MailState.QUEUED, MailState.SENDING) == 0 and self.smtp.in_hand == 0

    def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until nothing is under way; who waits in vain is judged all the same."""
        end = monotonic() + seconds
        while not self.is_settled and monotonic() < end:
            sleep(0.05)

    def judgement(self, person: Person) -> Judgement:
        """What the checker says, by the table as this person sees it now."""
        rows = {row.id.hex: row for row in self._rows()}
        lines = [
            Row(
                line.email,
                line.status,
                line.delivery,
                line.notes,
                line.client_id.replace("-", ""),
                row.generation,
                row.link_expires_at is not None,
            )
            for line in person.lines()
            for row in [rows[line.client_id.replace("-", "")]]
        ]
        assert len(lines) == len(rows), "the table shows every client"
        with self.app.app_context():
            return judge(self.ledger.acts, self.smtp.history, lines, self._read_link, self.interruptions)

    def assert_kept(self, person: Person) -> Judgement:
        """The promise was kept; what the processes said is in the report if it was not."""
        found = self.judgement(person)
        assert found.is_clean, f"{found}\n{self._troubles()}"
        return found

    def _rows(self) -> list[ImportedClient]:
        return list(self.app_driver.do(lambda: db.session.scalars(select(ImportedClient)).all()))

    def _read_link(self, link: str) -> Claim | None:
        found = re.fullmatch(rf"{re.escape(self.url)}/([a-z-]+)/([\w.-]+)", link)
        if found is None:
            return None
        claim = read_token(LinkKind(found[1]), found[2])
        return Claim(found[1], claim.subject.rpartition(".")[2], claim.generation) if claim else None

    def _troubles(self) -> str:
        lines = [line for log in self.logs for line in log.splitlines()]
        return "\n".join([*map(str, self.interruptions), *lines[-60:]])

    @property
    def logs(self) -> list[str]:
        """What each process said."""
        return [log.read_text() for log in sorted(self.folder.glob("process-*.log"))]

    def _child(self, command: list[str], listener: socket.socket | None, **settings: str) -> CrashProcess:
        process = CrashProcess(
            command, environment({**self.settings, **settings}), self._next_log(), self.orders, listener
        )
        self._processes.append(process)
        return process

    def _next_log(self) -> Path:
        self._logs += 1
        return self.folder / f"process-{self._logs}.log"


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=128)


def _address_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"
