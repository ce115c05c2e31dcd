"""The flush job: sends what is due, over a few connections that stay open, and marks each mail before the next."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from uuid import UUID

from flask import Flask

from app.clock import now
from app.outbox import services
from app.outbox.render import render
from app.outbox.smtp import (
    CannotBuild,
    DeliveryError,
    MailServer,
    RefusedForGood,
    ServerAtFault,
    SmtpConnection,
)
from config import Settings

log = logging.getLogger(__name__)


def flush(app: Flask, stop: Event) -> None:
    """Send all mails that are due, until none is left, the mail server is at fault, or `stop` is set.

    Without a mail server the mails wait: nothing is claimed.
    """
    server = deployment_server(app.config["SETTINGS"])
    if server is None:
        return
    while not stop.is_set():
        with app.app_context():
            if not services.has_due_mail():
                return
            lease_id, mail_ids = services.claim()
        if mail_ids and not _Batch(app, server, lease_id, mail_ids, stop).send():
            return


def deployment_server(settings: Settings) -> MailServer | None:
    """The mail server named in the settings, if any."""
    mail = settings.mail
    if mail is None:
        return None
    return MailServer(
        host=mail.server,
        port=mail.port,
        tls="ssl" if mail.use_ssl else "starttls" if mail.use_tls else "none",
        username=mail.username,
        password=mail.password,
    )


class _Batch:
    """The mails of one claim, shared out among a few threads with a connection each."""

    def __init__(self, app: Flask, server: MailServer, lease_id: UUID, mail_ids: Sequence[UUID], stop: Event) -> None:
        self.app = app
        self.server = server
        self.lease_id = lease_id
        self.stop = stop
        self.server_fault: str | None = None
        self.todo: SimpleQueue[UUID] = SimpleQueue()
        for mail_id in mail_ids:
            self.todo.put(mail_id)
        self.connections = min(app.config["SETTINGS"].outbox_connections, len(mail_ids))

    def send(self) -> bool:
        """Send the batch. Returns whether it makes sense to claim another one now."""
        threads = [Thread(target=self._drain, name=f"outbox-{n}") for n in range(self.connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with self.app.app_context():
            if self.server_fault is not None:
                services.release(
                    self.lease_id,
                    pause_seconds=services.SERVER_PAUSE_SECONDS,
                    reason=self.server_fault,
                )
            elif not self.todo.empty():
                services.release(self.lease_id)
        return self.server_fault is None

    def _drain(self) -> None:
        with SmtpConnection(self.server, local_hostname=self.app.config["SETTINGS"].public_host) as connection:
            while not self.stop.is_set() and self.server_fault is None:
                try:
                    mail_id = self.todo.get_nowait()
                except Empty:
                    return
                try:
                    # A context a mail: each begins with a fresh database session.
                    with self.app.app_context():
                        self._deliver(connection, mail_id)
                except Exception:
                    # The lease ends by itself, and the mail is tried again.
                    log.exception("mail %s: could not be handled", mail_id)

    def _deliver(self, connection: SmtpConnection, mail_id: UUID) -> None:
        mail = services.begin_attempt(mail_id, self.lease_id)
        if mail is None:
            return
        try:
            try:
                rendered = render(mail, now())
            except Exception as error:
                log.exception("mail %s: cannot be built", mail_id)
                raise CannotBuild(f"The mail could not be built ({type(error).__name__}).") from error
            connection.send(rendered)
        except (RefusedForGood, CannotBuild) as error:
            services.settle_failed(mail, self.lease_id, error.reason)
        except ServerAtFault as error:
            self.server_fault = error.reason
            services.settle_server_down(mail, self.lease_id, error.reason)
        except DeliveryError as error:
            services.settle_later(mail, self.lease_id, error.reason)
        else:
            services.settle_sent(mail, self.lease_id)
            return
        log.warning("mail %s: not sent (attempt %s)", mail_id, mail.attempts)
