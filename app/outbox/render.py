"""From an outbox row to a mail that can be sent. Nothing rendered is ever stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from threading import Lock

import css_inline
from flask import render_template
from flask_babel import force_locale, format_datetime
from markupsafe import escape

from app.links import cut_url
from app.models import MailKind, OutboxMail
from app.outbox.handlers import handler_of
from app.outbox.servers import Route
from app.outbox.smtp import RenderedMail
from app.text import smtp_address

_ACCENT = "#0f5fa8"
_ACCENT_TEXT = "#ffffff"
_LANGUAGE = "en"

# Style tags are kept beside the inlined styles: dark mode and small screens need their media queries.
_inliner = css_inline.CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)


@dataclass(frozen=True)
class CutMail:
    """What a mail says, for others than its recipient: its link is cut."""

    subject: str
    text: str


def render(mail: OutboxMail, at: datetime, route: Route) -> RenderedMail:
    """Build the mail as it is sent at a moment, by its handler's context and the templates of its kind. No database."""
    inviter = mail.params.get("inviter_email")
    handler = handler_of(mail.kind)
    frame, own = _frame_and_values(mail, at, handler.link(mail))
    return RenderedMail(
        message_id=mail.message_id,
        sender=route.sender,
        recipient=smtp_address(mail.recipient),
        subject=_one_line(frame.subject.filled(own)),
        text=frame.text.filled(own),
        html=frame.html.filled({name: escape(value) for name, value in own.items()}),
        date=at,
        # An answer to an invitation goes to the person who invites, unless the portal says otherwise.
        reply_to=route.reply_to or (smtp_address(inviter) if inviter else None),
    )


def render_cut(mail: OutboxMail, at: datetime) -> CutMail:
    """The mail's words as they were sent at a moment, or would be; the link that works is never even made."""
    handler = handler_of(mail.kind)
    link = cut_url(handler.link_kind) if handler.link_kind else handler.link(mail)
    frame, own = _frame_and_values(mail, at, link)
    return CutMail(_one_line(frame.subject.filled(own)), frame.text.filled(own))


# What all mails of a portal share is made once: Jinja, gettext and the inlining of styles cost more than all the rest
# of sending a mail.


class _Gaps:
    """A text with gaps for the values that are a single mail's own."""

    def __init__(self, text: str) -> None:
        self._pieces = _MARK.split(text)  # text, name, text, name, …, text

    def filled(self, values: Mapping[str, str]) -> str:
        pieces = list(self._pieces)
        pieces[1::2] = [values[name] for name in pieces[1::2]]
        return "".join(pieces)


@dataclass(frozen=True)
class _Frame:
    subject: _Gaps
    text: _Gaps
    html: _Gaps


_one_maker = Lock()
"""All threads begin with mails of one frame; made by each of them it would take as long as many mails."""

# Private characters, which no name may hold.
_MARK = re.compile("\ue000([a-z_]+)\ue001")


def _frame_and_values(mail: OutboxMail, at: datetime, link: str) -> tuple[_Frame, dict[str, str]]:
    handler = handler_of(mail.kind)
    with force_locale(_LANGUAGE):
        shared = dict(handler.context(mail, at))
    own = {name: str(shared.pop(name)) for name in handler.own_values} | {"link": link}
    with _one_maker:
        return _frame(mail.kind, tuple(own), tuple(sorted(shared.items()))), own


@lru_cache(maxsize=256)
def _frame(kind: MailKind, own: tuple[str, ...], shared: tuple[tuple[str, object], ...]) -> _Frame:
    context = dict(shared) | {name: f"\ue000{name}\ue001" for name in own}
    with force_locale(_LANGUAGE):
        return _Frame(
            subject=_Gaps(render_template(f"email/{kind}/subject.txt", **context)),
            text=_Gaps(render_template(f"email/{kind}/body.txt", **context) + "\n"),
            html=_Gaps(inlined(kind, context)),
        )


def inlined(kind: MailKind, context: Mapping[str, object]) -> str:
    """A mail's HTML with its styles at each element, where all mail programs heed them."""
    html = render_template(f"email/{kind}/body.html", accent=_ACCENT, accent_text=_ACCENT_TEXT, **context)
    return _inliner.inline(html)


def _one_line(subject: str) -> str:
    # A header is one line, whatever a name holds.
    return " ".join(subject.split())


def expiry_text(at: datetime, lifetime: timedelta) -> str:
    """When a link ends that begins to live now, as the mail says it: in UTC, since a mail knows no zone."""
    return f"{format_datetime((at + lifetime).astimezone(UTC), 'd MMMM yyyy, HH:mm', rebase=False)} UTC"
