"""Step-up: who has a second factor shows it again before a sensitive change, at most once in fifteen minutes.

So an open session that somebody else finds does not suffice for such a change. Each session counts for itself, from the
sign-in on. Nobody is asked who has no second factor, or who came through a host shell.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.own_account import hold_session
from app.accounts.security.factors import has_second_factor
from app.accounts.users import session_id
from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.models import LoginSession, User

LASTS: Final = timedelta(minutes=15)


def needs_step_up(user: User) -> bool:
    """Whether the session that has loaded this user has to show a second factor before a sensitive change."""
    if user.handed_over_to is not None or not has_second_factor(user.id):
        return False
    confirmed = select(LoginSession.confirmed_at).where(LoginSession.id == session_id(user.get_id()))
    confirmed_at = db.session.scalar(confirmed)
    # The clock of another process may be ahead.
    return confirmed_at is None or abs(now() - confirmed_at) >= LASTS


def confirm(user_id: int, token: str, shows: Callable[[Session, int], bool]) -> bool:
    """Note that a session has shown a second factor, if it has. Returns whether it has.

    `shows` judges what was typed, first thing in the transaction, as `check_code` does. Raises `SessionEnded`, and what
    `shows` raises.
    """
    with transaction() as session:
        is_right = shows(session, user_id)
        if is_right:
            hold_session(session, user_id, token).confirmed_at = now()
    return is_right
