"""Reading a portal's accounts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select, tuple_
from sqlalchemy.orm import joinedload

from app.core.ids import LARGEST_ID
from app.core.text import fold
from app.extensions import db
from app.models import Membership, User

PAGE_SIZE = 50


@dataclass(frozen=True)
class AccountPage:
    accounts: Sequence[Membership]
    next_after: int | None
    """The user id of this page's last account if more follow, else None."""


def account_page(portal_id: str, search: str = "", after: int | None = None) -> AccountPage:
    """One page of a portal's accounts, ordered by name. `search` keeps those whose name or e-mail contains it.

    The search ignores case. `after` is the user id of the previous page's last account.
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
        # Addresses are stored in lower case, not folded.
        address = unicodedata.normalize("NFC", search).lower()
        query = query.where(
            or_(User.name_folded.contains(fold(search), autoescape=True), User.email.contains(address, autoescape=True))
        )
    last = _account(portal_id, after) if after is not None else None
    if last is not None:
        query = query.where(tuple_(User.name_folded, User.id) > (last.name_folded, last.id))
    accounts = db.session.scalars(query).all()
    more = len(accounts) > PAGE_SIZE
    accounts = accounts[:PAGE_SIZE]
    return AccountPage(accounts, accounts[-1].user_id if more else None)


def _account(portal_id: str, user_id: int) -> User | None:
    # Only accounts of this portal: otherwise the start of a page would reveal the name of an account elsewhere.
    if not 0 < user_id <= LARGEST_ID:
        return None
    return db.session.scalar(
        select(User)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.portal_id == portal_id, Membership.user_id == user_id)
    )
