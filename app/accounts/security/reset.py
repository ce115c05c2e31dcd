"""Taking away a second factor that its owner has lost, as an operator does."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.accounts.disabling import end_sessions_in, lock_accounts
from app.accounts.security.factors import drop_factors, has_second_factor
from app.accounts.security.notices import FactorChange, queue_change_notice
from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.errors import Conflict
from app.db.transactions import transaction
from app.models import User


def check_reset(email: str) -> None:
    """Whether `reset_second_factor` would find something to remove. Raises what it would raise."""
    with transaction() as session:
        _accounts(session, email)


def reset_second_factor(email: str) -> tuple[Sequence[int], int]:
    """Remove every second factor and recovery code of the accounts with this address, and end their sessions.

    Their owner is told. Returns the ids of the accounts that had one, and the number of ended sessions. Raises
    `TextError` for a text that is no address, `DomainError` if no account has it, and `Conflict` if none of them has a
    second factor.
    """
    with transaction() as session:
        users = _accounts(session, email)
        ids = [user.id for user in users]
        ended = end_sessions_in(session, ids)
        for user in users:
            drop_factors(session, user.id)
            queue_change_notice(user, FactorChange.RESET)
            audit.record_of_account(user.id, AuditKind.SECOND_FACTOR_RESET)
        return ids, ended


def _accounts(session: Session, email: str) -> Sequence[User]:
    users = [user for user in lock_accounts(session, email) if has_second_factor(user.id)]
    if not users:
        raise Conflict(f"The account {email} has no second factor.")
    return users
