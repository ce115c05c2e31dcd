"""Signing in: the password is judged, and its outcome disclosed, within limits that nobody can use up for others.

Only failures count: by account and the caller's network together, by network, and by account. A browser that is known
to the account (`known_browsers`) has a count of its own instead, which nobody else can reach.
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
from app.accounts.users import close_sessions_in, is_found_by, open_session
from app.core.text import TextError, clean_email
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
    """What makes this browser a known one."""


@dataclass(frozen=True)
class _Attempt:
    """What is known before the password is judged. Of an address without an account: no user, no name, no password.

    Nor a name of an account that is unproven: it may be a stranger's.
    """

    address: str
    user_id: int | None
    name: str
    password_hash: str
    network: str
    browser_id: str | None

    @property
    def counted(self) -> Sequence[tuple[Limit, str]]:
        """What a failure counts towards. Transactions lock them in this order."""
        # Against this very password: choosing a new one begins anew, which is how a reset unlocks.
        account = f"{self.address} {self.password_hash}"
        counted = [
            (_FROM_NETWORK, self.network),
            (_FROM_NETWORK_TO_ACCOUNT, f"{account} {self.network}"),
            (_TO_ACCOUNT, account),
        ]
        return [*counted, (_FROM_KNOWN_BROWSER, f"{account} {self.browser_id}")] if self.browser_id else counted

    @property
    def limits(self) -> Sequence[tuple[Limit, str]]:
        """What may refuse the attempt."""
        return self.counted[-1:] if self.browser_id else self.counted

    @property
    def notified(self) -> tuple[Limit, str]:
        # By address: removing an account and making it anew has its owner told no more often. What was tried before
        # there was one counts apart, and keeps nothing from them.
        return _LOCK_NOTICE, f"{'nobody' if self.user_id is None else 'account'} {self.address}"


def sign_in(
    email: str,
    password: str,
    *,
    remote_address: str,
    browser_tokens: Collection[str] = (),
    sessions_before: Collection[str] = (),
) -> SignedIn | None:
    """Begin a session for the account with this e-mail and password; None if there is none, or no longer.

    `browser_tokens` and `sessions_before` are what the browser holds; its sessions end with the new one's beginning.
    Known and unknown addresses cost the same work and get the same answer. Raises `TooManyRequests`, whether the
    password is right or not.
    """
    attempt = _attempt(email, remote_address, browser_tokens)
    _check(attempt)  # before the hash, which is slow on purpose
    db.session.rollback()  # nobody waits for this connection meanwhile
    is_right = is_password_of(attempt.password_hash, password)
    with transaction() as session:
        for limit, subject in (*attempt.counted, attempt.notified):
            rate_limits.lock(limit, subject)
        # Of many guesses at once, no more outcomes are told than the limit allows.
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
    known = select(User.id, User.name, User.is_unproven, User.password_hash).where(is_found_by(address))
    user_id, name, is_unproven, password_hash = db.session.execute(known).first() or (None, "", False, NO_PASSWORD)
    return _Attempt(
        # What is no address at all is counted by itself, too.
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
    # Nobody chooses a new password, or removes the account, between this look and the end of the transaction.
    user_id = session.scalar(
        select(User.id)
        .where(User.id == attempt.user_id, User.password_hash == attempt.password_hash)
        .with_for_update(key_share=True)
    )
    if user_id is None:
        return None
    close_sessions_in(session, sessions_before)
    return SignedIn(
        user_id,
        open_session(session, user_id),
        browser_token(user_id, attempt.password_hash, attempt.browser_id),
    )


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
