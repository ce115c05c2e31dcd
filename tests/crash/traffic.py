"""People at work all the time while web processes come and go behind a proxy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from itertools import count
from threading import Condition, Event, Lock, Thread
from time import monotonic
from typing import Self
from urllib.parse import urlsplit

from tests.crash.older_code import status_of
from tests.crash.people import Answer, Person
from tests.support.factories import PASSWORD
from tests.support.smtp import MailServer

_DRAIN_SECONDS = 30
_PAUSE_SECONDS = 0.05
_INVITEES_PASSWORD = "green lanterns over the bay"


class Proxy:
    """Gives each request to one of the web processes in turn, and notes what came of it."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.troubles: list[str] = []
        """Requests that were refused or got no answer."""
        self.slowest = (0.0, "")
        self.ready: dict[str, Counter[int]] = {}
        """What `/readyz` of each web process has answered as long as it got requests."""
        self._webs: list[str] = []
        self._in_hand: Counter[str] = Counter()
        self._turn = count()
        self._changed = Condition()

    def let_in(self, url: str) -> None:
        with self._changed:
            self._webs.append(url)
            self.ready[url] = Counter()

    def take_out(self, url: str) -> None:
        """Give it no further requests, and wait for those that it has."""
        with self._changed:
            self._webs.remove(url)
            assert self._changed.wait_for(lambda: not self._in_hand[url], _DRAIN_SECONDS)

    def look(self) -> None:
        """Ask the next web process whether it is ready, as a load balancer does."""
        with self.request() as url:
            status = status_of(f"{url}/readyz")
        with self._changed:
            self.ready[url][status] += 1

    @contextmanager
    def request(self) -> Iterator[str]:
        """The address of whoever is to answer."""
        with self._changed:
            url = self._webs[next(self._turn) % len(self._webs)]
            self._in_hand[url] += 1
        try:
            yield url
        finally:
            with self._changed:
                self._in_hand[url] -= 1
                self._changed.notify_all()

    def note(self, what: str, seconds: float, answer: Answer | None) -> None:
        with self._changed:
            self.slowest = max(self.slowest, (seconds, what))
            self.answers[answer.status if answer else 0] += 1
            if answer is None:
                self.troubles.append(f"{what}: no answer")
            elif answer.status >= 400:
                self.troubles.append(f"{what}: {answer.status} {answer.text[:200]}")


class Guest(Person):
    """Somebody who comes through the proxy."""

    def __init__(self, proxy: Proxy, address: str) -> None:
        super().__init__("", headers={"X-Forwarded-For": address})
        self._proxy = proxy

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        answer, began = None, monotonic()
        with self._proxy.request() as self.url:
            try:
                answer = super()._ask(method, path, headers, body)
            finally:
                self._proxy.note(f"{method} {path.split('?')[0]}", monotonic() - began, answer)
        return answer


class Traffic:
    """Admins who add, import, search and resend, and invitees who register and verify, until the end of the block."""

    def __init__(self, proxy: Proxy, mailboxes: MailServer, admin: str, people: int = 3) -> None:
        self.proxy = proxy
        self.expected: Counter[str] = Counter()
        """How many mails each client is to get."""
        self.registered: set[str] = set()
        self.verified: set[str] = set()
        self._mailboxes = mailboxes
        self._admin = admin
        self._over = Event()
        self._lock = Lock()
        self._failures: list[BaseException] = []
        self._threads = [Thread(target=self._safely, args=[number]) for number in range(people)]
        self._threads.append(Thread(target=self._look))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    @property
    def mails(self) -> Counter[str]:
        """The mails that clients got."""
        recipients = [mail.recipient for mail in list(self._mailboxes.mails)]
        return Counter(one for one in recipients if one != self._admin)

    @property
    def clients(self) -> int:
        with self._lock:
            return len(self.expected)

    def _look(self) -> None:
        while not self._over.wait(0.2):
            self.proxy.look()

    def _safely(self, number: int) -> None:
        try:
            self._work(number)
        except (AssertionError, OSError, HTTPException) as error:
            self._failures.append(error)

    def _work(self, number: int) -> None:
        admin = Guest(self.proxy, f"198.18.0.{number + 1}")
        admin.sign_in(self._admin, PASSWORD)
        for n in count():
            if self._over.wait(_PAUSE_SECONDS):
                return
            own = f"own-{n}-{number}@client.test"
            self._invite(admin.add(own), [own])
            rows = [f"row-{n}-{m}-{number}@client.test" for m in range(4)]
            self._invite(admin.bring_in(rows), rows)
            admin.get(f"{admin.ic}/table?q=row-{n}")
            admin.get(f"{admin.ic}?status=joined")
            self._resend(admin, number)
            self._join(f"own-{n - 2}-{number}@client.test", number)

    def _invite(self, answer: Answer | None, emails: Sequence[str]) -> None:
        if answer is not None and answer.status == 200:
            with self._lock:
                self.expected.update(emails)

    def _resend(self, admin: Person, number: int) -> None:
        """Resend the newest of our invitations that has arrived, and that nobody uses otherwise."""
        mine = [line for line in admin.newest() if re.fullmatch(rf"row-.*-{number}@client.test", line.email)]
        for line in mine:
            if self._mailboxes.to(line.email) and self.expected[line.email] == 1:
                self._invite(admin.resend(line), [line.email])
                return

    def _join(self, email: str, number: int) -> None:
        """Register with the link of the mail, and verify with that of the next one, as far as they have come."""
        mails = [mail for mail in list(self._mailboxes.mails) if mail.recipient == email]
        if not mails or email in self.registered:
            return
        invitee = Guest(self.proxy, f"198.19.{number}.{len(self.registered) % 250 + 1}")
        path = urlsplit(mails[0].link).path
        invitee.look_at(path)
        answer = invitee.register(path, email, "Kim Adler", _INVITEES_PASSWORD)
        assert answer is not None
        assert answer.status == 303, answer
        with self._lock:
            self.expected[email] += 1
            self.registered.add(email)
        verification = self._mailboxes.wait_for(email, 2, 30)
        path = urlsplit(verification.link).path
        invitee.look_at(path)
        assert invitee.press(path, {}).status == 303
        self.verified.add(email)
