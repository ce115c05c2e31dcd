"""Reading a portal's accounts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_, union_all

from app.core.ids import LARGEST_ID
from app.core.text import fold
from app.extensions import db
from app.models import EndedAccess, Membership, Role, User

PAGE_SIZE = 50


@dataclass(frozen=True)
class Account:
    """An account as the list shows it: a member of the portal, or a client whose access was ended."""

    user: User
    role: Role
    joined_at: datetime
    ended_at: datetime | None
    """When its access was ended; None of a member."""

    @property
    def may_be_ended(self) -> bool:
        return self.role is Role.CLIENT and self.ended_at is None


@dataclass(frozen=True)
class AccountPage:
    accounts: Sequence[Account]
    next_after: int | None
    """The user id of this page's last account if more follow, else None."""


def account_page(portal_id: str, search: str = "", after: int | None = None) -> AccountPage:
    """One page of a portal's accounts, ordered by name. `search` keeps those whose name or e-mail contains it.

    The search ignores case. `after` is the user id of the previous page's last account.
    """
    member = and_(Membership.user_id == User.id, Membership.portal_id == portal_id)
    ended = and_(EndedAccess.user_id == User.id, EndedAccess.portal_id == portal_id)
    query = (
        select(
            User, Membership.role, func.coalesce(Membership.created_at, EndedAccess.member_since), EndedAccess.ended_at
        )
        .outerjoin(Membership, member)
        .outerjoin(EndedAccess, ended)
        .where(_is_of_portal(portal_id))
        .order_by(User.name_folded, User.id)
        .limit(PAGE_SIZE + 1)
    )
    if search:
        # Addresses are stored in lower case, not folded.
        address = unicodedata.normalize("NFC", search).lower()
        query = query.where(
            or_(User.name_folded.contains(fold(search), autoescape=True), User.email.contains(address, autoescape=True))
        )
    last = _account(portal_id, after) if after is not None else None
    if last is not None:
        query = query.where(tuple_(User.name_folded, User.id) > (last.name_folded, last.id))
    # A member that has a line of ended access as well was let in again by older code.
    accounts = [
        Account(user, role or Role.CLIENT, joined_at, None if role else ended_at)
        for user, role, joined_at, ended_at in db.session.execute(query)
    ]
    more = len(accounts) > PAGE_SIZE
    accounts = accounts[:PAGE_SIZE]
    return AccountPage(accounts, accounts[-1].user.id if more else None)


def _is_of_portal(portal_id: str) -> ColumnElement[bool]:
    """The condition for the accounts of a portal, also those whose access was ended."""
    members = select(Membership.user_id).where(Membership.portal_id == portal_id)
    return User.id.in_(union_all(members, select(EndedAccess.user_id).where(EndedAccess.portal_id == portal_id)))


def _account(portal_id: str, user_id: int) -> User | None:
    # Only accounts of this portal: otherwise the start of a page would reveal the name of an account elsewhere.
    if not 0 < user_id <= LARGEST_ID:
        return None
    return db.session.scalar(select(User).where(User.id == user_id, _is_of_portal(portal_id)))
