"""A mail server's desk: who sends through it, and whose mail is next. Knows no database."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from flask import Flask

from app.clock import now
from app.models import OutboxMail
from app.outbox.lanes import portal_of
from app.outbox.render import render
from app.outbox.servers import Route
from app.outbox.smtp import CannotBuild, DeliveryError, RenderedMail, ServerUnavailable, SmtpConnection, TryLater

log = logging.getLogger(__name__)

BEGIN_SECONDS = 10.0
"""How long after its last look a mail may be begun. With the deadline that it then has it does not outlast its lease,
so a process that slept in between does not send what others have taken over."""
QUICK_SECONDS = 2.0
"""A mail that took no longer speaks for its portal: see `Desk.next_mails`."""
_IDLE_SECONDS = 10.0
"""How long a connection is kept open that has nothing to do."""
_FEWER_SECONDS = 30.0
"""For how long we make do with fewer connections, when a server refused one."""


@dataclass(frozen=True)
class Result:
    """What came of offering a mail to the server; without an error it has taken it."""

    sender: Sender
    mail: OutboxMail
    error: DeliveryError | None
    seconds: float


class Sender:
    """One connection with its thread. It gets a mail, offers it to the server and tells the result."""

    def __init__(self, app: Flask, route: Route, results: SimpleQueue[Result | None]) -> None:
        self.route = route
        self.has_sent = False
        self._app = app
        self._results = results
        self._inbox: SimpleQueue[tuple[OutboxMail, float] | None] = SimpleQueue()
        self._connection = SmtpConnection(
            route.server, permits=route.permits, local_hostname=app.config["SETTINGS"].public_host
        )
        # A daemon: a process that has to end does not wait for a server that never answers.
        self._thread = Thread(target=self._work, name=f"outbox {route.key}", daemon=True)
        self._thread.start()

    def give(self, mail: OutboxMail, looked_at: float) -> None:
        """Offer a mail that was looked at for the last time at a moment of the monotonic clock."""
        self._inbox.put((mail, looked_at))

    def dismiss(self) -> None:
        """End when the mail in hand is done."""
        self._inbox.put(None)

    def abort(self) -> None:
        """Let the mail in hand fail now."""
        self._connection.abort()

    def wait(self, seconds: float) -> None:
        """Wait for its end after it was dismissed, but not for ever."""
        self._thread.join(seconds)

    def _work(self) -> None:
        # One context for good: nothing that is done here touches the database.
        with self._app.app_context(), self._connection:
            for mail, looked_at in self._mails():
                began = monotonic()
                error = self._send(mail, looked_at)
                self._results.put(Result(self, mail, error, monotonic() - began))

    def _mails(self) -> Iterator[tuple[OutboxMail, float]]:
        while True:
            try:
                given = self._inbox.get(timeout=_IDLE_SECONDS)
            except Empty:
                self._connection.close()
                continue
            if given is None:
                return
            yield given

    def _send(self, mail: OutboxMail, looked_at: float) -> DeliveryError | None:
        try:
            rendered = self._render(mail)
            if monotonic() - looked_at > BEGIN_SECONDS:
                return TryLater("The mail was not offered: its worker had come to a halt.")
            self._connection.send(rendered)
        except DeliveryError as error:
            return error
        except Exception as error:
            log.exception("mail %s: could not be offered to the server", mail.id)
            return TryLater(f"The mail could not be sent ({type(error).__name__}).")
        return None

    def _render(self, mail: OutboxMail) -> RenderedMail:
        try:
            return render(mail, now(), self.route.sender)
        except Exception as error:
            log.exception("mail %s: cannot be built", mail.id)
            raise CannotBuild(f"The mail could not be built ({type(error).__name__}).") from error


class Desk:
    """The mails that wait for one server in this process, lane by lane, and the senders that take them."""

    def __init__(self, app: Flask, route: Route, results: SimpleQueue[Result | None], *, is_probe: bool) -> None:
        self.route = route
        self.is_probe = is_probe
        """The server was at fault: one mail at a time, until it has taken one."""
        self.is_closed = False
        """The server is at fault: no further mail is offered to it."""
        self.next_turn = 0.0
        """Of a server with a rate: when it may get its next mail, by the monotonic clock."""
        self._app = app
        self._results = results
        self._stock: defaultdict[str, deque[OutboxMail]] = defaultdict(deque)
        self._turns: deque[str] = deque()
        self._idle: list[Sender] = []
        self._busy: dict[Sender, OutboxMail] = {}
        self._quick: set[str | None] = set()
        self._fewer: tuple[int, float] | None = None
        self._may_have_more: set[str] = set()

    # Stock

    def stock_of(self, lane: str) -> int:
        return len(self._stock[lane]) if lane in self._stock else 0

    def add(self, lane: str, mails: Sequence[OutboxMail], *, is_all: bool) -> None:
        """Mails of a lane that were claimed; whether they are all that were due."""
        (self._may_have_more.discard if is_all else self._may_have_more.add)(lane)
        if mails and lane not in self._turns:
            self._turns.append(lane)
        self._stock[lane].extend(mails)

    def has_more_only_in(self, lanes: Collection[str]) -> None:
        """In other lanes than these nothing is due any more."""
        self._may_have_more.intersection_update(lanes)

    def put_down(self) -> list[OutboxMail]:
        """The whole stock, which is then nobody's here."""
        mails = [mail for lane in self._stock.values() for mail in lane]
        self._stock.clear()
        self._turns.clear()
        return mails

    @property
    def wants_more(self) -> bool:
        """Whether a lane that has more is running out of stock: its senders would soon have nothing to do."""
        return not self.is_closed and any(self.stock_of(lane) < self._connections for lane in self._may_have_more)

    # Sending

    @property
    def is_busy(self) -> bool:
        return bool(self._busy)

    @property
    def has_work(self) -> bool:
        return self.is_busy or any(self._stock.values())

    def could_take(self) -> int:
        """How many mails could be offered at this moment."""
        return len(list(self._choice()))

    def next_mails(self, most: int) -> list[OutboxMail]:
        """Take up to so many mails from the stock: lane after lane, as there are connections for them.

        A portal gets the last connection only while its mails go out quickly. So mails that a server is slow to take,
        whatever the reason, leave one for the others.
        """
        chosen = []
        for lane in list(islice(self._choice(), most)):
            chosen.append(self._stock[lane].popleft())
            # It was its turn; now it is the others'.
            self._turns.remove(lane)
            if self._stock[lane]:
                self._turns.append(lane)
            else:
                del self._stock[lane]
        return chosen

    def send(self, mail: OutboxMail, looked_at: float) -> None:
        """Hand a mail to a sender, with the moment before its last look."""
        sender = self._idle.pop() if self._idle else Sender(self._app, self.route, self._results)
        self._busy[sender] = mail
        sender.give(mail, looked_at)

    def note(self, result: Result) -> bool:
        """A sender is done with a mail. Returns whether the server as a whole is found at fault."""
        sender = result.sender
        del self._busy[sender]
        sender.has_sent = result.error is None
        if sender.has_sent:
            self.is_probe = False
        is_quick = sender.has_sent and result.seconds < QUICK_SECONDS
        (self._quick.add if is_quick else self._quick.discard)(result.mail.portal_id)
        if sender.route == self.route and len(self._busy) + len(self._idle) < self._connections:
            self._idle.append(sender)
        else:
            sender.dismiss()
        if isinstance(result.error, ServerUnavailable):
            working = sum(one.has_sent for one in [*self._busy, *self._idle])
            if working:
                # Others are being served: it only wants fewer connections.
                self._fewer = (working, monotonic() + _FEWER_SECONDS)
                return False
        return True

    def follow(self, route: Route) -> None:
        """Use the server's newest settings from the next mail on."""
        if route != self.route:
            self.route = route
            self.dismiss_idle()

    def dismiss_idle(self) -> list[Sender]:
        dismissed, self._idle = self._idle, []
        for sender in dismissed:
            sender.dismiss()
        return dismissed

    def abort(self) -> None:
        """Let the mails in hand fail now."""
        for sender in self._busy:
            sender.abort()

    @property
    def _connections(self) -> int:
        if self.is_probe:
            return 1
        if self._fewer and monotonic() < self._fewer[1]:
            return self._fewer[0]
        return self.route.connections

    def _choice(self) -> Iterator[str]:
        """The lanes whose first mails may go out at this moment, in turns, as often as they may."""
        free = 0 if self.is_closed else self._connections - len(self._busy)
        in_hand = Counter(mail.portal_id for mail in self._busy.values())
        left = {lane: len(self._stock[lane]) for lane in self._turns}
        while free > 0 and any(left.values()):
            free_before = free
            for lane in self._turns:
                portal = portal_of(lane)
                if free > 0 and left[lane] and in_hand[portal] < self._share_of(portal):
                    left[lane] -= 1
                    in_hand[portal] += 1
                    free -= 1
                    yield lane
            if free == free_before:
                return

    def _share_of(self, portal_id: str | None) -> int:
        most = self._connections
        return most if most == 1 or portal_id in self._quick else most - 1
