"""Portals, and the roles of users in them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask_babel import gettext as _
from sqlalchemy import bindparam, delete, exists, select
from sqlalchemy.orm import Session, contains_eager, joinedload

from app.accounts.users import find_user, no_account, unverified_account
from app.audit import service as audit
from app.audit.caller import Actor, present_caller
from app.audit.service import AuditKind
from app.core.clock import now
from app.core.errors import Conflict, DomainError
from app.core.ids import new_portal_id
from app.core.text import clean_company_name, clean_email
from app.db.bulk_insert import insert_or
from app.db.transactions import transaction
from app.extensions import db
from app.models import TEAM_ROLES, ActorKind, ClientStatus, ImportedClient, LoginSession, Membership, Portal, Role, User
from app.portals.ended_access import AccessEnded, is_access_ended
from app.portals.team_notices import tell_of_role

# Runs at each request. Built once, because building it takes longer than running it.
_MEMBERSHIP = (
    select(Membership)
    .join(Membership.portal)
    .options(contains_eager(Membership.portal))
    .where(Membership.portal_id == bindparam("portal_id"), Membership.user_id == bindparam("user_id"))
)
_PORTAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def create_portal(name: str, portal_id: str | None = None) -> Portal:
    """Create a portal with B-Portal's own id if given, else with a new id of ours.

    Raises `TextError` for a wrong name, `DomainError` for a malformed id, and `Conflict` for an id that is taken.
    """
    name = clean_company_name(name)
    if portal_id is not None and not _PORTAL_ID.fullmatch(portal_id):
        raise DomainError(
            _("A portal id has 1 to 32 letters, digits, hyphens and underscores, and begins with a letter or digit.")
        )
    with transaction() as session:
        taken = None if portal_id is None else session.get(Portal, portal_id)
        if taken is not None:
            raise Conflict(_("A portal with the id %(id)s already exists.", id=portal_id))
        portal = Portal(id=portal_id or new_portal_id(), name=name)
        session.add(portal)
        session.flush()
        audit.record(portal.id, AuditKind.PORTAL_CREATED, target=audit.thing(name))
    return portal


def rename_portal(portal_id: str, name: str) -> None:
    """Give a portal another name. Mails that were requested before keep the former one.

    Raises `TextError` for a wrong name, and `DomainError` if the portal is unknown.
    """
    name = clean_company_name(name)
    with transaction():
        portal = known_portal(portal_id)
        former, portal.name = portal.name, name
        audit.record(portal_id, AuditKind.PORTAL_RENAMED, target=audit.thing(name), change={"name": [former, name]})


def all_portals() -> Sequence[Portal]:
    """All portals, ordered by name."""
    return db.session.scalars(select(Portal).order_by(Portal.name, Portal.id)).all()


def find_membership(portal_id: str, user_id: int) -> Membership | None:
    """A user's membership in a portal, with the portal loaded, or None."""
    return db.session.scalar(_MEMBERSHIP, {"portal_id": portal_id, "user_id": user_id})


def memberships_of(user_id: int) -> Sequence[Membership]:
    """All memberships of a user, with their portals, ordered by the portal's name."""
    return db.session.scalars(
        select(Membership)
        .join(Membership.portal)
        .options(joinedload(Membership.portal))
        .where(Membership.user_id == user_id)
        .order_by(Portal.name, Portal.id)
    ).all()


def grant_role(portal_id: str, email: str, role: Role) -> int:
    """Give the account with this address a role in the portal, in place of the role it has. Returns the account's id.

    As an operator does: notices tell of it. Raises `DomainError` if the portal or account is unknown, and if the
    account's address is not verified: nobody knows whose such an account is. Raises
    `AccessEnded`.
    """
    with transaction() as session:
        user = _known_user(portal_id, email)
        if not user.is_verified:
            raise unverified_account(email)
        tell_of_role(portal_id, user.id, set_role(session, portal_id, user.id, role), role)
        return user.id


def set_role(
    session: Session, portal_id: str, user_id: int, role: Role | None, actor: Actor | None = None
) -> Role | None:
    """Give a user this role in the portal, or with None no role, in the caller's transaction.

    If they may do less than before, their sessions that a host shell began for the portal end. A sign-in with a
    password is for all portals: there the guard asks for the role at each request. A change adds a line to the audit
    trail; `actor` is who made it, if that is not who makes the present call. Returns the role they had before. Raises
    `AccessEnded` for somebody whose access the portal has ended.
    """
    is_new = role is not None and make_member(session, portal_id, user_id, role)
    if is_new:
        _record_role(portal_id, user_id, None, role, actor)
        return None
    membership = session.get(Membership, (portal_id, user_id), populate_existing=True, with_for_update=True)
    if membership is None:
        return None
    before = membership.role
    if role is None:
        session.delete(membership)
    else:
        membership.role = role
        if role not in TEAM_ROLES:
            membership.team_since = None
        elif before not in TEAM_ROLES:
            membership.team_since = now()
        if role is not Role.CLIENT_ADMIN:
            # Only client admins get notices about joined clients.
            membership.join_notice = membership.digest_from = None
    session.flush()
    if role is None or may_less(role, before):
        session.execute(
            delete(LoginSession).where(LoginSession.portal_id == portal_id, LoginSession.user_id == user_id)
        )
    _record_role(portal_id, user_id, before, role, actor)
    return before


