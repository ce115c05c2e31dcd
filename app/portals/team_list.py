"""Reading a portal's team: its members, and the colleagues who are invited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import contains_eager

from app.accounts.security.factors import is_protected
from app.core.clock import now
from app.extensions import db
from app.models import TEAM_ROLES, ColleagueInvitation, MailState, Membership, OutboxMail, Role, User
from app.portals.colleague_mail import IS_BACKED
from app.portals.required_factor import due_at
from app.portals.team import is_managed


@dataclass(frozen=True)
class Member:
    """A row of the team."""

    membership: Membership
    is_managed: bool
    """Whether a host shell decides on the role."""
    is_last_admin: bool
    has_second_factor: bool
    second_factor_due: datetime | None
    """Until when they have to set one up; None if they need not."""

    @property
    def is_overdue(self) -> bool:
        return self.second_factor_due is not None and now() >= self.second_factor_due


class Progress(StrEnum):
    """What became of a colleague's invitation so far, the most important first."""

    ORPHANED = "orphaned"
    """Who sent it is no client admin any more, so the link is dead."""
    REGISTERED = "registered"
    """The colleague has registered and has not verified the address yet."""
    FAILED = "failed"
    EXPIRED = "expired"
    WAITING = "waiting"
    """The mail has not been sent yet."""
    SENT = "sent"


@dataclass(frozen=True)
class Invited:
    """A colleague who has not accepted yet."""

    invitation: ColleagueInvitation
    inviter: str | None
    """The name of who sent the current link; None if the account is gone."""
    progress: Progress
    reason: str | None
    """A mail server's words, if it has refused the mail."""


@dataclass(frozen=True)
class Team:
    members: Sequence[Member]
    invited: Sequence[Invited]


def team_of(portal_id: str) -> Team:
    """A portal's client admins and staff, ordered by role and name, and its open invitations, the newest first."""
    return Team(_members(portal_id), _invited(portal_id))


def _members(portal_id: str) -> Sequence[Member]:
    found = db.session.execute(
        select(Membership, is_managed(portal_id), is_protected())
        .join(Membership.user)
        .join(Membership.portal)
        .options(contains_eager(Membership.user), contains_eager(Membership.portal))
        .where(Membership.portal_id == portal_id, Membership.role.in_(TEAM_ROLES))
        .order_by(Membership.role, User.name_folded, User.id)
    ).all()
    admins = [row[0] for row in found if row[0].role is Role.CLIENT_ADMIN and row[0].user.disabled_at is None]
    return [
        Member(
            one,
            managed,
            is_last_admin=admins == [one],
            has_second_factor=has_factor,
            second_factor_due=None if managed or has_factor else due_at(one.portal, one),
        )
        for one, managed, has_factor in found
    ]


def _invited(portal_id: str) -> Sequence[Invited]:
    found = db.session.execute(
        select(ColleagueInvitation, User.name, OutboxMail.state, OutboxMail.last_error, IS_BACKED)
        .outerjoin(User, User.id == ColleagueInvitation.invited_by_id)
        .outerjoin(OutboxMail, OutboxMail.id == ColleagueInvitation.mail_id)
        .where(ColleagueInvitation.portal_id == portal_id, ColleagueInvitation.accepted_at.is_(None))
        .order_by(ColleagueInvitation.invited_at.desc(), ColleagueInvitation.id)
    ).all()
    return [
        Invited(invitation, inviter, _progress(invitation, state, is_backed=is_backed), reason)
        for invitation, inviter, state, reason, is_backed in found
    ]


def _progress(invitation: ColleagueInvitation, state: MailState | None, *, is_backed: bool) -> Progress:
    if not is_backed:
        return Progress.ORPHANED
    if invitation.is_registered_unverified:
        return Progress.REGISTERED
    # A mail that is gone and was never taken was dropped while nobody stood for the invitation.
    if state is MailState.FAILED or (state is None and invitation.link_expires_at is None):
        return Progress.FAILED
    if invitation.is_link_expired(now()):
        return Progress.EXPIRED
    return Progress.WAITING if state in (MailState.QUEUED, MailState.SENDING) else Progress.SENT
