"""The connection test: sends a test mail through a portal's server at once and reports each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import current_app, render_template

from app.core.clock import now
from app.core.ids import new_id
from app.core.signals import mail_queued
from app.core.text import smtp_address
from app.db.transactions import send_after_commit, transaction
from app.outbox.enqueue import message_id_of
from app.outbox.errors import DeliveryError
from app.outbox.mime import RenderedMail
from app.outbox.routing import Route, envelope_sender, resume
from app.outbox.smtp import SmtpConnection
from app.outbox.smtp_client import Step

_TIMEOUT_SECONDS = 8.0
_DEADLINE_SECONDS = 20.0


@dataclass(frozen=True)
class ConnectionTest:
    """The result of a connection test: how far the test mail came."""

    done: Sequence[Step]
    failed: Step | None
    """The step that failed, if one did."""
    words: str
    """The server's last reply, or the reason why the test failed."""


def run_connection_test(route: Route, portal_name: str, recipient: str) -> ConnectionTest:
    """Send a test mail now. If the server takes it, end the server's pause, so that waiting mails go out."""
    needed = [
        *(Step.RESOLVE, Step.CONNECT),
        *([Step.ENCRYPT] if route.server.tls != "none" else []),
        *([Step.SIGN_IN] if route.server.username else []),
        Step.HAND_OVER,
    ]
    if route.fault is not None:
        return ConnectionTest([], needed[0], route.fault)
    done: list[Step] = []
    connection = SmtpConnection(
        route.server,
        timeout=_TIMEOUT_SECONDS,
        deadline=_DEADLINE_SECONDS,
        permits=route.permits,
        local_hostname=current_app.config["SETTINGS"].public_host,
        told=done.append,
    )
    with connection:
        try:
            words = connection.send(_test_mail(route, portal_name, recipient))
        except DeliveryError as error:
            return ConnectionTest(done, next(step for step in needed if step not in done), error.reason)
    with transaction() as session:
        resume(route.key)
        send_after_commit(session, mail_queued)
    return ConnectionTest(done, None, words)


def _test_mail(route: Route, portal_name: str, recipient: str) -> RenderedMail:
    context = {"portal_name": portal_name, "host": route.server.host}
    mail_id = new_id()
    return RenderedMail(
        message_id=message_id_of(mail_id),
        sender=route.sender,
        recipient=smtp_address(recipient),
        subject=render_template("email/test/subject.txt", **context),
        text=render_template("email/test/body.txt", **context),
        html=render_template("email/test/body.html", **context),
        date=now(),
        reply_to=route.reply_to,
        # So that a server that refuses this sender says so now, and not when the first invitation goes out.
        envelope_from=envelope_sender(route, mail_id),
    )
