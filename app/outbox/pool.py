"""The pool: this process's connections to one mail server, and whose mails they take next. Uses no database."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from queue import SimpleQueue
from time import monotonic

from flask import Flask

from app.branding.policy import PortalPolicy
from app.outbox.errors import ServerUnavailable, UndecidedRefusal
from app.outbox.leased_email import LeasedEmail
from app.outbox.priorities import portal_of
from app.outbox.routing import Route
from app.outbox.sender import Sender, SendResult

QUICK_SECONDS = 2.0
"""A portal may have all connections if its latest mail took no longer than this. See `ServerPool._cap_of`."""


class ServerPool:
    """The senders of one server, and the queues that take turns in giving them mails."""

    def __init__(
        self, app: Flask, route: Route, results: SimpleQueue[SendResult | None], *, fault: str | None = None
    ) -> None:
        """`fault`: why the server was paused, if it was."""
        self.route = route
        self.fault = fault
        """The server was at fault. It gets one mail at a time until it has served one."""
        self.avoids: Collection[str] = ()
        """While it has a fault: the domains to which it is given no mail, since others tell more."""
        self.has_refusals = False
        """Some of the server's refusals are remembered, because they may be its fault. See `app.outbox.refusals`."""
        self.undecided = 0
        """How many refusals may be either the server's fault or that of their mails."""
        self.is_closed = False
        """The server is at fault. It is offered no further mail."""
        self.next_turn = 0.0
        """For a server with a rate limit: when it may get its next mail, by the monotonic clock."""
        self._app = app
        self._results = results
        self._queues: deque[str] = deque()
        self._idle: list[Sender] = []
        self._busy: dict[Sender, LeasedEmail] = {}
        self._quick: set[str | None] = set()
        self._was_served = False
        self._fewer: tuple[int, float] | None = None

    @property
    def is_probe(self) -> bool:
        return self.fault is not None

    # Turns

    def follow(self, queues: Sequence[str], route: Route | None) -> None:
        """Take note that mails are due in these queues, and use the server's newest settings from the next mail on."""
        known = [queue for queue in self._queues if queue in queues]
        self._queues = deque([*known, *(queue for queue in queues if queue not in known)])
        if route is not None and route != self.route:
            if route.per_second != self.route.per_second:
                self.next_turn = 0.0
            self.route = route
            self._was_served = False
            self.dismiss_idle()

    def shares(self, fetched: Iterable[LeasedEmail] = (), most: float = float("inf")) -> Counter[str]:
        """How many mails each queue may give now, in turns, in addition to `fetched`; at most `most` in all."""
        in_hand = Counter(portal_of(mail.queue) for mail in [*self._busy.values(), *fetched])
        free = 0 if self.is_closed else min(most, self._connections - in_hand.total())
        shares: Counter[str] = Counter()
        turns = deque(self._queues)
        while turns and shares.total() < free:
            queue = turns.popleft()
            if in_hand[portal_of(queue)] < self._cap_of(portal_of(queue)):
                in_hand[portal_of(queue)] += 1
                shares[queue] += 1
                turns.append(queue)
        return shares

    def had_turn(self, queue: str, *, has_more: bool) -> None:
        """Take note that mails of a queue were fetched. The other queues come first now."""
        self._queues.remove(queue)
        if has_more:
            self._queues.append(queue)

    # Sending

    @property
    def is_busy(self) -> bool:
        return bool(self._busy)

    @property
    def in_hand(self) -> list[LeasedEmail]:
        """The mails whose results were not noted yet, whether a sender still has them or not."""
        return list(self._busy.values())

    def send(self, mail: LeasedEmail, policy: PortalPolicy, started_at: float) -> None:
        """Hand a mail to a sender, with its portal's policy and the moment before it was fetched."""
        sender = self._idle.pop() if self._idle else Sender(self._app, self.route, self._results)
        self._busy[sender] = mail
        sender.give(mail, policy, started_at)

    def note(self, result: SendResult) -> bool:
        """Take note that a sender has finished a mail. Returns whether the server as a whole is at fault."""
        sender = result.sender
        del self._busy[sender]
        sender.is_served = result.is_served
        self.undecided += isinstance(result.error, UndecidedRefusal)
        if result.is_served:
            self._was_served = True
            self.fault, self.avoids = None, ()
        is_quick = result.is_served and result.seconds < QUICK_SECONDS
        (self._quick.add if is_quick else self._quick.discard)(portal_of(result.mail.queue))
        is_kept = not self.is_closed and sender.route == self.route
        if is_kept and len(self._busy) + len(self._idle) < self._connections:
            self._idle.append(sender)
        else:
            sender.dismiss()
        working = sum(one.is_served for one in [*self._busy, *self._idle])
        if isinstance(result.error, ServerUnavailable) and working:
            # Other connections are being served, so the server only wants fewer of them.
            self._fewer = (working, monotonic() + self._app.config["SETTINGS"].timings.deadline)
            return False
        return True

    def close(self) -> None:
        """Offer the server no further mail."""
        self.is_closed = True
        self._queues.clear()
        self.dismiss_idle()

    def dismiss_idle(self) -> list[Sender]:
        dismissed, self._idle = self._idle, []
        for sender in dismissed:
            sender.dismiss()
        return dismissed

    def abort(self) -> None:
        """Make the mails in hand fail now."""
        for sender in self._busy:
            sender.abort()

    @property
    def _connections(self) -> int:
        # If the password is wrong, one connection finds out: providers lock mailboxes after a few wrong ones.
        is_untried = self.route.server.username is not None and not self._was_served
        if self.is_probe or is_untried:
            return 1
        if self._fewer and monotonic() < self._fewer[1]:
            return self._fewer[0]
        return self.route.connections

    def _cap_of(self, portal_id: str | None) -> int:
        """How many connections a portal's mails may have: half of them, or all while the portal's mails go out quickly.

        So mails that a server takes slowly or never, for whatever reason, leave connections for other portals.
        """
        return self._connections if portal_id in self._quick else max(1, self._connections // 2)
