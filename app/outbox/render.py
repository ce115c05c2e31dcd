"""Renders an outbox row into a mail that can be sent. Nothing rendered is ever stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from threading import Lock

import css_inline
from babel import Locale
from flask import render_template
from flask_babel import force_locale, format_datetime
from flask_babel import gettext as _
from markupsafe import escape

from app.branding.policy import PortalPolicy
from app.branding.resolved import ResolvedBranding
from app.branding.wording import filled
from app.core.i18n import language_now
from app.core.links import cut_url
from app.core.text import defuse_links, shown_address, smtp_address
from app.models import Language, MailKind
from app.outbox.kinds import rules_of
from app.outbox.leased_email import MailContent
from app.outbox.mime import LOGO_ID, FilledTemplate, RenderedMail, Template, placeholder
from app.outbox.routing import Route, envelope_sender

# Style tags stay beside the inlined styles, because dark mode and small screens need their media queries.
_inliner = css_inline.CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)


@dataclass(frozen=True)
class CutMail:
    """The content of a mail for anyone but its recipient. Its link is cut."""

    subject: str
    text: str
    html: str


def render(mail: MailContent, at: datetime, route: Route, policy: PortalPolicy) -> RenderedMail:
    """Build the mail as it is sent at a moment, with its portal's policy and its kind's templates. Uses no database."""
    rules = rules_of(mail.kind)
    frame, own = _frame_and_values(mail, at, policy, rules.link(mail))
    return RenderedMail(
        message_id=mail.message_id,
        sender=route.sender,
        recipient=smtp_address(mail.recipient),
        subject=_one_line(frame.subject.filled(own)),
        text=FilledTemplate(frame.text, own),
        html=FilledTemplate(frame.html, _escaped(own)),
        date=at,
        reply_to=_reply_to(mail, policy),
        logo=policy.branding.logo.png if policy.branding.logo else None,
        language=_language_of(mail, policy.branding),
        more_headers=_unsubscribe_headers(rules.unsubscribe_link(mail)),
        envelope_from=envelope_sender(route, mail.id),
    )


def _reply_to(mail: MailContent, policy: PortalPolicy) -> str | None:
    """An answer to an invitation goes to the person who invites, unless the portal has set another address."""
    if "inviter_email" not in mail.params:
        return None
    # An erased inviter has no address.
    address = policy.reply_to or mail.params["inviter_email"]
    return smtp_address(address) if address else None


def _unsubscribe_headers(link: str | None) -> tuple[tuple[str, str], ...]:
    """What makes mail programs offer to unsubscribe with one press (RFC 2369, 3.2, and RFC 8058, 3.1)."""
    if link is None:
        return ()
    return ("List-Unsubscribe", f"<{link}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")


def render_cut(mail: MailContent, at: datetime, policy: PortalPolicy) -> CutMail:
    """The content of a mail as it was sent at a moment, or would be. The working link is not even made.

    It uses the branding that the portal has published now, which may differ from the branding at that moment.
    """
    rules = rules_of(mail.kind)
    link = cut_url(rules.link_kind) if rules.link_kind else rules.link(mail)
    frame, own = _frame_and_values(mail, at, policy, link)
    return CutMail(_one_line(frame.subject.filled(own)), frame.text.filled(own), frame.html.filled(_escaped(own)))


# The parts that all mails of a portal share are rendered once, because Jinja, gettext and the inlining of styles cost
# more than everything else about sending a mail.


@dataclass(frozen=True)
class _Frame:
    subject: Template
    text: Template
    html: Template


_one_maker = Lock()
"""All threads begin with mails of one frame. If each rendered it, that would take as long as many mails."""


_ADDRESSES = {"recipient", "inviter_email", "client_email", "person_email", "actor_email"}
"""The values in mails that are addresses."""


def _frame_and_values(
    mail: MailContent, at: datetime, policy: PortalPolicy, link: str
) -> tuple[_Frame, dict[str, str]]:
    rules, branding = rules_of(mail.kind), policy.branding
    branding = replace(branding, language=_language_of(mail, branding))
    with force_locale(_locale(branding.language)):
        shared = dict(rules.context(mail, at, policy))
    if shared.get("portal_name"):
        shared["portal_name"] = defuse_links(branding.name)
    for name in _ADDRESSES & shared.keys():
        shared[name] = shown_address(str(shared[name]))
    own = {name: str(shared.pop(name)) for name in rules.per_recipient_values} | {"link": link}
    with _one_maker:
        return _frame(mail.kind, branding, tuple(own), tuple(sorted(shared.items()))), own


def _language_of(mail: MailContent, branding: ResolvedBranding) -> Language:
    # A mail with its own language was requested on a page in it, or it is not for the portal's clients.
    return Language(mail.params.get("language", branding.language))


@cache
def _locale(language: Language) -> Locale:
    """Cached, because otherwise Flask-Babel would parse the locale for each mail."""
    return Locale.parse(language)


@lru_cache(maxsize=256)
def _frame(
    kind: MailKind, branding: ResolvedBranding, own: tuple[str, ...], shared: tuple[tuple[str, object], ...]
) -> _Frame:
    context = dict(shared) | {name: placeholder(name) for name in own}
    with force_locale(_locale(branding.language)):
        words = words_of(kind, branding, context)
    return _Frame(Template(words.subject), Template(words.text), Template(words.html))


@dataclass(frozen=True)
class Words:
    """The texts of a mail."""

    subject: str
    text: str
    html: str


def words_of(kind: MailKind, branding: ResolvedBranding, context: Mapping[str, object]) -> Words:
    """The texts of mails of a kind and a branding, in the current language, with these values for their variables."""
    context = {**context, "branding": branding, "logo_id": LOGO_ID, **_own_words(branding, context)}
    return Words(
        subject=render_template(f"email/{kind}/subject.txt", **context),
        text=render_template(f"email/{kind}/body.txt", **context) + "\n",
        html=_inliner.inline(render_template(f"email/{kind}/body.html", **context)),
    )


def _own_words(branding: ResolvedBranding, context: Mapping[str, object]) -> dict[str, str | None]:
    """The portal's own subject and greeting. None if it has none, or if the mail lacks a placeholder's value."""
    values = {
        "company": context.get("company_name"),
        "portal": context.get("portal_name"),
        "inviter": context.get("inviter_name"),
        "expiry": context.get("expires_on"),
    }
    knows_all = None not in values.values()
    said = {name: str(value) for name, value in values.items()}
    return {
        "own_subject": filled(branding.subject, said) if branding.subject and knows_all else None,
        "own_greeting": filled(branding.greeting, said) if branding.greeting and knows_all else None,
    }


def _escaped(values: Mapping[str, str]) -> dict[str, str]:
    return {name: escape(value) for name, value in values.items()}


def _one_line(subject: str) -> str:
    # A header is one line, whatever characters a name contains. No-break spaces stay: French has one before a colon.
    return " ".join(subject.splitlines()).strip()


def expiry_text(at: datetime) -> str:
    """The moment at which a link expires, as mails and pages show it. In UTC, because a mail knows no time zone."""
    return _minute_text(at.astimezone(UTC).replace(second=0, microsecond=0), language_now())


@lru_cache(maxsize=256)
def _minute_text(at: datetime, _language: str) -> str:
    # A pattern of Unicode's locale data (UTS 35). Other languages put other words and commas into it.
    pattern = _("d MMMM yyyy, HH:mm 'UTC'")
    return str(format_datetime(at, pattern, rebase=False))
