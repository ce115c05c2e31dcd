"""The policy of a portal: what it has decided about its invitations. All rules that differ by portal are read here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from flask import current_app
from sqlalchemy import select

from app.branding.resolved import SERVICE, ResolvedBranding, brandings_of
from app.extensions import db
from app.models import Portal


@dataclass(frozen=True)
class PortalPolicy:
    """What a mail needs to know about its portal."""

    branding: ResolvedBranding
    link_lifetime: timedelta
    """How long the links of its invitations live. See `link_lifetime_of`."""
    reply_to: str | None = None
    """Where answers to its invitations and reminders go. None: to the person who invites."""


def policies_of(portal_ids: Collection[str | None]) -> dict[str | None, PortalPolicy]:
    """The policies of portals. None stands for mails of no portal, and is always a key of the result."""
    named = {portal_id for portal_id in portal_ids if portal_id is not None}
    found: dict[str | None, PortalPolicy] = {None: PortalPolicy(SERVICE, _usual_lifetime())}
    if named:
        brandings = brandings_of(named)
        portals = db.session.scalars(select(Portal).where(Portal.id.in_(named)))
        found |= {portal.id: policy_of(portal, brandings[portal.id]) for portal in portals}
    return found


def policy_of(portal: Portal, branding: ResolvedBranding) -> PortalPolicy:
    """The policy of a portal, with its published branding or with its draft."""
    return PortalPolicy(branding, link_lifetime_of(portal), portal.reply_to)


def link_lifetime_of(portal: Portal) -> timedelta:
    """How long a portal's links live, counted from the moment at which the mail server takes their mail."""
    return _usual_lifetime()


def _usual_lifetime() -> timedelta:
    return timedelta(seconds=current_app.config["SETTINGS"].invitation_ttl_seconds)
