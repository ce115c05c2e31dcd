"""Signing in: with a password, and then with a second factor if the account has one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.accounts.attempts import attempt_by_address
from app.accounts.known_browsers import browser_token, known_browser
from app.accounts.new_device import LIMIT as NEW_DEVICE_NOTICE
from app.accounts.new_device import queue_new_device_notice
from app.accounts.security.factors import has_second_factor
from app.accounts.security.pending import look_up_pending, open_pending, use_pending
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


@dataclass(frozen=True)
class SecondFactorNeeded:
    """The password was right, and nobody is signed in yet: `finish_sign_in` comes next."""

    token: str
    """Of the pending sign-in (`app.accounts.security.pending`)."""


def sign_in(
    email: str,
    password: str,
    *,
    remote_address: str,
    browser_tokens: Collection[str] = (),
    sessions_before: Collection[str] = (),
) -> SignedIn | SecondFactorNeeded | None:
    """Begin a session for the account with this e-mail address and password.

    `browser_tokens` and `sessions_before` are the tokens that the browser holds; its old sessions end when the new one
    begins. The owner is told of a browser that is not known to the account. If the account has a second factor, no
    session begins yet. Returns None if no account matches, or if it has changed meanwhile. Known and unknown addresses
    cost the same work and get the same answer. Raises `TooManyRequests`, whether the password is right or wrong.
    """
    attempt = attempt_by_address(email, remote_address, browser_tokens)
    attempt.judge(password)
    with transaction() as session:
        rate_limits.lock(NEW_DEVICE_NOTICE, attempt.address)
        user = attempt.settle(session)
        if user is None:
            return None
        if has_second_factor(user.id):
            return SecondFactorNeeded(open_pending(session, user))
        return begin_session(session, user, attempt.browser_id, sessions_before)


def finish_sign_in(
    token: str,
    prove: Callable[[Session, int], bool],
    *,
    browser_tokens: Collection[str] = (),
    sessions_before: Collection[str] = (),
) -> SignedIn | None:
    """Begin the session of a pending sign-in, if `prove` says that its owner has shown their second factor.

    `prove` gets the transaction and the account's id. It comes first in the transaction, so it may take rate limits,
    and locks the account. Returns None if it says no; what it wrote is committed then, too, so that a failure counts.
    Raises `PendingEnded`, and what `prove` raises.
    """
    pending = look_up_pending(token)
    with transaction() as session:
        rate_limits.lock(NEW_DEVICE_NOTICE, pending.email)
        if not prove(session, pending.user_id):
            audit.record_of_account(pending.user_id, AuditKind.SIGN_IN_FAILED)
            return None
        user = use_pending(session, pending.user_id, token)
        browser_id = known_browser(browser_tokens, user.id, user.password_hash)
        return begin_session(session, user, browser_id, sessions_before, confirmed_at=now())


def begin_session(
    session: Session,
    user: User,
    browser_id: str | None,
    sessions_before: Collection[str],
    *,
    confirmed_at: datetime | None = None,
) -> SignedIn:
    """Begin a session for a locked account, in the caller's transaction, which has locked `NEW_DEVICE_NOTICE`.

    `browser_id`: the browser, if it is known to the account. `confirmed_at`: when a second factor was shown.
    """
    if user.first_signed_in_at is None:
        user.first_signed_in_at = now()
    elif browser_id is None:
        queue_new_device_notice(user)
    close_sessions_in(session, sessions_before)
    token = open_session(session, user.id, confirmed_at)
    audit.record_of_account(user.id, AuditKind.SIGNED_IN, by_owner=True)
    return SignedIn(user.id, token, browser_token(user.id, user.password_hash, browser_id))
