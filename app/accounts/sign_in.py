"""Signing in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.accounts.attempts import Attempt, attempt_by_address
from app.accounts.known_browsers import browser_token
from app.accounts.new_device import LIMIT as NEW_DEVICE_NOTICE
from app.accounts.new_device import queue_new_device_notice
from app.accounts.users import close_sessions_in, open_session
from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.clock import now
from app.db import rate_limits
from app.db.transactions import transaction
from app.models import User


@dataclass(frozen=True)
class SignedIn:
    """A sign-in that succeeded."""

    user_id: int
    session_token: str
    browser_token: str
    """The token that makes this browser known to the account."""


def sign_in(
    email: str,
    password: str,
    *,
    remote_address: str,
    browser_tokens: Collection[str] = (),
    sessions_before: Collection[str] = (),
) -> SignedIn | None:
    """Begin a session for the account with this e-mail address and password.

    `browser_tokens` and `sessions_before` are the tokens that the browser holds; its old sessions end when the new one
    begins. The owner is told of a browser that is not known to the account. Returns None if no account matches, or if
    it has changed meanwhile. Known and unknown addresses cost the same work and get the same answer. Raises
    `TooManyRequests`, whether the password is right or wrong.
    """
    attempt = attempt_by_address(email, remote_address, browser_tokens)
    attempt.judge(password)
    with transaction() as session:
        rate_limits.lock(NEW_DEVICE_NOTICE, attempt.address)
        user = attempt.settle(session)
        return _begin(session, user, attempt, sessions_before) if user is not None else None


def _begin(session: Session, user: User, attempt: Attempt, sessions_before: Collection[str]) -> SignedIn:
    if user.first_signed_in_at is None:
        user.first_signed_in_at = now()
    elif attempt.browser_id is None:
        queue_new_device_notice(user)
    close_sessions_in(session, sessions_before)
    token = open_session(session, user.id)
    audit.record_of_account(user.id, AuditKind.SIGNED_IN, by_owner=True)
    return SignedIn(user.id, token, browser_token(user.id, attempt.password_hash, attempt.browser_id))
