"""What client admins do with their portal's team: invite colleagues, change roles and take them away.

All verbs of one portal happen one after the other: each locks the roles of its client admins first, and asks whether
who presses the button is one of them still. So of two admins who remove each other, one is the first and the other one
is no admin any more; and of two who both leave, the second one has to stay.

Locks come in this order: limits, the invitation, accounts, roles, mails.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, and_, delete, exists, or_, select
from sqlalchemy.orm import Session

from app.accounts.unowned import delete_nobodys, lock_accounts
from app.audit import service as audit
from app.core.clock import now
from app.core.errors import Conflict, DomainError, Forbidden, NotFound
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import db
from app.models import (
    TEAM_ROLES,
    AuditKind,
    ColleagueInvitation,
    MailState,
    Membership,
    OutboxMail,
    Role,
    ShellAccount,
    ShellIssuerPortal,
    User,
)
from app.portals.colleague_mail import queue_colleague_invitation
from app.portals.service import has_admin, role_as_client, set_role
from app.portals.team_notices import tell_of_role

MAILS_TO_COLLEAGUE = rate_limits.Limit("colleague-mail", 6, timedelta(hours=1))
"""To one address of a portal. The mails go through the deployment's server, which all portals share."""
MAILS_OF_PORTAL = rate_limits.Limit("colleague-mails", 60, timedelta(hours=1))
_ONE_PRESS = timedelta(seconds=5)
"""A second press of Resend by the same admin within this time is the first one."""


class CannotInvite(DomainError):
    """The address cannot be invited. Nothing was done."""

    status = 422


class AlreadyInvited(CannotInvite):
    """The address has an open invitation, which can be sent again."""

    def __init__(self, message: str, invitation_id: UUID) -> None:
        super().__init__(message)
        self.invitation_id = invitation_id


def invite_colleague(portal_id: str, actor_id: int, email: str, role: Role) -> None:
    """Invite the owner of an address, given in its clean form, to the team.

    The role counts once they have accepted. Raises `Forbidden` if the actor is no longer a client admin,
    `CannotInvite`, `AlreadyInvited`, and `TooManyRequests`.
    """
    with transaction() as session:
        _lock_limits(portal_id, email)
        invitation = _invitation_to(session, portal_id, email)
        _hold_roles(session, portal_id, actor_id)
        _refuse_member(session, portal_id, email)
        # Asked again: now nobody else can invite anybody to this portal.
        invitation = invitation or _invitation_to(session, portal_id, email)
        if invitation is not None and not invitation.is_accepted:
            raise AlreadyInvited(
                _("This address is already invited. You can send the invitation again."), invitation.id
            )
        if invitation is None:
            invitation = ColleagueInvitation(portal_id=portal_id, email=email, generation=0)
        # One that was accepted is of somebody who was in the team before.
        invitation.role = role
        invitation.accepted_at = None
        invitation.forget_registration()
        _send(session, invitation, actor_id, replaces=False)
        _record(invitation, AuditKind.COLLEAGUE_INVITED)


def resend_invitation(portal_id: str, actor_id: int, invitation_id: UUID) -> str:
    """Send a colleague a new link, in the actor's name. Older links are dead. Returns the address.

    Raises `NotFound`, `Forbidden`, `Conflict` if it was accepted meanwhile, and `TooManyRequests`.
    """
    with transaction() as session:
        email = _open_invitation(session, portal_id, invitation_id).email
        _lock_limits(portal_id, email)
        invitation = _open_invitation(session, portal_id, invitation_id, lock=True)
        _hold_roles(session, portal_id, actor_id)
        if invitation.invited_by_id == actor_id and now() - invitation.invited_at < _ONE_PRESS:
            return email
        _send(session, invitation, actor_id, replaces=True)
        _record(invitation, AuditKind.COLLEAGUE_RESENT)
    return email


