"""Many portals at once: imports, searches, registrations and webhooks, through several web processes and workers.

    make load                                  # at most 10 minutes
    make load ARGS='--portals 20'              # about 3 minutes

bench/README.md says how to read it.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass, field
from http.client import HTTPException
from io import StringIO
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Self

from sqlalchemy import func, select

from app import create_app
from app.extensions import db
from app.models import ImportedClient, MailState, OutboxMail, Role, WebhookDelivery, WebhookState
from app.webhooks.endpoints import EVENTS, add_endpoint
from bench.support import Database, databases, figure_of, say, table, tell
from config import load_settings
from tests.crash.fault_smtp import BehavingSmtp
from tests.crash.people import Answer, Person
from tests.support import pgbouncer
from tests.support.factories import PASSWORD, make_member, make_portal
from tests.support.processes import FLASK, Process
from tests.support.production import gunicorn
from tests.support.scripted_http import ScriptedHttp

_AT_ONCE = 24
"""Requests at the same time: more than the web processes work on at once."""
_BUSY_TIMES, _BUSY_PAUSE_SECONDS = 30, 1.0
_LOOK_SECONDS = 0.3
_INVITEES_PASSWORD = "green lanterns over the bay"
_KINDS = ("sign in", "import", "page", "search", "add", "open link", "register", "verify")


@dataclass(frozen=True)
class Size:
    portals: int
    rows: int
    webs: int
    workers: int
    seconds: float


@dataclass
class Result:
    """What came of a run. `seconds` of each kind of request; `busy` counts answers of 503 with Retry-After."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    busy: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    took: float = 0.0
    settled: float = 0.0
    mails: int = 0
    webhooks: int = 0

    @property
    def requests(self) -> int:
        return sum(len(times) for times in self.seconds.values())


class Day:
    """Everybody at work on one installation."""

    def __init__(self, urls: list[str], smtp: BehavingSmtp, size: Size) -> None:
        self.result = Result()
        self._urls = urls
        self._smtp = smtp
        self._size = size
        self._end = monotonic() + size.seconds
        self._lock = Lock()
        self._people = 0
        self._invitees: dict[str, _Person] = {}
        """Who has registered and has to verify, in the same browser."""
        self.invited: Counter[str] = Counter()

    def run(self) -> None:
        began = monotonic()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            days = [pool.submit(self._safely, self._portals_day, n) for n in range(self._size.portals)]
            self._follow_mails(pool, days)
        self.result.took = monotonic() - began

    def _follow_mails(self, pool: ThreadPoolExecutor, days: list[Future[None]]) -> None:
        """Open the links of those who register, as soon as their mails come."""
        read, left = 0, {f"own-{n}@client.test" for n in range(self._size.portals)}
        while left or not all(day.done() for day in days):
            if monotonic() > self._end:
                self.result.errors.append(f"only so far: {len(left)} were still to register or to verify")
                return
            sleep(_LOOK_SECONDS)
            mails = self._smtp.history[read:]
            read += len(mails)
            for mail in mails:
                (link,) = mail.links
                if mail.recipient in left and "/invitations/" in link:
                    pool.submit(self._safely, self._register, mail.recipient, link)
                elif mail.recipient in left:
                    left.discard(mail.recipient)
                    days.append(pool.submit(self._safely, self._verify, mail.recipient, link))

    def _safely(self, work: Callable[..., None], *args: object) -> None:
        try:
            work(*args)
        except Exception as error:
            self.result.errors.append(f"{work.__name__} {args}: {type(error).__name__}: {str(error)[:300]}")

    # What people do

    def _person(self, n: int) -> _Person:
        """Somebody at one of the web processes, from a network of their own."""
        with self._lock:
            self._people += 1
            address = f"198.18.{self._people // 250}.{self._people % 250 + 1}"
        return _Person(self._urls[n % len(self._urls)], _portal(n), address, self._note)

    def _portals_day(self, n: int) -> None:
        admin = self._person(n)
        admin.doing("sign in").sign_in(_admin(n), PASSWORD)
        emails = [f"{m}-{n}@client.test" for m in range(self._size.rows)]
        admin.doing("import").bring_in(emails)
        admin.doing("page").get(admin.ic)
        admin.doing("search").get(f"{admin.ic}/table?q=1-{n}")
        own = f"own-{n}@client.test"
        admin.doing("add").add(own)
        with self._lock:
            self.invited.update([*emails, own])
        admin.doing("search").get(f"{admin.ic}/table?q=own-{n}")

    def _register(self, email: str, link: str) -> None:
        n = int(email.partition("@")[0].rpartition("-")[2])
        invitee = self._invitees[email] = self._person(n)
        invitee.doing("open link").look_at(_path(link))
        invitee.doing("register").register(_path(link), email, "Kim Adler", _INVITEES_PASSWORD)

    def _verify(self, email: str, link: str) -> None:
        invitee = self._invitees[email]
        invitee.doing("open link").look_at(_path(link))
        invitee.doing("verify").press(_path(link), {})

    def _note(self, kind: str, seconds: float, answer: Answer | None) -> bool:
        """Note what came of a request. Returns whether to ask again, since the service was too busy."""
        with self._lock:
            self.result.seconds[kind].append(seconds)
            if answer is not None and answer.status == 503 and "Retry-After" in answer.headers:
                self.result.busy[kind] += 1
                return True
            if answer is None or answer.status >= 400:
                self.result.errors.append(f"{kind}: {answer.status if answer else 'no answer'}")
            return False


