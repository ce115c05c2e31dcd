"""The connection test: sends a test mail through a mail server at once and reports each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import current_app
from flask_babel import gettext as _
from markupsafe import escape

from app.core.clock import now
from app.core.ids import new_id
from app.core.text import smtp_address
from app.db.transactions import transaction
from app.outbox.enqueue import message_id_of
from app.outbox.errors import DeliveryError
from app.outbox.mime import RenderedMail
from app.outbox.recovery import recovered
from app.outbox.routing import Route, envelope_sender
from app.outbox.smtp import SmtpConnection
from app.outbox.smtp_client import Step
from app.queue.sending import require_sending

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


def deployment_test_mail(route: Route, recipient: str) -> RenderedMail:
    """A mail to a clean address that tries the deployment's server, and opens nothing."""
    mail_id = new_id()
    words = _(
        "This is a test email of the service at %(url)s. If you can read this, its mail server works.",
        url=current_app.config["PUBLIC_BASE_URL"],
    )
    return RenderedMail(
        message_id=message_id_of(mail_id),
        sender=route.sender,
        recipient=smtp_address(recipient),
        subject=_("Test email"),
        text=f"{words}\n",
        html=f"<!doctype html>\n<title>{escape(_('Test email'))}</title>\n<p>{escape(words)}</p>\n",
        date=now(),
        envelope_from=envelope_sender(route, mail_id),
    )


def run_connection_test(route: Route, mail: RenderedMail) -> ConnectionTest:
    """Send this test mail now. If the server takes it, end the server's pause, so that waiting mails go out.

    Raises `DomainError` if nothing may be sent from here.
    """
    require_sending()
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
            words = connection.send(mail)
        except DeliveryError as error:
            return ConnectionTest(done, next(step for step in needed if step not in done), error.reason)
    with transaction():
        recovered(route.key)
    return ConnectionTest(done, None, words)