def withdraw_invitation(portal_id: str, actor_id: int, invitation_id: UUID) -> str:
    """Withdraw an invitation: its link is dead, and an account that was only registered with it goes.

    Returns the address. Raises `NotFound`, `Forbidden`, and `Conflict` if it was accepted meanwhile.
    """
    with transaction() as session:
        invitation = _open_invitation(session, portal_id, invitation_id, lock=True)
        email, account_ids = invitation.email, lock_accounts(session, [invitation.user_id])
        _hold_roles(session, portal_id, actor_id)
        _drop_mail(session, invitation)
        session.delete(invitation)
        _record(invitation, AuditKind.COLLEAGUE_WITHDRAWN)
        delete_nobodys(session, account_ids)
    return email


def _record(invitation: ColleagueInvitation, kind: AuditKind) -> None:
    audit.record(invitation.portal_id, kind, target=audit.address(invitation.email), change={"role": invitation.role})


def change_role(portal_id: str, actor_id: int, user_id: int, role: Role) -> User:
    """Give a member of the team the other role. Nothing happens if they have it already. Returns the member's account.

    Raises `NotFound`, `Forbidden`, and `Conflict` for the last client admin and for who comes through a host shell.
    """
    with transaction() as session:
        member = _changeable(session, portal_id, actor_id, user_id)
        if member.role is not role:
            _refuse_last_admin(portal_id, member)
            before = set_role(session, portal_id, user_id, role)
            tell_of_role(portal_id, user_id, before, role)
        return session.get_one(User, user_id)


def remove_member(portal_id: str, actor_id: int, user_id: int) -> User:
    """Take a member of the team out of it. Who has joined as a client stays one. Returns the member's account.

    Raises as `change_role` does.
    """
    with transaction() as session:
        theirs = ColleagueInvitation.portal_id == portal_id, ColleagueInvitation.user_id == user_id
        session.execute(select(ColleagueInvitation.id).where(*theirs).with_for_update())
        member = _changeable(session, portal_id, actor_id, user_id)
        _refuse_last_admin(portal_id, member)
        session.execute(delete(ColleagueInvitation).where(*theirs))
        left = role_as_client(portal_id, user_id)
        before = set_role(session, portal_id, user_id, left)
        tell_of_role(portal_id, user_id, before, left)
        return session.get_one(User, user_id)


def member_to_remove(portal_id: str, user_id: int) -> User:
    """The account of a member whom somebody is about to remove. Raises what `remove_member` would raise."""
    member = _member(db.session(), portal_id, user_id)
    _refuse_last_admin(portal_id, member)
    return db.session.get_one(User, member.user_id)


def _hold_roles(session: Session, portal_id: str, actor_id: int, user_id: int | None = None) -> None:
    """Lock the roles of a portal's client admins, and that of this member.

    Raises `Forbidden` if the actor is no client admin any more.
    """
    here, is_admin = Membership.portal_id == portal_id, Membership.role == Role.CLIENT_ADMIN
    admin_ids = session.scalars(select(Membership.user_id).where(here, is_admin)).all()
    # Accounts first: the notices refer to them, and whoever erases one locks it before its roles.
    accounts = select(User.id).where(User.id.in_({*admin_ids, actor_id, user_id or actor_id})).order_by(User.id)
    session.execute(accounts.with_for_update(read=True, key_share=True))
    roles = select(Membership.user_id, Membership.role).where(here, or_(is_admin, Membership.user_id == user_id))
    held = {row.user_id: row.role for row in session.execute(roles.order_by(Membership.user_id).with_for_update())}
    if held.get(actor_id) is not Role.CLIENT_ADMIN:
        raise Forbidden(_("You're no longer a client admin of this portal. Nothing was changed."))


def _changeable(session: Session, portal_id: str, actor_id: int, user_id: int) -> Membership:
    _hold_roles(session, portal_id, actor_id, user_id)
    return _member(session, portal_id, user_id)


