"""Accounts and their roles, for operators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from app.extensions import db
from app.models import Membership, Role, User
from app.portals.service import known_portal

_BATCH = 500


class AccountState(StrEnum):
    """What lets the owner of an account in, if anything does."""

    VERIFIED = "verified"
    """Its password."""
    UNVERIFIED = "unverified"
    """Nothing yet: somebody registered, and has not proved that the address is theirs."""
    SHELL = "shell"
    """A host shell only. Nobody has chosen a password."""
    DISABLED = "disabled"


@dataclass(frozen=True)
class Account:
    """An account with its roles by portal."""

    user: User
    roles: dict[str, Role]

    @property
    def state(self) -> AccountState:
        if self.user.disabled_at is not None:
            return AccountState.DISABLED
        if self.user.is_verified:
            return AccountState.VERIFIED
        return AccountState.UNVERIFIED if self.user.is_unproven else AccountState.SHELL


def members_of(portal_id: str) -> Sequence[Membership]:
    """The members of a portal with their accounts: client admins, then staff, then clients, each by address.

    Raises `DomainError` if the portal is unknown.
    """
    known_portal(portal_id)
    members = db.session.scalars(
        select(Membership)
        .join(Membership.user)
        .options(joinedload(Membership.user))
        .where(Membership.portal_id == portal_id)
        .order_by(User.email, User.id)
    ).all()
    order = list(Role)
    return sorted(members, key=lambda member: order.index(member.role))


def all_accounts() -> Iterator[Account]:
    """All accounts, ordered by id: the oldest first."""
    last = 0
    while users := db.session.scalars(select(User).where(User.id > last).order_by(User.id).limit(_BATCH)).all():
        roles = _roles_of([user.id for user in users])
        yield from (Account(user, roles[user.id]) for user in users)
        last = users[-1].id
        db.session.expunge_all()


def _roles_of(user_ids: Collection[int]) -> dict[int, dict[str, Role]]:
    roles: defaultdict[int, dict[str, Role]] = defaultdict(dict)
    memberships = select(Membership).where(Membership.user_id.in_(user_ids)).order_by(Membership.portal_id)
    for membership in db.session.scalars(memberships):
        roles[membership.user_id][membership.portal_id] = membership.role
    return roles
