"""Signing in, within rate limits that nobody can use up for others.

The limits bound how many passwords are judged and how many outcomes are disclosed. Only failures count: per account and
network together, per network, and per account. A browser that is known to the account (`known_browsers`) has its own
count instead, which nobody else can use up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.known_browsers import browser_token, known_browser
from app.accounts.lockout_notice import queue_lock_notice
from app.accounts.passwords import NO_PASSWORD, is_password_of
from app.accounts.users import close_sessions_in, open_session, signs_in_by
from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.text import clean_email
from app.core.text_errors import TextError
from app.db import rate_limits
from app.db.rate_limits import Limit
from app.db.transactions import transaction
from app.extensions import db
from app.models import User

_FROM_NETWORK = Limit("sign-in-network", 100, timedelta(minutes=15))
_FROM_NETWORK_TO_ACCOUNT = Limit("sign-in-network-account", 10, timedelta(minutes=15))
_TO_ACCOUNT = Limit("sign-in-account", 300, timedelta(days=1))
_FROM_KNOWN_BROWSER = Limit("sign-in-known-browser", 10, timedelta(minutes=15))
_LOCK_NOTICE = Limit("sign-in-lock-notice", 1, timedelta(days=1))


@dataclass(frozen=True)
class SignedIn:
    """A sign-in that succeeded."""

    user_id: int
    session_token: str
    browser_token: str
    """The token that makes this browser known to the account."""


@dataclass(frozen=True)
class _Attempt:
    """What is known before the password is judged.

    For an address without an account, or with a disabled one, `user_id` is None, and `name` and `password_hash` are
    empty. `name` is also empty for an unproven account, because a stranger may have chosen it.
    """

    address: str
    user_id: int | None
    name: str
    password_hash: str
    network: str
    browser_id: str | None

    @property
    def counted(self) -> Sequence[tuple[Limit, str]]:
        """What a failure counts towards. Transactions lock these in this order, which prevents deadlocks."""
        # The hash is part of the subject, so a new password begins a new count. That is how a reset unlocks an account.
        account = f"{self.address} {self.password_hash}"
        counted = [
            (_FROM_NETWORK, self.network),
            (_FROM_NETWORK_TO_ACCOUNT, f"{account} {self.network}"),
            (_TO_ACCOUNT, account),
        ]
        return [*counted, (_FROM_KNOWN_BROWSER, f"{account} {self.browser_id}")] if self.browser_id else counted

    @property
    def limits(self) -> Sequence[tuple[Limit, str]]:
        """The limits that can refuse the attempt."""
        return self.counted[-1:] if self.browser_id else self.counted

    @property
    def notified(self) -> tuple[Limit, str]:
        # Counted per address, so that removing an account and creating it again sends no second notice. Attempts made
        # while no account existed count separately, so that they do not suppress the owner's notice.
        return _LOCK_NOTICE, f"{'nobody' if self.user_id is None else 'account'} {self.address}"


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
    begins. Returns None if no account matches, or if it has changed meanwhile. Known and unknown addresses cost the
    same work and get the same answer. Raises `TooManyRequests`, whether the password is right or wrong.
    """
    attempt = _attempt(email, remote_address, browser_tokens)
    _check(attempt)  # before hashing, which is slow on purpose
    db.session.rollback()  # returns the connection, so that nobody waits for it during hashing
    is_right = is_password_of(attempt.password_hash, password)
    with transaction() as session:
        for limit, subject in (*attempt.counted, attempt.notified):
            rate_limits.lock(limit, subject)
        # Checked again under the locks: of many concurrent guesses, only as many outcomes are told as the limit allows.
        _check(attempt)
        if is_right:
            return _begin(session, attempt, sessions_before)
        _count_failure(attempt)
    return None


def _attempt(email: str, remote_address: str, browser_tokens: Collection[str]) -> _Attempt:
    try:
        address = clean_email(email)
    except TextError:
        address = ""
    known = select(User.id, User.name, User.is_unproven, User.password_hash).where(signs_in_by(address))
    user_id, name, is_unproven, password_hash = db.session.execute(known).first() or (None, "", False, NO_PASSWORD)
    return _Attempt(
        # Input that is not an address is counted under its own text.
        address=address or email,
        user_id=user_id,
        name="" if is_unproven else name,
        password_hash=password_hash,
        network=rate_limits.network_of(remote_address),
        browser_id=known_browser(browser_tokens, user_id, password_hash) if user_id is not None else None,
    )


def _check(attempt: _Attempt) -> None:
    for limit, subject in attempt.limits:
        rate_limits.check(limit, subject)


def _begin(session: Session, attempt: _Attempt, sessions_before: Collection[str]) -> SignedIn | None:
    # The lock keeps others from changing, disabling or removing the account until the transaction ends.
    user_id = session.scalar(
        select(User.id)
        .where(User.id == attempt.user_id, User.password_hash == attempt.password_hash, User.disabled_at.is_(None))
        .with_for_update(key_share=True)
    )
    if user_id is None:
        return None
    close_sessions_in(session, sessions_before)
    token = open_session(session, user_id)
    audit.record_of_account(user_id, AuditKind.SIGNED_IN, by_owner=True)
    return SignedIn(user_id, token, browser_token(user_id, attempt.password_hash, attempt.browser_id))


def _count_failure(attempt: _Attempt) -> None:
    for limit, subject in attempt.counted:
        rate_limits.count(limit, subject)
    _of_network, from_here, from_anywhere = attempt.counted[:3]
    is_locked_everywhere = rate_limits.is_used_up(*from_anywhere)
    is_locked = rate_limits.is_used_up(*from_here) or is_locked_everywhere
    if is_locked and not rate_limits.is_used_up(*attempt.notified):
        queue_lock_notice(
            user_id=attempt.user_id,
            name=attempt.name,
            email=attempt.address if attempt.user_id else "",
            network=None if is_locked_everywhere else attempt.network,
        )
        rate_limits.count(*attempt.notified)
    audit.record_of_account(attempt.user_id, AuditKind.SIGN_IN_FAILED)