def _member(session: Session, portal_id: str, user_id: int) -> Membership:
    """A member of the team, as they are now. Raises `NotFound`, and `Conflict` for one who comes through a shell."""
    member = session.get(Membership, (portal_id, user_id), populate_existing=True)
    if member is None or member.role not in TEAM_ROLES:
        raise NotFound
    if session.scalar(select(User.id).where(User.id == user_id, is_managed(portal_id))) is not None:
        raise Conflict(
            _(
                "This person comes in through another program, which decides on the role: it would set it back the"
                " next time. Change it there. Nothing was changed."
            )
        )
    return member


def is_managed(portal_id: str) -> ColumnElement[bool]:
    """The condition for accounts whose role in this portal a host shell sets, at each hand-over."""
    return exists().where(
        ShellAccount.user_id == User.id,
        ShellIssuerPortal.issuer_id == ShellAccount.issuer_id,
        ShellIssuerPortal.portal_id == portal_id,
    )


def _refuse_last_admin(portal_id: str, member: Membership) -> None:
    if member.role is Role.CLIENT_ADMIN and not has_admin(portal_id, but_for=member.user_id):
        raise Conflict(
            _(
                "This is the last client admin of the portal, so the role stays. Make someone else a client admin"
                " first. Nothing was changed."
            )
        )


def _refuse_member(session: Session, portal_id: str, email: str) -> None:
    """Raise `CannotInvite` if the address is a member's of the team, or if a host shell decides on its owner's role."""
    found = session.execute(
        select(User.id, Membership.role, is_managed(portal_id).label("is_managed"))
        .outerjoin(Membership, and_(Membership.user_id == User.id, Membership.portal_id == portal_id))
        .where(User.email == email)
    ).all()
    if any(one.role in TEAM_ROLES for one in found):
        raise CannotInvite(_("This person is in the team already. You can change the role in the list."))
    if any(one.is_managed for one in found):
        raise CannotInvite(_("This person comes in through another program, which decides on the role. Give it there."))


def _lock_limits(portal_id: str, email: str) -> None:
    rate_limits.lock(MAILS_OF_PORTAL, portal_id)
    rate_limits.lock(MAILS_TO_COLLEAGUE, f"{portal_id} {email}")


def _count(portal_id: str, email: str) -> None:
    """Count one mail to a colleague. Raises `TooManyRequests` if there were too many of them."""
    for limit, subject in ((MAILS_OF_PORTAL, portal_id), (MAILS_TO_COLLEAGUE, f"{portal_id} {email}")):
        rate_limits.check(limit, subject)
        rate_limits.count(limit, subject)


def _invitation_to(session: Session, portal_id: str, email: str) -> ColleagueInvitation | None:
    return session.scalar(
        select(ColleagueInvitation)
        .where(ColleagueInvitation.portal_id == portal_id, ColleagueInvitation.email == email)
        .with_for_update()
    )


def _open_invitation(
    session: Session, portal_id: str, invitation_id: UUID, *, lock: bool = False
) -> ColleagueInvitation:
    invitation = session.get(
        ColleagueInvitation, invitation_id, populate_existing=True, with_for_update=True if lock else None
    )
    if invitation is None or invitation.portal_id != portal_id:
        raise NotFound
    if invitation.is_accepted:
        raise Conflict(_("This invitation has been accepted meanwhile. Nothing was changed."))
    return invitation


def _send(session: Session, invitation: ColleagueInvitation, actor_id: int, *, replaces: bool) -> None:
    """Enqueue a new link of a locked invitation, which replaces all older ones."""
    _count(invitation.portal_id, invitation.email)
    _drop_mail(session, invitation)
    invitation.generation += 1
    invitation.invited_by_id = actor_id
    invitation.invited_at = now()
    invitation.link_expires_at = None
    session.add(invitation)
    session.flush()
    queue_colleague_invitation(invitation, replaces=replaces)


def _drop_mail(session: Session, invitation: ColleagueInvitation) -> None:
    waits = OutboxMail.id == invitation.mail_id, OutboxMail.state == MailState.QUEUED
    session.execute(delete(OutboxMail).where(*waits).execution_options(synchronize_session=False))
