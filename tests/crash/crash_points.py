"""The named points of the program at which a process can be told to die or to freeze.

Nothing of this is in the application: functions of it are wrapped at run time, in the processes that tests start.
What is to happen is written in a file of orders, which every process of an installation looks at whenever it comes by
a point. The first one whose count is reached takes the orders away, notes the moment, and does what they say.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, RLock, get_ident
from typing import Any, Literal
from weakref import WeakKeyDictionary

Do = Literal["kill", "freeze"]

OF_THE_WORKER = (
    "before-fetch",
    "after-fetch",
    "connecting",
    "after-mail",
    "after-rcpt",
    "mid-body",
    "after-body",
    "after-verdict",
    "before-mark",
    "after-mark",
)
"""Before and after stand for the commit."""
WHEN_STOPPING = ("before-mark", "after-mark")
OF_THE_WEB = tuple(f"{when}-{what}" for what in ("add", "import", "resend", "removal") for when in ("before", "after"))

_FLAGS = "crash"


@dataclass(frozen=True)
class Orders:
    """The file with what is to happen, as tests see it."""

    path: Path

    def give(self, point: str, nth: int = 1, do: Do = "kill") -> None:
        assert point in (*OF_THE_WORKER, *OF_THE_WEB)
        self._done.unlink(missing_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"point": point, "nth": nth, "do": do}))
        fresh.rename(self.path)

    @property
    def were_followed(self) -> tuple[int, float] | None:
        """The process that did it and the moment, once somebody has."""
        try:
            pid, moment = json.loads(self._done.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid, moment

    @property
    def full(self) -> Path:
        """While there is this file, SQLite databases may not grow."""
        return self.path.with_suffix(".full")

    @property
    def _done(self) -> Path:
        return self.path.with_suffix(".done")

    def _take(self) -> bool:
        try:
            self.path.rename(self.path.with_suffix(f".{os.getpid()}"))
        except FileNotFoundError:
            return False  # another process was faster
        fresh = self.path.with_suffix(".note")
        fresh.write_text(json.dumps([os.getpid(), time.monotonic()]))
        fresh.rename(self._done)
        return True


class _Points:
    """In the process: counts how often it came by."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._came_by: Counter[str] = Counter()
        self._lock = Lock()
        self.no_transaction = RLock()
        """Whoever sleeps with SQLite's write lock in hand holds up everybody: that is true, but not what is tried."""

    def here(self, point: str) -> None:
        try:
            wanted = json.loads(self._orders.path.read_text())
        except FileNotFoundError:
            return
        if wanted["point"] != point:
            return
        with self._lock:
            self._came_by[point] += 1
            if self._came_by[point] < wanted["nth"] or not self._orders._take():
                return
            self._came_by.clear()
        if wanted["do"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        with self.no_transaction:
            # To this very thread: told to the process, another thread might hear it, and this one run on for a while.
            signal.pthread_kill(get_ident(), signal.SIGSTOP)


def wrap(orders: Orders) -> None:
    """Let this process come by the points."""
    points = _Points(orders)
    _note_what_transactions_do()
    _come_by_commits(points)
    _limit_growth(orders)
    # Only where there is such a lock: if PostgreSQL has ended a connection, the end of its transaction is never told.
    if os.environ["DATABASE_URL"].startswith("sqlite"):
        _hold_while_in_transaction(points)
    _come_by_conversations(points)


def _note_what_transactions_do() -> None:
    """Note in the session what a transaction has done; `_come_by_commits` reads it when the transaction ends."""
    from app.clients import removal
    from app.extensions import db
    from app.invitations import history
    from app.models import EventKind
    from app.outbox import queue

    def flag(what: str) -> None:
        db.session().info.setdefault(_FLAGS, set()).add(what)

    def noting(function: Callable[..., Any], what: str, *, of: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if of(args, result):
                flag(what)
            return result

        return wrapped

    queue.fetch = noting(queue.fetch, "fetch", of=lambda _args, fetched: fetched)
    queue.record_results = noting(queue.record_results, "mark", of=lambda args, _none: args[0])
    removal.record_removals = noting(removal.record_removals, "removal", of=lambda args, _none: args[1])

    of_kind = {EventKind.RESENT: "resend", EventKind.INVITED: "import"}
    record, record_all = history.record, history.record_all

    def noting_record(client: Any, kind: EventKind, **kwargs: Any) -> None:
        record(client, kind, **kwargs)
        if kind is EventKind.INVITED:
            flag("add")

    def noting_record_all(portal_id: str, invitations: Any, kind: EventKind, at: Any, **kwargs: Any) -> None:
        record_all(portal_id, invitations, kind, at, **kwargs)
        if kind in of_kind:
            flag(of_kind[kind])

    history.record, history.record_all = noting_record, noting_record_all


def _hold_while_in_transaction(points: _Points) -> None:
    from sqlalchemy import event
    from sqlalchemy.orm import Session, SessionTransaction

    @event.listens_for(Session, "after_transaction_create")
    def begin(_session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            points.no_transaction.acquire()

    @event.listens_for(Session, "after_transaction_end")
    def end(_session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            points.no_transaction.release()


def _come_by_commits(points: _Points) -> None:
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    @event.listens_for(Session, "before_commit")
    def before(session: Session) -> None:
        for what in sorted(session.info.get(_FLAGS, ())):
            points.here(f"before-{what}")

    @event.listens_for(Session, "after_commit")
    def after(session: Session) -> None:
        for what in sorted(session.info.pop(_FLAGS, ())):
            points.here(f"after-{what}")

    @event.listens_for(Session, "after_rollback")
    def forget(session: Session) -> None:
        session.info.pop(_FLAGS, None)


def _limit_growth(orders: Orders) -> None:
    """Let SQLite databases not grow while the file `full` exists."""
    from sqlalchemy import Connection, Engine, event

    @event.listens_for(Engine, "begin")
    def limit(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            # Never less than it has by now; the other number is SQLite's own.
            connection.exec_driver_sql(f"PRAGMA max_page_count = {1 if orders.full.exists() else 0xFFFFFFFE}")


def _come_by_conversations(points: _Points) -> None:
    """Come by the points of a conversation with the mail server."""
    from app.outbox import smtp, smtp_client

    client_class = smtp_client.SmtpClient
    open_, getreply = smtp.SmtpConnection._open, client_class.getreply
    send, verdict = client_class.send, client_class.verdict
    asked: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()

    def opening(connection: Any) -> Any:
        points.here("connecting")
        return open_(connection)

    def coming_by(function: Callable[..., Any], point: str) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            result = function(*args)
            points.here(point)
            return result

        return wrapped

    def hearing(client: Any) -> tuple[int, bytes]:
        reply: tuple[int, bytes] = getreply(client)
        commands = asked.get(client)
        command = commands.pop(0) if commands else ""
        if command.startswith(("MAIL", "RCPT")):
            points.here(f"after-{command[:4].lower()}")
        return reply

    def sending(client: Any, content: bytes | str) -> None:
        if isinstance(content, str):
            # One command, or several at once where the server allows it.
            asked[client] = content.upper().splitlines()
        if not (isinstance(content, bytes) and content.endswith(b"\r\n.\r\n")):
            send(client, content)
            return
        half = len(content) // 2
        send(client, content[:half])
        points.here("mid-body")
        send(client, content[half:])
        points.here("after-body")

    changed: Any = smtp.SmtpConnection
    changed._open = opening
    changed = client_class
    changed.getreply = hearing
    changed.send, changed.verdict = sending, coming_by(verdict, "after-verdict")
