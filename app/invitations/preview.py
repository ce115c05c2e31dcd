"""The preview of an invitation for the portal's admins, with a made-up client."""

from __future__ import annotations

import base64
import re
from uuid import UUID

from app.branding.policy import PortalPolicy, link_lifetime_of
from app.branding.resolved import ResolvedBranding
from app.core.clock import now
from app.invitations.emails import invitation_params
from app.invitations.service import Invitation
from app.models import ImportedClient, MailKind, OutboxMail, Portal, User
from app.outbox.mime import LOGO_ID
from app.outbox.render import render_cut

COMPANY = "Nordwind Travel"
EMAIL = "office@nordwind-travel.example"

_ASKS_FOR_DARK = re.compile(r"\(prefers-color-scheme: ?dark\)")
_BOTH_SCHEMES = re.compile(r"(color-schemes?(?:\"? content=\"|: ))light dark")


def sample_mail(portal: Portal, inviter: User, branding: ResolvedBranding, *, is_dark: bool) -> str:
    """The HTML of the invitation mail in the wanted theme. It loads nothing, and its links do not work."""
    mail = OutboxMail(
        kind=MailKind.INVITATION,
        portal_id=portal.id,
        client_id=UUID(int=0),
        generation=1,
        recipient=EMAIL,
        params=invitation_params(portal, inviter, COMPANY),
    )
    html = render_cut(mail, now(), PortalPolicy(branding, link_lifetime_of(portal))).html
    if branding.logo is not None:
        data = base64.b64encode(branding.logo.png).decode()
        html = html.replace(f"cid:{LOGO_ID}", f"data:image/png;base64,{data}")
    html = _BOTH_SCHEMES.sub(rf"\1{'dark' if is_dark else 'light'}", html)
    return _ASKS_FOR_DARK.sub("all" if is_dark else "not all", html)


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
