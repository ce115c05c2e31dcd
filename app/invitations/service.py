"""The state of an invitation's link at the moment somebody uses it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.branding.policy import link_lifetime_of
from app.branding.resolved import ResolvedBranding
from app.branding.wording import filled
from app.core.clock import now
from app.core.links import LinkClaim, LinkKind, make_url, read_token
from app.extensions import db
from app.invitations import history
from app.invitations.removed import client_at_address_of
from app.models import EventKind, ImportedClient, MailKind, Portal, User
from app.outbox.enqueue import has_not_arrived
from app.outbox.render import expiry_text
from app.portals.ended_access import is_address_shut_out


class LinkState(StrEnum):
    """Whether a genuine link can be used. Every state but VALID is answered with 410 and a page that explains it."""

    VALID = "valid"
    EXPIRED = "expired"
    REPLACED = "replaced"
    WITHDRAWN = "withdrawn"
    USED = "used"
    UNDELIVERED = "undelivered"
    """The mail server refused the mail for good, so whoever has the link did not get it by mail."""
    ACCESS_ENDED = "access_ended"
    """The portal has ended the access of somebody with this address."""


@dataclass(frozen=True)
class DeadInvitation:
    """A genuine link that no longer works; `state` says why."""

    state: LinkState
    portal: Portal
    renewable: ImportedClient | None = None
    """The client, if its recipient may request a fresh link; else None."""


@dataclass(frozen=True)
class Invitation:
    """A genuine link that can be used."""

    portal: Portal
    client: ImportedClient

    @property
    def inviter(self) -> User | None:
        """The user who sent the invitation; None if that account is gone."""
        inviter_id = self.client.invited_by_id
        return None if inviter_id is None else db.session.get(User, inviter_id)


def invitation_url(portal_id: str, client_id: UUID, generation: int) -> str:
    """The link for one generation of a client's invitation."""
    return make_url(LinkKind.INVITATION, LinkClaim(f"{portal_id}.{client_id.hex}", generation))


def greeting_of(invitation: Invitation, branding: ResolvedBranding) -> str | None:
    """The portal's own greeting for the invitation page, with its placeholders filled; None if the portal has none."""
    if branding.greeting is None:
        return None
    client, inviter = invitation.client, invitation.inviter
    values = {
        "company": client.company_name,
        "portal": branding.name,
        "inviter": inviter.name if inviter else branding.name,
        # The link gets its expiry only when its mail is sent; until then we show the expected one.
        "expiry": expiry_text(client.link_expires_at or now() + link_lifetime_of(invitation.portal)),
    }
    return filled(branding.greeting, values)


def mark_declined(client: ImportedClient, why: EventKind = EventKind.DECLINED, detail: str | None = None) -> None:
    """Record that the recipient of a locked client's invitation does not want it. Once declined, it stays so.

    `why`: what the recipient did. The invitation's link keeps working in case they change their mind.
    """
    if not client.is_declined:
        client.declined_at = now()
    history.record(client, why, detail=detail)


def look_up(token: str, *, lock: bool = False) -> Invitation | DeadInvitation | None:
    """The invitation that a token stands for now, or None if we never made the token.

    With `lock`, the client's row is locked until the transaction ends, so that the state cannot change meanwhile.
    """
    claim = read_token(LinkKind.INVITATION, token)
    if claim is None:
        return None
    portal_id, _, client_hex = claim.subject.rpartition(".")
    portal = db.session.get(Portal, portal_id)
    if portal is None:
        return None
    client = db.session.get(
        ImportedClient, (portal_id, UUID(client_hex)), populate_existing=True, with_for_update=lock or None
    )
    if client is None:
        return DeadInvitation(_state_without_client(portal_id, UUID(client_hex)), portal)
    state = _state(client, claim.generation)
    if state is LinkState.VALID:
        return Invitation(portal, client)
    return DeadInvitation(state, portal, client if _is_renewable(state, portal, client) else None)


def _is_renewable(state: LinkState, portal: Portal, client: ImportedClient) -> bool:
    # A registered client needs no further invitation. Without an inviter there is nobody to name as its sender.
    is_open = client.registered_at is None and client.invited_by_id is not None
    return state is LinkState.EXPIRED and portal.gives_fresh_links and is_open


def _state_without_client(portal_id: str, client_id: UUID) -> LinkState:
    """The state of a removed client's link. If its address was invited again, it is a link that was replaced."""
    newer = client_at_address_of(portal_id, client_id)
    if newer is None:
        return LinkState.WITHDRAWN
    return LinkState.USED if newer.is_joined else LinkState.REPLACED


def _state(client: ImportedClient, generation: int) -> LinkState:
    if is_address_shut_out(client.portal_id, client.email):
        return LinkState.ACCESS_ENDED
    if client.is_joined or client.registered_generation == generation:
        return LinkState.USED
    if generation != client.generation:
        return LinkState.REPLACED
    if client.is_link_expired(now()):
        return LinkState.EXPIRED
    if has_not_arrived(MailKind.INVITATION, generation, portal_id=client.portal_id, client_id=client.id):
        return LinkState.UNDELIVERED
    return LinkState.VALID
