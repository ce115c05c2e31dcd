"""Keeping somebody out, and ending sign-ins, as an operator does.

A disabled account can't be signed in to, neither with its password nor through a host shell. No mailed link opens it,
and it gets no mails. Its roles, clients and history stay. A stranger cannot tell a disabled account from none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.accounts.email_change import forget_change
from app.accounts.users import no_account
from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.clock import now
from app.core.errors import Conflict
from app.core.text import clean_email
from app.db.transactions import transaction
from app.models import LoginSession, PendingSignIn, User


def disable_account(email: str) -> tuple[Sequence[int], int]:
    """Disable all accounts with this address, including separate ones made by host shells.

    Their sessions end, and the links that were mailed to them are dead for ever. Returns the accounts' ids and the
    number of ended sessions. Raises `TextError` for a text that is no address, `DomainError` if no account has it, and
    `Conflict` if all of them are disabled already.
    """
    with transaction() as session:
        users = [user for user in lock_accounts(session, email) if user.disabled_at is None]
        if not users:
            raise Conflict(f"The account {email} is already disabled.")
        for user in users:
            user.disabled_at = now()
            user.verification_generation += 1
            user.reset_generation += 1
            forget_change(session, user.id)
        ids = [user.id for user in users]
        ended = end_sessions_in(session, ids)
        _record(ids, AuditKind.USER_DISABLED)
        return ids, ended


def enable_account(email: str) -> Sequence[int]:
    """Let the owner of disabled accounts with this address sign in again, with the password they had.

    Returns the accounts' ids. Raises `TextError`, `DomainError` if no account has the address, and `Conflict` if none
    of them is disabled.
    """
    with transaction() as session:
        users = [user for user in lock_accounts(session, email) if user.disabled_at is not None]
        if not users:
            raise Conflict(f"The account {email} isn't disabled.")
        for user in users:
            user.disabled_at = None
        ids = [user.id for user in users]
        _record(ids, AuditKind.USER_ENABLED)
        return ids


def end_sessions(email: str) -> tuple[Sequence[int], int]:
    """End all sign-ins of the accounts with this address, also those that host shells began.

    Returns the accounts' ids and the number of ended sessions. Raises `TextError`, and `DomainError` if no account has
    the address.
    """
    with transaction() as session:
        ids = [user.id for user in lock_accounts(session, email)]
        ended = end_sessions_in(session, ids)
        _record(ids, AuditKind.SESSIONS_ENDED)
        return ids, ended


def _record(user_ids: Collection[int], kind: AuditKind) -> None:
    for user_id in user_ids:
        audit.record_of_account(user_id, kind)


def lock_accounts(session: Session, email: str) -> Sequence[User]:
    """The accounts with an address. Whoever signs in or is handed over meanwhile waits, and is judged afterwards."""
    users = session.scalars(
        select(User).where(User.email == clean_email(email)).order_by(User.id).with_for_update(key_share=True)
    ).all()
    if not users:
        raise no_account(email)
    return users


def end_sessions_in(session: Session, user_ids: Collection[int]) -> int:
    session.execute(delete(PendingSignIn).where(PendingSignIn.user_id.in_(user_ids)))
    result = session.execute(delete(LoginSession).where(LoginSession.user_id.in_(user_ids)))
    return result.rowcount  # type: ignore[attr-defined,no-any-return]
