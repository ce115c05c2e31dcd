"""Reading a portal's accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select, tuple_
from sqlalchemy.orm import joinedload

from app.core.text import fold
from app.extensions import db
from app.models import Membership, User

PAGE_SIZE = 50
_LARGEST_ID = 2**31 - 1
"""Of PostgreSQL's integer; the databases refuse to look for a larger one."""


@dataclass(frozen=True)
class AccountPage:
    accounts: Sequence[Membership]
    next_after: int | None
    """The user id of the last account, if there are more."""


def account_page(portal_id: str, search: str = "", after: int | None = None) -> AccountPage:
    """One page of a portal's accounts by name, those whose name or e-mail contains `search`, without case.

    `after` is the user id of the last account of the page before.
    """
    query = (
        select(Membership)
        .join(Membership.user)
        .options(joinedload(Membership.user))
        .where(Membership.portal_id == portal_id)
        .order_by(User.name_folded, User.id)
        .limit(PAGE_SIZE + 1)
    )
    if search:
        term = fold(search)
        query = query.where(
            or_(User.name_folded.contains(term, autoescape=True), User.email.contains(term, autoescape=True))
        )
    last = _account(portal_id, after) if after is not None else None
    if last is not None:
        query = query.where(tuple_(User.name_folded, User.id) > (last.name_folded, last.id))
    accounts = db.session.scalars(query).all()
    more = len(accounts) > PAGE_SIZE
    accounts = accounts[:PAGE_SIZE]
    return AccountPage(accounts, accounts[-1].user_id if more else None)


def _account(portal_id: str, user_id: int) -> User | None:
    # Only the portal's own: where a page begins would else tell how an account elsewhere is called.
    if not 0 < user_id <= _LARGEST_ID:
        return None
    return db.session.scalar(
        select(User)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.portal_id == portal_id, Membership.user_id == user_id)
    )
