"""A text that an admin can send to a client's IT, whose mail server refuses our email."""

from __future__ import annotations

from flask_babel import gettext as _

from app.clients.advice import server_words
from app.core.i18n import moment
from app.models import OutboxMail
from app.outbox.routing import route_of


def allow_request(mail: OutboxMail) -> str | None:
    """Ask the recipient's IT to allow our email, with what they need to find it. None without a mail server."""
    route = route_of(mail.portal_id)
    if route is None or mail.last_error is None:
        return None
    return _(
        "Your mail server refused an email to %(recipient)s. Please allow email from this sender.\n"
        "\n"
        "Sender: %(sender)s\n"
        "Sent through: %(server)s\n"
        "Date: %(date)s\n"
        "Message-ID: %(message_id)s\n"
        "Your server's reply: %(reply)s",
        recipient=mail.recipient,
        sender=route.sender,
        server=route.server.host,
        date=moment(mail.sent_at or mail.created_at),
        message_id=mail.message_id,
        reply=server_words(mail.last_error),
    )
