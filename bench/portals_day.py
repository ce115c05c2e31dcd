"""A day of many portals on one installation: what everybody does, how long it takes, and whether all of it was done."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.client import HTTPException
from threading import Lock
from time import monotonic, sleep
from typing import Self

from sqlalchemy import func, select

from app import create_app
from app.extensions import db
from app.models import ImportedClient, MailKind, MailState, OutboxMail, WebhookDelivery, WebhookState
from config import load_settings
from tests.crash.fault_smtp import BehavingSmtp
from tests.crash.people import Answer, Person
from tests.support.factories import PASSWORD
from tests.support.scripted_http import ScriptedHttp

_AT_ONCE = 24
"""Portals that are at work at the same time: more than the web processes work on at once."""
_BUSY_TIMES, _BUSY_PAUSE_SECONDS = 30, 1.0
_WORKING = 0.95
"""The part of the time until whose end all who began have to be served."""
_SPARE = 2
"""A portal begins if there is time left for so many of the longest days so far."""
_LOOK_SECONDS = 0.3
_INVITEES_PASSWORD = "green lanterns over the bay"
KINDS = ("sign in", "import", "page", "search", "add", "open link", "register", "verify")


@dataclass
class Result:
    """What came of a run. `seconds` of each kind of request; `busy` counts answers of 503 with Retry-After; `portals`
    are those that began in time."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    busy: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    portals: int = 0
    took: float = 0.0
    settled: float = 0.0
    mails: int = 0
    webhooks: int = 0

    @property
    def requests(self) -> int:
        return sum(len(times) for times in self.seconds.values())


Way = Callable[[], AbstractContextManager[str]]
"""Gives the address of the web process that is to answer the next request."""


class Day:
    """Everybody at work on one installation."""

    def __init__(self, way: Way, smtp: BehavingSmtp, portals: int, rows: int, until: float) -> None:
        """`until`: the moment, by `monotonic()`, at which all has to be over."""
        self.result = Result()
        self._way = way
        self._smtp = smtp
        self._portals = portals
        self._rows = rows
        self._end = monotonic() + _WORKING * (until - monotonic())
        self._closed = False
        self._longest = 0.0
        """Seconds."""
        self._lock = Lock()
        self._people = 0
        self.invited: Counter[str] = Counter()

    def close(self) -> None:
        """Let no further portal begin."""
        self._closed = True

    def run(self) -> None:
        """Until all who began have been served."""
        began = monotonic()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for n in range(self._portals):
                pool.submit(self._safely, self._portals_day, n)
        self.result.took = monotonic() - began

    def _safely(self, work: Callable[..., None], *args: object) -> None:
        try:
            work(*args)
        except Exception as error:
            self.result.errors.append(f"{work.__name__} {args}: {type(error).__name__}: {str(error)[:300]}")

    # What people do

    def _person(self, n: int) -> _Person:
        """Somebody from a network of their own."""
        with self._lock:
            self._people += 1
            address = f"198.18.{self._people // 250}.{self._people % 250 + 1}"
        return _Person(self._way, portal_name(n), address, self._note)

    def _portals_day(self, n: int) -> None:
        own = f"own-{n}@client.test"
        began = monotonic()
        with self._lock:
            if self._closed or began + _SPARE * self._longest > self._end:
                return
            self.result.portals += 1
        admin = self._person(n)
        admin.doing("sign in").sign_in(admin_of(n), PASSWORD)
        emails = [f"{m}-{n}@client.test" for m in range(self._rows)]
        admin.doing("import").bring_in(emails)
        admin.doing("page").get(admin.ic)
        admin.doing("search").get(f"{admin.ic}/table?q=1-{n}")
        admin.doing("add").add(own)
        with self._lock:
            self.invited.update([*emails, own])
        admin.doing("search").get(f"{admin.ic}/table?q=own-{n}")
        self._join(n, own)
        with self._lock:
            self._longest = max(self._longest, monotonic() - began)

    def _join(self, n: int, email: str) -> None:
        """Register and verify, with the links of the mails, in one browser."""
        invitee = self._person(n)
        path = self._mailed(email, 1)
        invitee.doing("open link").look_at(path)
        invitee.doing("register").register(path, email, "Kim Adler", _INVITEES_PASSWORD)
        path = self._mailed(email, 2)
        invitee.doing("open link").look_at(path)
        invitee.doing("verify").press(path, {})

    def _mailed(self, email: str, count: int) -> str:
        """Wait for so many mails to this address. Returns the path of the last one's link."""
        while len(mails := self._smtp.to(email)) < count:
            if monotonic() > self._end:
                raise TimeoutError(f"mail {count} has not come")
            sleep(_LOOK_SECONDS)
        (link,) = mails[-1].links
        return _path(link)

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

    def __init__(self, way: Way, portal_id: str, address: str, note: Callable[[str, float, Answer | None], bool]):
        super().__init__("", portal_id=portal_id, headers={"X-Forwarded-For": address})
        self._way = way
        self._kind = ""
        self._note = note

    def doing(self, kind: str) -> Self:
        self._kind = kind
        return self

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        for _time in range(_BUSY_TIMES):
            began = monotonic()
            try:
                with self._way() as self.url:
                    answer = super()._ask(method, path, headers, body)
            except (OSError, HTTPException):
                self._note(self._kind, monotonic() - began, None)
                raise
            if not self._note(self._kind, monotonic() - began, answer):
                return answer
            sleep(_BUSY_PAUSE_SECONDS)
        raise RuntimeError(f"{self._kind}: still busy after {_BUSY_TIMES} times")


