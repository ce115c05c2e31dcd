"""Turning off mails by the link that they carry for mail programs (RFC 8058), without signing in.

The signed link is all the authority that is needed, and it turns off only what it names: a client admin's mails about
joined clients of one portal, or the reminders of one client's invitation. It works for as long as the membership or
the client exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.core.clock import now
from app.core.errors import NotFound
from app.core.links import LinkKind, read_token
from app.db.transactions import transaction
from app.extensions import db
from app.models import ImportedClient, Membership, Portal


class SubscriptionState(StrEnum):
    """Whether somebody gets the mails that a link turns off."""

    ON = "on"
    OFF = "off"
    GONE = "gone"
    """The membership or the client no longer exists, so there is nothing to turn off."""


@dataclass(frozen=True)
class Subscription:
    """The mails that a genuine link turns off: those of its kind, from this portal."""

    portal: Portal
    state: SubscriptionState


def look_up_subscription(kind: LinkKind, token: str) -> Subscription:
    """What a link of this kind turns off. Changes nothing. Raises `NotFound` if we never made the token."""
    portal, target = _find(kind, token)
    return Subscription(portal, _state(target))


def unsubscribe(kind: LinkKind, token: str) -> Subscription:
    """Turn off the mails that a link names. Idempotent. Raises `NotFound` if we never made the token."""
    with transaction():
        portal, target = _find(kind, token, lock=True)
        if isinstance(target, Membership):
            target.join_notice = target.digest_from = None
        elif target is not None and target.reminders_stopped_at is None:
            target.reminders_stopped_at = now()
        state = _state(target)
    return Subscription(portal, state)


def resume_reminders(token: str) -> Subscription:
    """Turn the reminders that a link names on again. Idempotent. Raises `NotFound` if we never made the token."""
    with transaction():
        portal, target = _find(LinkKind.STOP_REMINDERS, token, lock=True)
        if isinstance(target, ImportedClient):
            target.reminders_stopped_at = None
        state = _state(target)
    return Subscription(portal, state)


def _find(kind: LinkKind, token: str, *, lock: bool = False) -> tuple[Portal, Membership | ImportedClient | None]:
    """The portal of a link, and the row that says whether its mails are wanted; None if it no longer exists."""
    claim = read_token(kind, token)
    if claim is None:
        raise NotFound
    portal_id, _, target_id = claim.subject.rpartition(".")
    portal = db.session.get(Portal, portal_id)
    if portal is None:
        raise NotFound
    target: Membership | ImportedClient | None
    if kind is LinkKind.STOP_NOTICES:
        key: tuple[str, int | UUID] = (portal_id, int(target_id))
        target = db.session.get(Membership, key, populate_existing=True, with_for_update=lock or None)
    else:
        key = (portal_id, UUID(target_id))
        target = db.session.get(ImportedClient, key, populate_existing=True, with_for_update=lock or None)
    return portal, target


def _state(target: Membership | ImportedClient | None) -> SubscriptionState:
    if target is None:
        return SubscriptionState.GONE
    is_off = target.join_notice is None if isinstance(target, Membership) else target.reminders_stopped_at is not None
    return SubscriptionState.OFF if is_off else SubscriptionState.ON