def _record_role(portal_id: str, user_id: int, before: Role | None, role: Role | None, actor: Actor | None) -> None:
    if before is role:
        return
    if {before, role} <= {None, Role.CLIENT} and present_caller().actor().kind is ActorKind.SHELL:
        return  # that clients come and go is no change of who runs the portal
    if before is None:
        kind = AuditKind.ROLE_GIVEN
    else:
        kind = AuditKind.ROLE_TAKEN if role is None else AuditKind.ROLE_CHANGED
    audit.record(portal_id, kind, target=audit.person(user_id), change={"role": [before, role]}, actor=actor)


def may_less(role: Role, than: Role | None) -> bool:
    """Whether a role allows less than another one."""
    order = list(Role)
    return than is not None and order.index(role) > order.index(than)


def make_member(session: Session, portal_id: str, user_id: int, role: Role) -> bool:
    """Give a user a role in the portal. A user who already has a role keeps that one. In the caller's transaction.

    Returns whether they had none. Every membership is made here, but for the one that is given back. Raises
    `AccessEnded` for somebody whose access the portal has ended.
    """
    # Locked, so that nobody ends the access between our look and our insert.
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    if is_access_ended(portal_id, user_id):
        raise AccessEnded
    values = {"portal_id": portal_id, "user_id": user_id, "role": role}
    # Another transaction may insert the same membership at this moment.
    insert = insert_or(session, Membership).values(values).on_conflict_do_nothing()
    return session.execute(insert.returning(Membership.user_id)).first() is not None


def role_as_client(portal_id: str, user_id: int) -> Role | None:
    """What is left to a user whose role in the team is taken: who has joined as a client is one again."""
    has_joined = exists().where(
        ImportedClient.portal_id == portal_id,
        ImportedClient.user_id == user_id,
        ImportedClient.status == ClientStatus.JOINED,
    )
    return Role.CLIENT if db.session.scalar(select(has_joined)) else None


def revoke_role(portal_id: str, email: str, role: Role) -> Sequence[int]:
    """Take a role away from all accounts with this address, including separate accounts made by host shells.

    As an operator does: notices tell of it. Who has joined as a client stays a client when another role is taken.
    Returns the accounts' ids. Raises `DomainError` if no account with the address has the role.
    """
    with transaction() as session:
        known_portal(portal_id)
        user_ids = session.scalars(select(User.id).where(User.email == clean_email(email)).order_by(User.id)).all()
        if not user_ids:
            raise no_account(email)
        theirs = Membership.portal_id == portal_id, Membership.user_id.in_(user_ids), Membership.role == role
        held = select(Membership.user_id).where(*theirs).order_by(Membership.user_id).with_for_update()
        revoked = session.scalars(held).all()
        if not revoked:
            raise DomainError(_("%(email)s is not %(role)s of portal %(id)s.", email=email, role=role, id=portal_id))
        for user_id in revoked:
            left = None if role is Role.CLIENT else role_as_client(portal_id, user_id)
            tell_of_role(portal_id, user_id, set_role(session, portal_id, user_id, left), left)
        return revoked


def has_admin(portal_id: str, but_for: int | None = None) -> bool:
    """Whether a portal has a client admin who could act: not a disabled one, and nobody but `but_for`."""
    admins = (
        select(Membership.user_id)
        .join(Membership.user)
        .where(Membership.portal_id == portal_id, Membership.role == Role.CLIENT_ADMIN, User.disabled_at.is_(None))
    )
    return db.session.scalars(admins.where(Membership.user_id.is_distinct_from(but_for)).limit(1)).first() is not None


def find_admin(portal_id: str, email: str) -> int:
    """The id of the account with this address, if its owner may invite clients of the portal.

    Raises `DomainError` if the portal or the account is unknown, is disabled, or is no client admin of the portal.
    """
    user = _known_user(portal_id, email)
    membership = find_membership(portal_id, user.id)
    if membership is None or membership.role is not Role.CLIENT_ADMIN or user.disabled_at is not None:
        raise DomainError(
            _("%(email)s can't invite: only a client admin of portal %(id)s can.", email=email, id=portal_id)
        )
    return user.id


def known_portal(portal_id: str) -> Portal:
    """The portal with this id. Raises `DomainError` if there is none."""
    portal = db.session.get(Portal, portal_id)
    if portal is None:
        raise DomainError(_("There is no portal with the id %(id)s.", id=portal_id))
    return portal


def _known_user(portal_id: str, email: str) -> User:
    known_portal(portal_id)
    user = find_user(clean_email(email))
    if user is None:
        raise no_account(email)
    return user