class _Person(Person):
    """Somebody each of whose requests is measured, and who asks again where the service was too busy."""

    def __init__(self, url: str, portal_id: str, address: str, note: Callable[[str, float, Answer | None], bool]):
        super().__init__(url, portal_id=portal_id, headers={"X-Forwarded-For": address})
        self._kind = ""
        self._note = note

    def doing(self, kind: str) -> Self:
        self._kind = kind
        return self

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        for _time in range(_BUSY_TIMES):
            began = monotonic()
            try:
                answer = super()._ask(method, path, headers, body)
            except (OSError, HTTPException):
                self._note(self._kind, monotonic() - began, None)
                raise
            if not self._note(self._kind, monotonic() - began, answer):
                return answer
            sleep(_BUSY_PAUSE_SECONDS)
        raise RuntimeError(f"{self._kind}: still busy after {_BUSY_TIMES} times")


def _portal(n: int) -> str:
    return f"portal-{n}"


def _admin(n: int) -> str:
    return f"admin-{n}@portal.test"


def _path(link: str) -> str:
    return "/" + link.split("/", 3)[3]


# The installation


def furnish(database: Database, size: Size, hook: str) -> None:
    """Make the portals, each with an admin and an endpoint for all events."""
    app = create_app(load_settings(database.settings))
    with app.app_context():
        for n in range(size.portals):
            make_portal(_portal(n), f"Portal {n}")
            make_member(_portal(n), _admin(n), "Ada Berg", Role.CLIENT_ADMIN)
            add_endpoint(_portal(n), hook, "", EVENTS)
        db.session.remove()
        db.engine.dispose()


def run(database: Database, size: Size, way: str) -> Result:
    """A day on a database, which the processes reach at the address `way`."""
    webs = StringIO()
    with redirect_stderr(webs), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        smtp = stack.enter_context(BehavingSmtp())
        receiver = stack.enter_context(ScriptedHttp())
        furnish(database, size, receiver.url)
        settings = {
            **database.settings,
            "DATABASE_URL": way,
            "MAIL_SERVER": smtp.host,
            "MAIL_PORT": str(smtp.port),
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TRUSTED_PROXIES": "1",
        }
        ports = [stack.enter_context(gunicorn(settings, fresh=False)) for _ in range(size.webs)]
        logs = [folder / f"worker-{n}" for n in range(size.workers)]
        for log in logs:
            worker = Process([*FLASK, "worker"], settings, log)
            stack.callback(worker.stop)
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            # The first page takes longer: all that it needs is read then.
            Person(url).get("/login")
        day = Day(urls, smtp, size)
        day.run()
        began = monotonic()
        _check(database, day, smtp, receiver, size)
        day.result.settled = monotonic() - began
        lines = [line for log in logs for line in log.read_text().splitlines()]
    _judge_logs(day.result, lines + webs.getvalue().splitlines())
    return day.result


def _judge_logs(result: Result, lines: list[str]) -> None:
    """Errors that processes tell of. A job that waited in vain for SQLite's one writer runs again: it was busy."""
    for line in lines:
        is_error = '"level": "error"' in line or "Traceback" in line
        if "database is locked" in line:
            result.busy["jobs"] += 1
        elif is_error and "database not available" not in line:  # the answer 503, counted already
            result.errors.append(line[:300])


