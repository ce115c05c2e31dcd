"""Accounts that were registered with an invitation. Removing the client, or withdrawing the colleague's invitation,
deletes the account too, unless somebody owns it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from app.models import ColleagueInvitation, EndedAccess, ImportedClient, Membership, ShellAccount, User


def lock_accounts(session: Session, user_ids: Collection[int | None]) -> Sequence[int]:
    """Lock those of these accounts that were never verified, and return their ids.

    Call it before changing anything that belongs to the accounts. Runs in the caller's transaction, which has already
    locked the clients or the colleague's invitation.
    """
    known = {user_id for user_id in user_ids if user_id is not None}
    if not known:
        return []
    unverified = select(User.id).where(User.id.in_(known), User.email_verified_at.is_(None))
    return session.scalars(unverified.order_by(User.id).with_for_update()).all()


def delete_nobodys(session: Session, user_ids: Collection[int]) -> None:
    """Delete those of the locked accounts that nothing refers to any more, with their mails and sessions.

    A disabled account stays: otherwise its owner could register again.
    """
    if not user_ids:
        return
    is_anywhere = (
        exists().where(ImportedClient.user_id == User.id)
        | exists().where(ColleagueInvitation.user_id == User.id)
        | exists().where(Membership.user_id == User.id)
        | exists().where(EndedAccess.user_id == User.id)
        | exists().where(ShellAccount.user_id == User.id)
    )
    session.execute(
        delete(User)
        .where(User.id.in_(user_ids), User.disabled_at.is_(None), ~is_anywhere)
        .execution_options(synchronize_session=False)
    )
