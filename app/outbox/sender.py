"""One connection to a mail server, with the thread that talks over it. Knows no database."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import NamedTuple

from flask import Flask

from app.branding.face import Face
from app.clock import now
from app.links import token_in
from app.outbox.handlers import handler_of
from app.outbox.mail import HeldMail
from app.outbox.render import render
from app.outbox.servers import Route
from app.outbox.smtp import (
    CannotBuild,
    DeliveryError,
    RefusedForGood,
    RenderedMail,
    ServerAtFault,
    SmtpConnection,
    TryLater,
    UnknownOutcome,
)

log = logging.getLogger(__name__)

BEGIN_SECONDS = 10.0
"""How long after its last look a mail may be begun. With the deadline that it then has it does not outlast its lease,
so a process that slept in between does not send what others have taken over."""
_IDLE_SECONDS = 10.0
"""How long a connection is kept open that has nothing to do."""


class Result(NamedTuple):
    """What came of offering a mail to the server; without an error it has taken it."""

    sender: Sender
    mail: HeldMail
    error: DeliveryError | None
    seconds: float

    @property
    def is_served(self) -> bool:
        """Whether the server did its work, be it that it said no to this mail."""
        return self.error is None or isinstance(self.error, RefusedForGood | TryLater)

    @property
    def outcome(self) -> str:
        """What came of it, as the figures call it."""
        match self.error:
            case None:
                return "sent"
            case RefusedForGood():
                return "refused"
            case CannotBuild():
                return "unbuildable"
            case UnknownOutcome():
                return "unknown"
            case ServerAtFault():
                return "server_at_fault"
            case _:
                return "later"


class _Given(NamedTuple):
    mail: HeldMail
    face: Face
    looked_at: float


class Sender:
    """One connection with its thread. It gets a mail, offers it to the server and tells the result."""

    def __init__(self, app: Flask, route: Route, results: SimpleQueue[Result | None]) -> None:
        self.route = route
        self.is_served = False
        self._app = app
        self._results = results
        self._inbox: SimpleQueue[_Given | None] = SimpleQueue()
        self._connection = SmtpConnection(
            route.server, permits=route.permits, local_hostname=app.config["SETTINGS"].public_host
        )
        # A daemon: a process that has to end does not wait for a server that never answers.
        # In a copy of the context, so that what it logs names the job.
        work = copy_context().run
        self._thread = Thread(target=work, args=(self._work,), name=f"outbox {route.key}", daemon=True)
        self._thread.start()

    def give(self, mail: HeldMail, face: Face, looked_at: float) -> None:
        """Offer a mail, with its portal's face, that was looked at for the last time at a moment (monotonic clock)."""
        self._inbox.put(_Given(mail, face, looked_at))

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
            for given in self._mails():
                began = monotonic()
                error = self._send(given)
                self._results.put(Result(self, given.mail, error, monotonic() - began))

    def _mails(self) -> Iterator[_Given]:
        while True:
            try:
                given = self._inbox.get(timeout=_IDLE_SECONDS)
            except Empty:
                self._connection.close()
                continue
            if given is None:
                return
            yield given

    def _send(self, given: _Given) -> DeliveryError | None:
        mail = given.mail
        try:
            rendered = self._render(mail, given.face)
            if monotonic() - given.looked_at > BEGIN_SECONDS:
                return TryLater("The mail was not offered: its worker had come to a halt.")
            self._connection.send(rendered)
        except DeliveryError as error:
            return _without_its_token(error, mail)
        except Exception as error:
            log.exception("mail %s: could not be offered to the server", mail.id)
            return UnknownOutcome(f"The mail could not be sent ({type(error).__name__}).")
        return None

    def _render(self, mail: HeldMail, face: Face) -> RenderedMail:
        try:
            return render(mail, now(), self.route, face)
        except Exception as error:
            log.exception("mail %s: cannot be built", mail.id)
            raise CannotBuild(f"The mail could not be built ({type(error).__name__}).") from error


def _without_its_token(error: DeliveryError, mail: HeldMail) -> DeliveryError:
    """What the server has said is stored and shown to others than the recipient."""
    handler = handler_of(mail.kind)
    return error.without_token(token_in(handler.link(mail))) if handler.link_kind else error