def _check(database: Database, day: Day, smtp: BehavingSmtp, receiver: ScriptedHttp, size: Size) -> None:
    """Wait until nothing is under way, and compare what was to happen with what did."""
    app = create_app(load_settings(database.settings))
    with app.app_context():
        end = monotonic() + size.seconds
        while (left := _under_way()) and monotonic() < end:
            sleep(0.5)
        joined = db.session.scalar(select(func.count()).where(ImportedClient.status == "joined"))
        db.session.remove()
        db.engine.dispose()
    errors, result = day.result.errors, day.result
    if left:
        errors.append(f"{left} mails and webhooks were never finished")
    if joined != size.portals:
        errors.append(f"{joined} have joined, not {size.portals}")
    mails = Counter(mail.message_id for mail in smtp.history)
    expected = day.invited + Counter(f"own-{n}@client.test" for n in range(size.portals))
    if Counter(mail.recipient for mail in smtp.history) != expected or max(mails.values()) > 1:
        errors.append(f"{len(smtp.history)} mails, {len(mails)} different ones, {expected.total()} were to go out")
    events = Counter(request.headers["webhook-id"] for request in receiver.requests)
    if len(events) != day.invited.total() + size.portals or max(events.values()) > 1:
        errors.append(f"{len(receiver.requests)} webhooks, {len(events)} different ones")
    result.mails, result.webhooks = len(smtp.history), len(receiver.requests)


def _under_way() -> int:
    mails = select(func.count()).where(OutboxMail.state.in_([MailState.QUEUED, MailState.SENDING]))
    webhooks = select(func.count()).where(WebhookDelivery.state.in_([WebhookState.QUEUED, WebhookState.SENDING]))
    left = (db.session.scalar(mails) or 0) + (db.session.scalar(webhooks) or 0)
    db.session.rollback()
    return left


@contextmanager
def _way_to(database: Database, *, pooled: bool) -> Iterator[str]:
    if not pooled:
        yield database.url
        return
    with tempfile.TemporaryDirectory() as folder:
        # PgBouncer runs as another user.
        Path(folder).chmod(0o755)
        with pgbouncer.PgBouncer(database.url, Path(folder)) as pooler:
            yield pooler.url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=PLACES, action="append", help="only there")
    parser.add_argument("--portals", type=int, default=200)
    parser.add_argument("--rows", type=int, default=10, help="of each portal's import")
    parser.add_argument("--webs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=180, help="the most for each day")
    wanted = parser.parse_args()
    logging.disable()
    size = Size(wanted.portals, wanted.rows, wanted.webs, wanted.workers, wanted.seconds)
    results = {}
    for place in wanted.on or PLACES:
        kind, pooled = PLACES[place]
        if pooled and pgbouncer.program() is None:
            tell(f"left out: {pgbouncer.MISSING}")
            continue
        tell(f"{place}: {size.portals} portals, {size.webs} web processes, {size.workers} workers")
        with databases(kind) as make:
            database = make("load")
            with _way_to(database, pooled=pooled) as url:
                results[place] = run(database, size, url)
        report(place, results[place])
    print(table(["", *results], list(_rows(results))))
    if any(result.errors for result in results.values()):
        sys.exit("There were errors: see above.")


PLACES: Mapping[str, tuple[str, bool]] = {
    "sqlite": ("sqlite", False),
    "postgresql": ("postgresql", False),
    "pgbouncer": ("postgresql", True),
}
"""Where the load runs: the kind of database, and whether through PgBouncer in transaction pooling."""


def report(place: str, result: Result) -> None:
    for kind in _KINDS:
        figure_of(f"{place}: {kind}", [1000 * seconds for seconds in result.seconds[kind]] or [0.0])
    say({"figure": f"{place}: errors", "median": len(result.errors), "busy": dict(result.busy), "unit": "1"})
    for error, times in Counter(result.errors).most_common(20):
        tell(f"{place}: {times} × {error}")


def _rows(results: Mapping[str, Result]) -> Iterator[list[str]]:
    def p95(times: list[float]) -> str:
        return f"{sorted(times)[math.ceil(0.95 * len(times)) - 1] * 1000:.0f}" if times else "-"

    for kind in _KINDS:
        yield [f"{kind}: p95, ms", *(p95(result.seconds[kind]) for result in results.values())]
    yield ["requests a second", *(f"{result.requests / result.took:.1f}" for result in results.values())]
    yield ["requests", *(str(result.requests) for result in results.values())]
    yield ["told to come again (503)", *(str(result.busy.total()) for result in results.values())]
    yield ["mails, each once", *(str(result.mails) for result in results.values())]
    yield ["webhooks, each once", *(str(result.webhooks) for result in results.values())]
    yield ["seconds, and until all was sent", *(f"{one.took:.0f} + {one.settled:.0f}" for one in results.values())]
    yield ["errors", *(str(len(result.errors)) for result in results.values())]


if __name__ == "__main__":
    main()
