"""The pages that show the demo's mails. They exist only while the catcher runs."""

from __future__ import annotations

import re
from uuid import UUID

from flask import Blueprint, abort, make_response, render_template, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app.demo.mailbox import KeptMail, Mailbox
from app.web.responses import shown_mail

_PAGE_SIZE = 50
_HEADERS = ("From", "To", "Reply-To", "Date", "Message-ID", "Auto-Submitted", "List-Unsubscribe")

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_URL = re.compile(r"(https?://[^\s<>\"]+)")
_HEAD = re.compile(r"<head[^>]*>", re.IGNORECASE)


def mail_viewer(mailbox: Mailbox) -> Blueprint:
    """A blueprint that shows a mailbox, to be registered with the app."""
    bp = Blueprint("demo", __name__, url_prefix="/demo/mail")

    def mail_or_404(mail_id: UUID) -> KeptMail:
        mail = mailbox.get(mail_id)
        return mail if mail is not None else abort(404)

    @bp.get("")
    def mails() -> ResponseReturnValue:
        mails, has_more = mailbox.page(_PAGE_SIZE, request.args.get("before", type=UUID))
        return render_template("demo/mails.html", mails=mails, next_before=mails[-1].id if has_more and mails else None)

    @bp.get("/<uuid:mail_id>")
    def mail(mail_id: UUID) -> ResponseReturnValue:
        kept = mail_or_404(mail_id)
        parts = [name for name, there in (("html", kept.part("html")), ("text", kept.part("plain"))) if there]
        parts.append("source")
        wanted = request.args.get("part")
        page = render_template(
            "demo/mail.html",
            mail=kept,
            headers=[(name, text) for name in _HEADERS if (text := kept.header(name))],
            parts=parts,
            part=wanted if wanted in parts else parts[0],
            text=with_links(kept.part("plain") or ""),
            source=kept.source.decode("utf-8", "replace"),
        )
        response = make_response(page)
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        return response

    @bp.get("/<uuid:mail_id>/html")
    def mail_html(mail_id: UUID) -> ResponseReturnValue:
        return shown_mail(_opening_new_tabs(mail_or_404(mail_id).html_with_pictures()))

    return bp


def with_links(text: str) -> Markup:
    """A plain text as HTML, with its URLs as links that open in a new tab."""
    link = Markup('<a href="{0}" target="_blank" rel="noopener">{0}</a>')
    # re.split with a group returns the matched URLs at the odd positions.
    return Markup("").join(link.format(piece) if n % 2 else piece for n, piece in enumerate(_URL.split(text)))


def _opening_new_tabs(html: str) -> str:
    """Make links open in a new tab. Inside the frame they would show nothing, because our pages refuse to be framed."""
    return _HEAD.sub(lambda head: f'{head[0]}<base target="_blank">', html, count=1)
