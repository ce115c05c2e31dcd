"""The connections of this process to one mail server, and whose mail is next. Knows no database."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Sequence
from queue import SimpleQueue
from time import monotonic

from flask import Flask

from app.branding.face import Face
from app.outbox.emails import LeasedEmail
from app.outbox.errors import ServerUnavailable
from app.outbox.priorities import portal_of
from app.outbox.sender import Sender, SendResult
from app.outbox.servers import Route

QUICK_SECONDS = 2.0
"""A portal whose latest mail took no longer may have all connections; see `ServerPool._cap_of`."""
_PREFETCHED_SECONDS = 2.0


class ServerPool:
    """The mails that were fetched for one server, queue by queue, and the senders that take them."""

    def __init__(self, app: Flask, route: Route, results: SimpleQueue[SendResult | None], *, is_probe: bool) -> None:
        self.route = route
        self.is_probe = is_probe
        """The server was at fault: one mail at a time, until it has taken one."""
        self.is_closed = False
        """The server is at fault: no further mail is offered to it."""
        self.next_turn = 0.0
        """Of a server with a rate: when it may get its next mail, by the monotonic clock."""
        self._app = app
        self._results = results
        self._prefetched: defaultdict[str, deque[LeasedEmail]] = defaultdict(deque)
        self._turns: deque[str] = deque()
        self._idle: list[Sender] = []
        self._busy: dict[Sender, LeasedEmail] = {}
        self._quick: set[str | None] = set()
        self._fewer: tuple[int, float] | None = None
        self._may_have_more: set[str] = set()
        self._finished = 0
        self._counted_since = monotonic()
        self.prefetch_limit = 2 * self._connections

    # Prefetched mails

    @property
    def prefetched(self) -> list[LeasedEmail]:
        """The mails that wait for a sender."""
        return [mail for mails in self._prefetched.values() for mail in mails]

    def add(self, queue: str, mails: Sequence[LeasedEmail], *, is_all: bool) -> None:
        """Mails of a queue that were fetched; whether they are all that were due."""
        (self._may_have_more.discard if is_all else self._may_have_more.add)(queue)
        if mails and queue not in self._turns:
            self._turns.append(queue)
        self._prefetched[queue].extend(mails)

    def has_more_only_in(self, queues: Collection[str]) -> None:
        """In other queues than these nothing is due any more."""
        self._may_have_more.intersection_update(queues)

    def release(self) -> list[LeasedEmail]:
        """Give up what was prefetched; whoever calls gives it back."""
        mails = self.prefetched
        self._prefetched.clear()
        self._turns.clear()
        return mails

    def room_for(self, queue: str, queues: int, most: int) -> int:
        """How many mails to fetch of one of so many queues: none while it has more than half of its share."""
        share = max(1, min(self.prefetch_limit, most) // queues)
        room = share - len(self._prefetched[queue])
        return room if room > share // 2 else 0

    def measure(self) -> None:
        """Set the prefetch limit to what goes out in the next seconds, at the speed of late, and no more.

        What waits here can be sent by no other worker, and its leases run.
        """
        elapsed = monotonic() - self._counted_since
        soon = round(self._finished / elapsed * _PREFETCHED_SECONDS) if elapsed > 0 else 0
        self._finished, self._counted_since = 0, monotonic()
        self.prefetch_limit = max(2 * self._connections, soon)

    def queues_to_refill(self) -> list[str]:
        """The queues that have more, if one is running out: its senders would soon have nothing to do."""
        is_running_out = any(len(self._prefetched[queue]) < self._connections for queue in self._may_have_more)
        return sorted(self._may_have_more) if is_running_out and not self.is_closed else []

    # Sending

    @property
    def is_busy(self) -> bool:
        return bool(self._busy)

    @property
    def in_hand(self) -> list[LeasedEmail]:
        """The mails that senders have, and those that they are done with but whose results were not noted yet."""
        return list(self._busy.values())

    @property
    def has_work(self) -> bool:
        return self.is_busy or any(self._prefetched.values())

    @property
    def ready(self) -> int:
        """How many mails could be offered at this moment."""
        waiting: Counter[str | None] = Counter()
        for queue, mails in self._prefetched.items():
            waiting[portal_of(queue)] += len(mails)
        in_hand = self._in_hand_by_portal()
        allowed = sum(max(0, min(count, self._cap_of(one) - in_hand[one])) for one, count in waiting.items())
        return min(self._free, allowed)

    def next_mails(self, most: int) -> list[LeasedEmail]:
        """Take mails that were prefetched, up to so many: queue after queue, as there are connections for them."""
        chosen: list[LeasedEmail] = []
        in_hand = self._in_hand_by_portal()
        free = min(most, self._free)
        while len(chosen) < free:
            queue = next((one for one in self._turns if in_hand[portal_of(one)] < self._cap_of(portal_of(one))), None)
            if queue is None:
                break
            chosen.append(self._prefetched[queue].popleft())
            in_hand[portal_of(queue)] += 1
            # It was its turn; now it is the others'.
            self._turns.remove(queue)
            if self._prefetched[queue]:
                self._turns.append(queue)
        return chosen

    def requeue(self, mail: LeasedEmail) -> None:
        """A mail that was to be the next one of its queue, and is so again."""
        if mail.lane not in self._turns:
            self._turns.appendleft(mail.lane)
        self._prefetched[mail.lane].appendleft(mail)

    def send(self, mail: LeasedEmail, face: Face, started_at: float) -> None:
        """Hand a mail to a sender, with its portal's face and the moment before its attempt was started."""
        sender = self._idle.pop() if self._idle else Sender(self._app, self.route, self._results)
        self._busy[sender] = mail
        sender.give(mail, face, started_at)

    def note(self, result: SendResult) -> bool:
        """A sender is done with a mail. Returns whether the server as a whole is found at fault."""
        sender = result.sender
        del self._busy[sender]
        self._finished += 1
        sender.is_served = result.is_served
        if result.is_served:
            self.is_probe = False
        is_quick = result.is_served and result.seconds < QUICK_SECONDS
        (self._quick.add if is_quick else self._quick.discard)(portal_of(result.mail.lane))
        is_kept = not self.is_closed and sender.route == self.route
        if is_kept and len(self._busy) + len(self._idle) < self._connections:
            self._idle.append(sender)
        else:
            sender.dismiss()
        working = sum(one.is_served for one in [*self._busy, *self._idle])
        if isinstance(result.error, ServerUnavailable) and working:
            # Others are being served: it only wants fewer connections.
            self._fewer = (working, monotonic() + self._app.config["SETTINGS"].timings.deadline)
            return False
        return True

    def follow(self, route: Route) -> None:
        """Use the server's newest settings from the next mail on."""
        if route != self.route:
            if route.per_second != self.route.per_second:
                self.next_turn = 0.0
            self.route = route
            self.dismiss_idle()

    def close(self) -> list[LeasedEmail]:
        """Offer the server no further mail. Returns what was prefetched; whoever calls gives it back."""
        self.is_closed = True
        self.dismiss_idle()
        return self.release()

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

    @property
    def _free(self) -> int:
        return 0 if self.is_closed else max(0, self._connections - len(self._busy))

    def _in_hand_by_portal(self) -> Counter[str | None]:
        return Counter(portal_of(mail.lane) for mail in self._busy.values())

    def _cap_of(self, portal_id: str | None) -> int:
        """The connections that a portal's mails may have: half of them, and all only while they go out quickly.

        So mails that a server is slow to take, or holds for ever, whatever the reason, leave some for other portals.
        """
        return self._connections if portal_id in self._quick else max(1, self._connections // 2)
