"""A sender: one connection to a mail server, and the thread that talks over it. Uses no database."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import NamedTuple

from flask import Flask

from app.branding.policy import PortalPolicy
from app.core.clock import now
from app.core.stored_texts import stored
from app.outbox.errors import AmbiguousOutcome, DeliveryError, InvalidMessage, PermanentFailure, TransientFailure
from app.outbox.kinds import rules_of
from app.outbox.leased_email import LeasedEmail
from app.outbox.mime import RenderedMail
from app.outbox.render import render
from app.outbox.routing import Route
from app.outbox.smtp import SmtpConnection
from config import Settings

log = logging.getLogger(__name__)

_STOPPED = stored(
    "An error in this service stopped the email on its way. Its log says more: ask whoever operates the service."
)
_NOT_BUILT = stored(
    "An error in this service: the email could not be built. Its log says more: ask whoever operates the service."
)


class SendResult(NamedTuple):
    """The result of offering a mail to the server. No error means that the server has taken the mail."""

    sender: Sender
    mail: LeasedEmail
    error: DeliveryError | None
    seconds: float

    @property
    def name(self) -> str:
        return f"mail {self.mail.id}"

    @property
    def is_served(self) -> bool:
        """Whether the server did its work, even if it refused this mail."""
        return self.error is None or isinstance(self.error, PermanentFailure | TransientFailure)


class _Given(NamedTuple):
    mail: LeasedEmail
    policy: PortalPolicy
    started_at: float


class Sender:
    """One connection with its thread. It is given a mail, offers it to the server and reports the result."""

    def __init__(self, app: Flask, route: Route, results: SimpleQueue[SendResult | None]) -> None:
        settings: Settings = app.config["SETTINGS"]
        self.route = route
        self.is_served = False
        self._app = app
        self._results = results
        self._timings = settings.timings
        self._inbox: SimpleQueue[_Given | None] = SimpleQueue()
        self._connection = SmtpConnection(
            route.server,
            timeout=settings.timings.patience,
            deadline=settings.timings.deadline,
            permits=route.permits,
            local_hostname=settings.public_host,
        )
        # A daemon, so that a process that has to end does not wait for a server that never answers.
        # In a copy of the context, so that its log lines name the job.
        work = copy_context().run
        self._thread = Thread(target=work, args=(self._work,), name=f"outbox {route.key}", daemon=True)
        self._thread.start()

    def give(self, mail: LeasedEmail, policy: PortalPolicy, started_at: float) -> None:
        """Offer a mail, with its portal's policy. `started_at`: when the attempt began, by the monotonic clock."""
        self._inbox.put(_Given(mail, policy, started_at))

    def dismiss(self) -> None:
        """End the thread after the mail in hand."""
        self._inbox.put(None)

    def abort(self) -> None:
        """Make the mail in hand fail now."""
        self._connection.abort()

    def wait(self, seconds: float) -> None:
        """Wait up to `seconds` for the thread to end after `dismiss`."""
        self._thread.join(seconds)

    def _work(self) -> None:
        # One application context for the whole life of the thread, because nothing in it uses the database.
        with self._app.app_context(), self._connection:
            for given in self._mails():
                began = monotonic()
                error = self._send(given)
                self._results.put(SendResult(self, given.mail, error, monotonic() - began))

    def _mails(self) -> Iterator[_Given]:
        while True:
            try:
                # An idle connection is kept open no longer than we would wait for an answer.
                given = self._inbox.get(timeout=self._timings.patience)
            except Empty:
                self._connection.close()
                continue
            if given is None:
                return
            yield given

    def _send(self, given: _Given) -> DeliveryError | None:
        mail = given.mail
        try:
            rendered = self._render(mail, given.policy)
            self._connection.send(rendered, begin_by=given.started_at + self._timings.begin_within)
        except DeliveryError as error:
            return _without_its_tokens(error, mail)
        except Exception:
            log.exception("mail %s: could not be offered to the server", mail.id)
            return AmbiguousOutcome(_STOPPED)
        return None

    def _render(self, mail: LeasedEmail, policy: PortalPolicy) -> RenderedMail:
        try:
            return render(mail, now(), self.route, policy)
        except Exception as error:
            log.exception("mail %s: cannot be built", mail.id)
            raise InvalidMessage(_NOT_BUILT) from error


def _without_its_tokens(error: DeliveryError, mail: LeasedEmail) -> DeliveryError:
    """Cut the mail's tokens from the error, because it is stored and shown to people other than the recipient."""
    for token in rules_of(mail.kind).tokens(mail):
        error.without_token(token)
    return error
