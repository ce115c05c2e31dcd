"""From an outbox row to a mail that can be sent. Nothing rendered is ever stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import css_inline
from flask import current_app, render_template
from flask_babel import force_locale, format_datetime

from app.models import OutboxMail
from app.outbox.handlers import handler_of
from app.outbox.smtp import RenderedMail
from app.text import smtp_address

_ACCENT = "#0f5fa8"
_ACCENT_TEXT = "#ffffff"

# Style tags are kept beside the inlined styles: dark mode and small screens need their media queries.
_inliner = css_inline.CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)


def render(mail: OutboxMail, at: datetime) -> RenderedMail:
    """Build the mail as it is sent at a moment, by its handler's context and the templates of its kind."""
    with force_locale("en"):
        context = handler_of(mail).context(mail)
        folder = f"email/{mail.kind}"
        html = render_template(f"{folder}/body.html", accent=_ACCENT, accent_text=_ACCENT_TEXT, **context)
        return RenderedMail(
            message_id=mail.message_id,
            sender=current_app.config["SETTINGS"].mail_default_sender,
            recipient=smtp_address(mail.recipient),
            # A header is one line, whatever a name holds.
            subject=" ".join(render_template(f"{folder}/subject.txt", **context).split()),
            text=render_template(f"{folder}/body.txt", **context) + "\n",
            html=_inliner.inline(html),
            date=at,
            # An answer to an invitation goes to the person who invites.
            reply_to=smtp_address(mail.params["inviter_email"]) if "inviter_email" in mail.params else None,
        )


def expiry_text(at: datetime, lifetime: timedelta) -> str:
    """When a link ends that begins to live now, as the mail says it: in UTC, since a mail knows no zone."""
    return f"{format_datetime((at + lifetime).astimezone(UTC), 'd MMMM yyyy, HH:mm', rebase=False)} UTC"