def portal_name(n: int) -> str:
    return f"portal-{n}"


def admin_of(n: int) -> str:
    return f"admin-{n}@portal.test"


def _path(link: str) -> str:
    return "/" + link.split("/", 3)[3]


def check(settings: Mapping[str, str], day: Day, smtp: BehavingSmtp, receiver: ScriptedHttp, until: float) -> None:
    """Wait until nothing is under way, and compare what was to happen with what did; the errors are the day's."""
    app = create_app(load_settings(settings))
    with app.app_context():
        while (left := _under_way()) and monotonic() < until:
            sleep(0.5)
        joined = db.session.scalar(select(func.count()).where(ImportedClient.status == "joined"))
        # Whoever signed in by older code before is told of the browser in which they do by newer code.
        told = Counter(db.session.scalars(select(OutboxMail.recipient).where(OutboxMail.kind == MailKind.NEW_DEVICE)))
        db.session.remove()
        db.engine.dispose()
    errors, result = day.result.errors, day.result
    if left:
        errors.append(f"{left} mails and webhooks were never finished")
    if joined != result.portals:
        errors.append(f"{joined} have joined, not {result.portals}")
    mails = Counter(mail.message_id for mail in smtp.history)
    expected = day.invited + Counter(email for email in day.invited if email.startswith("own-")) + told
    if Counter(mail.recipient for mail in smtp.history) != expected or max(mails.values()) > 1:
        errors.append(f"{len(smtp.history)} mails, {len(mails)} different ones, {expected.total()} were to go out")
    events = Counter(request.headers["webhook-id"] for request in receiver.requests)
    if len(events) != day.invited.total() + result.portals or max(events.values()) > 1:
        errors.append(f"{len(receiver.requests)} webhooks, {len(events)} different ones")
    result.mails, result.webhooks = len(smtp.history), len(receiver.requests)


def _under_way() -> int:
    mails = select(func.count()).where(OutboxMail.state.in_([MailState.QUEUED, MailState.SENDING]))
    webhooks = select(func.count()).where(WebhookDelivery.state.in_([WebhookState.QUEUED, WebhookState.SENDING]))
    left = (db.session.scalar(mails) or 0) + (db.session.scalar(webhooks) or 0)
    db.session.rollback()
    return left
