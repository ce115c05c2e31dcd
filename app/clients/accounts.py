"""The accounts that were registered for clients, and go with them while nobody has proved to be their owner."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from app.models import ImportedClient, Membership, ShellAccount, User


def lock_accounts(session: Session, user_ids: Collection[int | None]) -> Sequence[int]:
    """Hold the accounts among these that were never verified, before anything that belongs to them is changed.

    In the caller's transaction, which holds their clients already.
    """
    known = {user_id for user_id in user_ids if user_id is not None}
    if not known:
        return []
    unverified = select(User.id).where(User.id.in_(known), User.email_verified_at.is_(None))
    return session.scalars(unverified.order_by(User.id).with_for_update()).all()


def delete_nobodys(session: Session, user_ids: Collection[int]) -> None:
    """Delete those of the locked accounts that nothing is left of, with their mails and sessions."""
    if not user_ids:
        return
    is_anywhere = (
        exists().where(ImportedClient.user_id == User.id)
        | exists().where(Membership.user_id == User.id)
        | exists().where(ShellAccount.user_id == User.id)
    )
    session.execute(
        delete(User).where(User.id.in_(user_ids), ~is_anywhere).execution_options(synchronize_session=False)
    )
