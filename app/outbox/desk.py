"""A mail server's desk: who sends through it, and whose mail is next. Knows no database."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from queue import SimpleQueue
from time import monotonic

from flask import Flask

from app.branding.face import Face
from app.outbox.lanes import portal_of
from app.outbox.mail import HeldMail
from app.outbox.sender import Result, Sender
from app.outbox.servers import Route
from app.outbox.smtp import ServerUnavailable

QUICK_SECONDS = 2.0
"""A mail that took no longer speaks for its portal: see `Desk.next_mails`."""
_STOCK_SECONDS = 2.0
_FEWER_SECONDS = 30.0
"""For how long we make do with fewer connections, when a server refused one."""


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
        self._stock: defaultdict[str, deque[HeldMail]] = defaultdict(deque)
        self._turns: deque[str] = deque()
        self._idle: list[Sender] = []
        self._busy: dict[Sender, HeldMail] = {}
        # The portals whose latest mail the server did its work on, which a process knows from run to run, and of these
        # those where it took no time, in this run.
        self._served: set[str | None] = app.extensions.setdefault("served_portals", {}).setdefault(route.key, set())
        self._quick: set[str | None] = set()
        self._fewer: tuple[int, float] | None = None
        self._may_have_more: set[str] = set()
        self._finished = 0
        self._counted_since = monotonic()

    # Stock

    def stock_of(self, lane: str) -> int:
        return len(self._stock[lane]) if lane in self._stock else 0

    @property
    def faces(self) -> set[str]:
        """The portals whose face the mails in stock wear."""
        return {mail.portal_id for mail in self.stock if mail.portal_id is not None}

    @property
    def stock(self) -> list[HeldMail]:
        """The mails that wait for a sender."""
        return [mail for lane in self._stock.values() for mail in lane]

    def add(self, lane: str, mails: Sequence[HeldMail], *, is_all: bool) -> None:
        """Mails of a lane that were claimed; whether they are all that were due."""
        (self._may_have_more.discard if is_all else self._may_have_more.add)(lane)
        if mails and lane not in self._turns:
            self._turns.append(lane)
        self._stock[lane].extend(mails)

    def has_more_only_in(self, lanes: Collection[str]) -> None:
        """In other lanes than these nothing is due any more."""
        self._may_have_more.intersection_update(lanes)

    def put_down(self) -> list[HeldMail]:
        """The whole stock, which is then nobody's here."""
        mails = self.stock
        self._stock.clear()
        self._turns.clear()
        return mails

    def appetite(self) -> int:
        """How many mails to have in stock: what goes out in the next seconds, at the speed of late, and no more.

        What waits here can be sent by no other worker, and its leases run.
        """
        elapsed = monotonic() - self._counted_since
        soon = round(self._finished / elapsed * _STOCK_SECONDS) if elapsed > 0 else 0
        self._finished, self._counted_since = 0, monotonic()
        return max(2 * self._connections, soon)

    def lanes_to_stock_up(self) -> list[str]:
        """The lanes that have more, if one is running out of stock: its senders would soon have nothing to do."""
        is_running_out = any(self.stock_of(lane) < self._connections for lane in self._may_have_more)
        return sorted(self._may_have_more) if is_running_out and not self.is_closed else []

    # Sending

    @property
    def is_busy(self) -> bool:
        return bool(self._busy)

    @property
    def in_hand(self) -> list[HeldMail]:
        """The mails that senders have, and those that they are done with but whose results were not noted yet."""
        return list(self._busy.values())

    @property
    def has_work(self) -> bool:
        return self.is_busy or any(self._stock.values())

    def could_take(self) -> int:
        """How many mails could be offered at this moment."""
        return len(list(self._choice()))

    def next_mails(self, most: int | None = None) -> list[HeldMail]:
        """Take mails from the stock, up to so many: lane after lane, as there are connections for them.

        A portal gets more than half of the connections only while its mails are served, and the last one only while
        they go out quickly. So mails that a server is slow to take, or holds for ever, whatever the reason, leave some
        for the others.
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

    def put_back(self, mail: HeldMail) -> None:
        """A mail that was to be the next one of its lane, and is so again."""
        if mail.lane not in self._turns:
            self._turns.appendleft(mail.lane)
        self._stock[mail.lane].appendleft(mail)

    def send(self, mail: HeldMail, face: Face, looked_at: float) -> None:
        """Hand a mail to a sender, with its portal's face and the moment before its last look."""
        sender = self._idle.pop() if self._idle else Sender(self._app, self.route, self._results)
        self._busy[sender] = mail
        sender.give(mail, face, looked_at)

    def note(self, result: Result) -> bool:
        """A sender is done with a mail. Returns whether the server as a whole is found at fault."""
        sender = result.sender
        del self._busy[sender]
        self._finished += 1
        sender.is_served = result.is_served
        if result.is_served:
            self.is_probe = False
        is_quick = result.is_served and result.seconds < QUICK_SECONDS
        for portals, is_one in (self._served, result.is_served), (self._quick, is_quick):
            (portals.add if is_one else portals.discard)(portal_of(result.mail.lane))
        is_kept = not self.is_closed and sender.route == self.route
        if is_kept and len(self._busy) + len(self._idle) < self._connections:
            self._idle.append(sender)
        else:
            sender.dismiss()
        if isinstance(result.error, ServerUnavailable):
            working = sum(one.is_served for one in [*self._busy, *self._idle])
            if working:
                # Others are being served: it only wants fewer connections.
                self._fewer = (working, monotonic() + _FEWER_SECONDS)
                return False
        return True

    def follow(self, route: Route) -> None:
        """Use the server's newest settings from the next mail on."""
        if route != self.route:
            if route.per_second != self.route.per_second:
                self.next_turn = 0.0
            self.route = route
            self.dismiss_idle()

    def close(self) -> list[HeldMail]:
        """Offer the server no further mail. Returns the stock, which is then nobody's here."""
        self.is_closed = True
        self.dismiss_idle()
        return self.put_down()

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
        if free <= 0:
            return
        in_hand = Counter(portal_of(mail.lane) for mail in self._busy.values())
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
        if portal_id in self._quick:
            return most
        return max(1, most - 1 if portal_id in self._served else most // 2)
