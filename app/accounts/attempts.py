"""Attempts at an account's password, within rate limits that nobody can use up for others.

The limits bound how many passwords are judged and how many outcomes are disclosed. Only failures count: per account and
network together, per network, and per account. A browser that is known to the account (`known_browsers`) has its own
count instead, which nobody else can use up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.accounts.known_browsers import known_browser
from app.accounts.lockout_notice import queue_lock_notice
from app.accounts.passwords import NO_PASSWORD, is_password_of
from app.accounts.users import signs_in_by
from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.text import clean_email
from app.core.text_errors import TextError
from app.db import rate_limits
from app.db.rate_limits import Limit
from app.extensions import db
from app.models import User

FROM_NETWORK = Limit("sign-in-network", 100, timedelta(minutes=15))
_FROM_NETWORK_TO_ACCOUNT = Limit("sign-in-network-account", 10, timedelta(minutes=15))
_TO_ACCOUNT = Limit("sign-in-account", 300, timedelta(days=1))
_FROM_KNOWN_BROWSER = Limit("sign-in-known-browser", 10, timedelta(minutes=15))
_LOCK_NOTICE = Limit("sign-in-lock-notice", 1, timedelta(days=1))


@dataclass
class Attempt:
    """An attempt to prove that one knows an account's password: first `judge` it, then `settle` it in a transaction.

    For an address without an account, or with a disabled one, `user_id` is None, and `name` and `password_hash` are
    empty. `name` is also empty for an unproven account, because a stranger may have chosen it.
    """

    address: str
    user_id: int | None
    name: str
    password_hash: str
    network: str
    browser_id: str | None
    """The browser, if it is known to the account."""
    is_right: bool = False

    @property
    def counted(self) -> Sequence[tuple[Limit, str]]:
        """What a failure counts towards. Transactions lock these in this order, which prevents deadlocks."""
        # The hash is part of the subject, so a new password begins a new count. That is how a reset unlocks an account.
        account = f"{self.address} {self.password_hash}"
        counted = [
            (FROM_NETWORK, self.network),
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

    def judge(self, password: str) -> None:
        """Check the password, outside a transaction. Costs the same work whether there is an account or not.

        Raises `TooManyRequests`.
        """
        self._check()  # before hashing, which is slow on purpose
        db.session.rollback()  # returns the connection, so that nobody waits for it during hashing
        self.is_right = is_password_of(self.password_hash, password)

    def settle(self, session: Session) -> User | None:
        """The account, locked, if the password is right and is still the account's. Otherwise the failure counts.

        Begins the caller's transaction, which then does what the password is needed for. Raises `TooManyRequests`,
        whether the password is right or wrong.
        """
        for limit, subject in (*self.counted, self.notified):
            rate_limits.lock(limit, subject)
        # Checked again under the locks: of many concurrent guesses, only as many outcomes are told as the limit allows.
        self._check()
        if not self.is_right:
            self._count_failure()
            return None
        # The lock keeps others from changing, disabling or removing the account until the transaction ends.
        return session.scalar(
            select(User)
            .where(User.id == self.user_id, User.password_hash == self.password_hash, User.disabled_at.is_(None))
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )

    def _check(self) -> None:
        for limit, subject in self.limits:
            rate_limits.check(limit, subject)

    def _count_failure(self) -> None:
        for limit, subject in self.counted:
            rate_limits.count(limit, subject)
        _of_network, from_here, from_anywhere = self.counted[:3]
        is_locked_everywhere = rate_limits.is_used_up(*from_anywhere)
        is_locked = rate_limits.is_used_up(*from_here) or is_locked_everywhere
        if is_locked and not rate_limits.is_used_up(*self.notified):
            queue_lock_notice(
                user_id=self.user_id,
                name=self.name,
                email=self.address if self.user_id else "",
                network=None if is_locked_everywhere else self.network,
            )
            rate_limits.count(*self.notified)
        audit.record_of_account(self.user_id, AuditKind.SIGN_IN_FAILED)


def attempt_by_address(email: str, remote_address: str, browser_tokens: Collection[str]) -> Attempt:
    """An attempt at the account with this address, as it was typed."""
    try:
        address = clean_email(email)
    except TextError:
        address = ""
    # Input that is not an address is counted under its own text.
    return _attempt(signs_in_by(address), address or email, remote_address, browser_tokens)


def attempt_of_owner(user_id: int, email: str, remote_address: str, browser_tokens: Collection[str]) -> Attempt:
    """An attempt at the account that somebody is signed in to. `email` is its address."""
    return _attempt(User.id == user_id, email, remote_address, browser_tokens)


def _attempt(account: ColumnElement[bool], address: str, remote_address: str, tokens: Collection[str]) -> Attempt:
    known = select(User.id, User.name, User.is_unproven, User.password_hash).where(account)
    user_id, name, is_unproven, password_hash = db.session.execute(known).first() or (None, "", False, NO_PASSWORD)
    return Attempt(
        address=address,
        user_id=user_id,
        name="" if is_unproven else name,
        password_hash=password_hash,
        network=rate_limits.network_of(remote_address),
        browser_id=known_browser(tokens, user_id, password_hash) if user_id is not None else None,
    )
