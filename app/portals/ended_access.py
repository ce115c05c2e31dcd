"""Access that a client admin has ended: its account is no member of the portal, and nothing makes it one again.

It holds for the person, so also for other accounts with the address, such as a separate one made by a host shell, and
for every address that the account had before its owner changed it. It does not hold for an account that is a member,
such as one of the portal's staff with the same address.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import Session, aliased

from app.accounts.email_change import addresses_of, has_or_had
from app.core.errors import Conflict
from app.db.bulk_insert import insert_or
from app.extensions import db
from app.models import EndedAccess, FormerAddress, ImportedClient, Membership, Portal, User


@dataclass(frozen=True)
class EndedAmong:
    """When a portal ended access, by account and by address."""

    by_account: Mapping[int, datetime]
    by_address: Mapping[str, datetime]


class AccessEnded(Conflict):
    """The portal has ended this person's access. Nothing was changed."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "A client admin of this portal has ended this person's access. It can be given back under Settings,"
                " Accounts. Nothing was changed."
            )
        )


def is_in_force() -> ColumnElement[bool]:
    """The condition for ended access whose account is no member again."""
    return ~exists().where(Membership.portal_id == EndedAccess.portal_id, Membership.user_id == EndedAccess.user_id)


def is_access_ended(portal_id: str, user_id: int) -> bool:
    """Whether the portal has ended the access of this account's person. False for a member."""
    its_address = select(User.email).where(User.id == user_id).scalar_subquery()
    is_ended = _is_any(
        EndedAccess.portal_id == portal_id,
        or_(User.id == user_id, has_or_had(addresses_of(user_id))),
        ~_is_member(user_id),
    )
    return is_ended or _was_ended_before(
        portal_id,
        ImportedClient.email == its_address,
        ~exists().where(Membership.portal_id == portal_id, Membership.user_id == user_id),
    )


def is_address_shut_out(portal_id: str, email: str) -> bool:
    """Whether the portal has ended the access of an account that has or had this address, in its clean form."""
    is_ended = _is_any(EndedAccess.portal_id == portal_id, has_or_had([email]))
    return is_ended or _was_ended_before(portal_id, ImportedClient.email == email)


def _is_any(*conditions: ColumnElement[bool]) -> bool:
    found = select(EndedAccess.user_id).join(User, User.id == EndedAccess.user_id).where(*conditions, is_in_force())
    return db.session.scalar(found.limit(1)) is not None


def _was_ended_before(portal_id: str, *conditions: ColumnElement[bool]) -> bool:
    """Whether the portal had ended the access of a client that has deleted its account since."""
    ended = ImportedClient.portal_id == portal_id, ImportedClient.access_ended_at.is_not(None)
    return db.session.scalar(select(ImportedClient.id).where(*ended, *conditions).limit(1)) is not None


def _is_member(user_id: int) -> ColumnElement[bool]:
    """The condition for ended access in a portal of which this account is a member."""
    account = aliased(Membership)
    return exists().where(account.portal_id == EndedAccess.portal_id, account.user_id == user_id)


def ended_for(user_id: int) -> Sequence[tuple[Portal, datetime]]:
    """The portals that have ended an account's access, with when, ordered by the portal's name."""
    found = db.session.execute(
        select(Portal, EndedAccess.ended_at)
        .join(EndedAccess, EndedAccess.portal_id == Portal.id)
        .where(EndedAccess.user_id == user_id, is_in_force())
        .order_by(Portal.name, Portal.id)
    )
    return [(row.Portal, row.ended_at) for row in found]


def carry_over(session: Session, user_id: int, *of: ColumnElement[bool]) -> None:
    """Let ended access hold for this locked account as well, where it is no member. In the caller's transaction.

    `of`: the conditions for the ended access of the same person, by `EndedAccess` and its `User`.
    """
    found = session.scalars(
        select(EndedAccess)
        .join(User, User.id == EndedAccess.user_id)
        .where(*of, is_in_force(), EndedAccess.user_id != user_id, ~_is_member(user_id))
    ).all()
    for one in found:
        values = {
            "portal_id": one.portal_id,
            "user_id": user_id,
            "member_since": one.member_since,
            "ended_at": one.ended_at,
            "ended_by_id": one.ended_by_id,
        }
        session.execute(insert_or(session, EndedAccess).values(values).on_conflict_do_nothing())


def ended_among(portal_id: str, user_ids: Collection[int], emails: Collection[str]) -> EndedAmong:
    """The ended access in a portal of these accounts, and of the accounts that have or had these addresses."""
    found = db.session.execute(
        select(EndedAccess.user_id, User.email, FormerAddress.email.label("former_email"), EndedAccess.ended_at)
        .join(User, User.id == EndedAccess.user_id)
        .outerjoin(FormerAddress, FormerAddress.user_id == EndedAccess.user_id)
        .where(
            EndedAccess.portal_id == portal_id,
            or_(EndedAccess.user_id.in_(user_ids), User.email.in_(emails), FormerAddress.email.in_(emails)),
            is_in_force(),
        )
    ).all()
    return EndedAmong(
        {row.user_id: row.ended_at for row in found},
        {email: row.ended_at for row in found for email in (row.email, row.former_email) if email is not None},
    )
