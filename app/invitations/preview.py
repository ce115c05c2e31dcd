"""Invitations that are not in the outbox, for a portal's admins: previews on pages, and the test mail."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from uuid import UUID

from app.branding.policy import link_lifetime_of, policy_of
from app.branding.resolved import ResolvedBranding, branding_of
from app.core.clock import now
from app.core.ids import new_id
from app.invitations.emails import TEST, invitation_params, message_params
from app.invitations.service import Invitation
from app.models import ImportedClient, MailKind, OutboxMail, Portal, User
from app.outbox.enqueue import message_id_of
from app.outbox.mime import LOGO_ID, RenderedMail
from app.outbox.render import CutMail, render, render_cut
from app.outbox.routing import Route

COMPANY = "Nordwind Travel"
EMAIL = "office@nordwind-travel.example"

_ASKS_FOR_DARK = re.compile(r"\(prefers-color-scheme: ?dark\)")
_BOTH_SCHEMES = re.compile(r"(color-schemes?(?:\"? content=\"|: ))light dark")


def sample_mail(portal: Portal, inviter: User, branding: ResolvedBranding, *, is_dark: bool) -> str:
    """The HTML of the invitation mail in the wanted theme. It loads nothing, and its links do not work."""
    html = render_cut(_mail(portal, inviter, EMAIL), now(), policy_of(portal, branding)).html
    html = _BOTH_SCHEMES.sub(rf"\1{'dark' if is_dark else 'light'}", html)
    return _with_logo(_ASKS_FOR_DARK.sub("all" if is_dark else "not all", html), branding)


def sample_subject(portal: Portal, inviter: User, branding: ResolvedBranding) -> str:
    """The subject of the invitation mail."""
    return render_cut(_mail(portal, inviter, EMAIL), now(), policy_of(portal, branding)).subject


def coming_mail(portal: Portal, inviter: User, company_name: str, email: str, message: str | None) -> CutMail:
    """The invitation that a client would get if it were sent now. Its HTML loads nothing, and its links do not work."""
    branding = branding_of(portal)
    mail = _mail(portal, inviter, email, message_params(message), company_name=company_name)
    words = render_cut(mail, now(), policy_of(portal, branding))
    return replace(words, html=_with_logo(words.html, branding))


def _with_logo(html: str, branding: ResolvedBranding) -> str:
    """The HTML of a mail with its logo in it."""
    if branding.logo is None:
        return html
    data = base64.b64encode(branding.logo.png).decode()
    return html.replace(f"cid:{LOGO_ID}", f"data:image/png;base64,{data}")


def invitation_as_test(portal: Portal, recipient: User, route: Route) -> RenderedMail:
    """The invitation as the portal's clients get it now, marked as a test, to one of its admins.

    Its link leads to a page that says that it was a test.
    """
    mail = _mail(portal, recipient, recipient.email, {TEST: "1"})
    return render(mail, now(), route, policy_of(portal, branding_of(portal)))


def _mail(
    portal: Portal,
    inviter: User,
    recipient: str,
    more_params: Mapping[str, str] = MappingProxyType({}),
    *,
    company_name: str = COMPANY,
) -> OutboxMail:
    """An invitation that is not in the outbox."""
    mail_id = new_id()
    return OutboxMail(
        id=mail_id,
        kind=MailKind.INVITATION,
        portal_id=portal.id,
        client_id=UUID(int=0),
        generation=1,
        recipient=recipient,
        params=invitation_params(portal, inviter, company_name) | dict(more_params),
        message_id=message_id_of(mail_id),
    )


def sample_invitation(portal: Portal, inviter: User) -> Invitation:
    """An invitation that is not in the database."""
    client = ImportedClient(
        portal_id=portal.id,
        id=UUID(int=0),
        company_name=COMPANY,
        email=EMAIL,
        generation=1,
        invited_by_id=inviter.id,
        link_expires_at=now() + link_lifetime_of(portal),
    )
    return Invitation(portal, client)
