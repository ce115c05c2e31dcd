"""A colleague's actions with the link of an invitation to a portal's team: register, or accept with an account.

The rules are those of a client's invitation (`app.registration.service`): a link alone signs nobody in, no password is
overwritten, and the role counts only for a verified address.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.accounts.passwords import hash_password
from app.accounts.users import lock_account
from app.audit.caller import Actor
from app.core.clock import now
from app.core.errors import NotFound
from app.core.links import LinkKind, read_token
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import db
from app.invitations.service import LinkState
from app.models import TEAM_ROLES, ActorKind, ColleagueInvitation, MailState, OutboxMail, Portal, User
from app.outbox.enqueue import has_mail_not_arrived
from app.portals.colleague_mail import IS_BACKED
from app.portals.service import find_membership, may_less, set_role
from app.portals.team_notices import tell_of_role
from app.registration.emails import VERIFICATIONS, queue_verification
from app.registration.service import DeadLink, Registration, invited_user, registered_account


def usable_colleague_invitation(token: str, *, lock: bool = False) -> ColleagueInvitation:
    """The invitation that a link stands for now. With `lock`, it cannot change until the transaction ends.

    Raises `NotFound` if we never made the link or its portal is gone, and `DeadLink`.
    """
    claim = read_token(LinkKind.COLLEAGUE, token)
    if claim is None:
        raise NotFound
    portal_id, _, invitation_hex = claim.subject.rpartition(".")
    portal = db.session.get(Portal, portal_id)
    if portal is None:
        raise NotFound
    invitation = db.session.get(
        ColleagueInvitation, UUID(invitation_hex), populate_existing=True, with_for_update=lock or None
    )
    if invitation is None or invitation.portal_id != portal_id:
        raise DeadLink(LinkState.WITHDRAWN, portal)
    state = _state(invitation, claim.generation)
    if state is not LinkState.VALID:
        raise DeadLink(state, portal)
    return invitation


def _state(invitation: ColleagueInvitation, generation: int) -> LinkState:
    if invitation.is_accepted:
        membership = find_membership(invitation.portal_id, invitation.user_id or 0)
        is_in_team = membership is not None and membership.role in TEAM_ROLES
        return LinkState.USED if is_in_team else LinkState.WITHDRAWN
    if invitation.registered_generation == generation:
        return LinkState.USED
    if generation != invitation.generation:
        return LinkState.REPLACED
    if not _is_backed(invitation):
        return LinkState.WITHDRAWN
    if invitation.is_link_expired(now()):
        return LinkState.EXPIRED
    if invitation.mail_id is not None and has_mail_not_arrived(invitation.mail_id):
        return LinkState.UNDELIVERED
    return LinkState.VALID


def _is_backed(invitation: ColleagueInvitation) -> bool:
    return bool(db.session.scalar(select(IS_BACKED).where(ColleagueInvitation.id == invitation.id)))


def register_colleague(token: str, name: str, password: str) -> Registration:
    """Create the colleague's account with the invited address, and enqueue the verification mail.

    `name` is clean and `password` has passed `password_fault`. Raises as `app.registration.service.register` does.
    """
    password_hash = hash_password(password)  # before the transaction, because hashing is slow on purpose
    with transaction() as session:
        rate_limits.lock(VERIFICATIONS, usable_colleague_invitation(token).email)
        invitation = usable_colleague_invitation(token, lock=True)
        user, registration = registered_account(session, invitation.email, name, password_hash)
        invitation.user_id = user.id
        invitation.registered_at = now()
        invitation.registered_generation = invitation.generation
        queue_verification(user, session.get_one(Portal, invitation.portal_id))
    return registration


def accept_colleague(token: str, user_id: int | None) -> str:
    """Join the team with an existing account.

    Its owner must be signed in, and its address verified and the invited one. `user_id` is the signed-in user, or None.
    Returns the portal's id. Raises `NotFound`, `DeadLink`, and `Conflict` for any other user.
    """
    with transaction() as session:
        invitation = usable_colleague_invitation(token, lock=True)
        user = invited_user(session, user_id, invitation.email)
        lock_account(session, user.id)
        join_team(invitation, user)
        return invitation.portal_id


def hold_colleague_registrations(session: Session, user_id: int) -> Sequence[ColleagueInvitation]:
    """Lock and return the open invitations that an account was registered with."""
    return session.scalars(
        select(ColleagueInvitation)
        .where(ColleagueInvitation.user_id == user_id, ColleagueInvitation.accepted_at.is_(None))
        .order_by(ColleagueInvitation.id)
        .with_for_update()
    ).all()


def join_team(invitation: ColleagueInvitation, user: User) -> None:
    """Give a locked account, whose address is verified, the role of a locked invitation. In the caller's transaction.

    A role that allows more is kept. If who has sent the invitation is no client admin any more, nothing is given.
    """
    session = db.session()
    if not _is_backed(invitation):
        return
    portal_id = invitation.portal_id
    invitation.accepted_at = now()
    invitation.user_id = user.id
    waits = OutboxMail.id == invitation.mail_id, OutboxMail.state == MailState.QUEUED
    session.execute(delete(OutboxMail).where(*waits).execution_options(synchronize_session=False))
    membership = find_membership(portal_id, user.id)
    if membership is None or may_less(membership.role, invitation.role):
        # Also in a browser in which nobody is signed in, as it is for verification.
        owner = Actor(ActorKind.PERSON, user.id)
        before = set_role(session, portal_id, user.id, invitation.role, owner)
        tell_of_role(portal_id, user.id, before, invitation.role, actor_id=invitation.invited_by_id)
