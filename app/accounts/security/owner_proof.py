"""Showing once more that one owns the account that one is signed in to: by its password, or by a code.

Whoever finds an open session can do neither. Failures count as those of sign-in do, so they cannot guess either.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy.orm import Session

from app.accounts.attempts import Attempt, attempt_of_owner
from app.accounts.own_account import SessionEnded, hold_session
from app.accounts.security.codes import check_code
from app.accounts.users import lock_account
from app.core.clock import now
from app.models import LoginSession, User


@dataclass(frozen=True)
class OwnerProof:
    """What somebody gives to show that they own the account. A code counts before a password, if both are given."""

    user_id: int
    email: str
    session_token: str
    """Of the session that they are signed in with."""
    password: str
    code: str
    remote_address: str
    browser_tokens: Collection[str]

    @cached_property
    def _attempt(self) -> Attempt:
        return attempt_of_owner(self.user_id, self.email, self.remote_address, self.browser_tokens)

    def judge(self) -> None:
        """Check the password, if that is what was given. Outside a transaction. Raises `TooManyRequests`."""
        if not self.code:
            self._attempt.judge(self.password)

    def settle(self, session: Session) -> tuple[User, LoginSession] | None:
        """The account and the session, locked, if the proof holds. Otherwise the failure counts.

        Begins the caller's transaction. Raises `TooManyRequests`, and `SessionEnded`.
        """
        if not self._holds(session):
            return None
        user = lock_account(session, self.user_id)
        if user is None:
            raise SessionEnded
        held = hold_session(session, self.user_id, self.session_token)
        if self.code:
            held.confirmed_at = now()
        return user, held

    def _holds(self, session: Session) -> bool:
        if self.code:
            return check_code(session, self.user_id, self.code, self.browser_tokens)
        user = self._attempt.settle(session)
        if user is None and self._attempt.is_right:
            raise SessionEnded  # another password was set meanwhile, which has ended it
        return user is not None
