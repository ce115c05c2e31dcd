"""Portals, and the roles of users in them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask_babel import gettext as _
from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session, contains_eager, joinedload

from app.accounts.users import find_user, no_account, unverified_account
from app.core.errors import Conflict, DomainError
from app.core.ids import new_portal_id
from app.core.text import clean_company_name, clean_email
from app.db.bulk_insert import insert_or
from app.db.transactions import transaction
from app.extensions import db
from app.models import Membership, Portal, Role, User
from app.portals.ended_access import AccessEnded, is_access_ended

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
    return portal


def rename_portal(portal_id: str, name: str) -> None:
    """Give a portal another name. Mails that were requested before keep the former one.

    Raises `TextError` for a wrong name, and `DomainError` if the portal is unknown.
    """
    name = clean_company_name(name)
    with transaction():
        known_portal(portal_id).name = name


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

    Raises `DomainError` if the portal or account is unknown, and if the account's address is not verified: nobody knows
    whose such an account is. Raises `AccessEnded`.
    """
    with transaction() as session:
        user = _known_user(portal_id, email)
        if not user.is_verified:
            raise unverified_account(email)
        set_role(session, portal_id, user.id, role)
        return user.id


def set_role(session: Session, portal_id: str, user_id: int, role: Role | None) -> None:
    """Give a user this role in the portal, or with None no role, in the caller's transaction.

    Raises `AccessEnded` for somebody whose access the portal has ended.
    """
    if role is None:
        session.execute(delete(Membership).where(Membership.portal_id == portal_id, Membership.user_id == user_id))
        return
    make_member(session, portal_id, user_id, role)
    membership = session.get_one(Membership, (portal_id, user_id), populate_existing=True, with_for_update=True)
    membership.role = role
    if role is not Role.CLIENT_ADMIN:
        # Only client admins get notices about joined clients.
        membership.join_notice = membership.digest_from = None


def make_member(session: Session, portal_id: str, user_id: int, role: Role) -> None:
    """Give a user a role in the portal. A user who already has a role keeps that one. In the caller's transaction.

    Every membership is made here, but for the one that is given back. Raises `AccessEnded` for somebody whose access
    the portal has ended.
    """
    # Locked, so that nobody ends the access between our look and our insert.
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    if is_access_ended(portal_id, user_id):
        raise AccessEnded
    values = {"portal_id": portal_id, "user_id": user_id, "role": role}
    # Another transaction may insert the same membership at this moment.
    session.execute(insert_or(session, Membership).values(values).on_conflict_do_nothing())


def revoke_role(portal_id: str, email: str, role: Role) -> Sequence[int]:
    """Take a role away from all accounts with this address, including separate accounts made by host shells.

    Returns their ids. Raises `DomainError` if no account with the address has the role.
    """
    with transaction() as session:
        known_portal(portal_id)
        user_ids = session.scalars(select(User.id).where(User.email == clean_email(email))).all()
        if not user_ids:
            raise no_account(email)
        revoked = session.scalars(
            delete(Membership)
            .where(Membership.portal_id == portal_id, Membership.user_id.in_(user_ids), Membership.role == role)
            .returning(Membership.user_id)
        ).all()
        if not revoked:
            raise DomainError(_("%(email)s is not %(role)s of portal %(id)s.", email=email, role=role, id=portal_id))
        return revoked


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
