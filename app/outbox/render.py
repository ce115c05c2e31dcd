"""From an outbox row to a mail that can be sent. Nothing rendered is ever stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import css_inline
from flask import current_app, render_template
from flask_babel import force_locale, format_datetime

from app.links import cut_url
from app.models import OutboxMail
from app.outbox.handlers import handler_of
from app.outbox.smtp import RenderedMail
from app.text import smtp_address

_ACCENT = "#0f5fa8"
_ACCENT_TEXT = "#ffffff"

# Style tags are kept beside the inlined styles: dark mode and small screens need their media queries.
_inliner = css_inline.CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)


@dataclass(frozen=True)
class CutMail:
    """What a mail says, for others than its recipient: its link is cut."""

    subject: str
    text: str


def render(mail: OutboxMail, at: datetime) -> RenderedMail:
    """Build the mail as it is sent at a moment, by its handler's context and the templates of its kind."""
    with force_locale("en"):
        handler = handler_of(mail)
        context = handler.context(mail, at) | {"link": handler.link(mail)}
        html = render_template(f"email/{mail.kind}/body.html", accent=_ACCENT, accent_text=_ACCENT_TEXT, **context)
        return RenderedMail(
            message_id=mail.message_id,
            sender=current_app.config["SETTINGS"].mail_default_sender,
            recipient=smtp_address(mail.recipient),
            subject=_subject(mail, context),
            text=_text(mail, context),
            html=_inliner.inline(html),
            date=at,
            # An answer to an invitation goes to the person who invites.
            reply_to=smtp_address(mail.params["inviter_email"]) if "inviter_email" in mail.params else None,
        )


def render_cut(mail: OutboxMail, at: datetime) -> CutMail:
    """The mail's words as they were sent at a moment, or would be; the link that works is never even made."""
    with force_locale("en"):
        handler = handler_of(mail)
        context = handler.context(mail, at) | {"link": cut_url(handler.link_kind)}
        return CutMail(_subject(mail, context), _text(mail, context))


def _subject(mail: OutboxMail, context: dict[str, object]) -> str:
    # A header is one line, whatever a name holds.
    return " ".join(render_template(f"email/{mail.kind}/subject.txt", **context).split())


def _text(mail: OutboxMail, context: dict[str, object]) -> str:
    return render_template(f"email/{mail.kind}/body.txt", **context) + "\n"


def expiry_text(at: datetime, lifetime: timedelta) -> str:
    """When a link ends that begins to live now, as the mail says it: in UTC, since a mail knows no zone."""
    return f"{format_datetime((at + lifetime).astimezone(UTC), 'd MMMM yyyy, HH:mm', rebase=False)} UTC"
