"""Checking a code that somebody types: of their authenticator app, or a recovery code.

Wrong ones are counted. Only who has given the password, or is signed in, gets to type one; so a stranger cannot lock
the owner out. A browser that is known to the account has its own count, which nobody else can use up. But all wrong
codes together have a limit as well: whoever reads the account's mail may choose a new password, and make a browser
known, as often as they like.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.accounts.known_browsers import known_browser
from app.accounts.security import recovery, totp
from app.accounts.security.notices import FactorChange, queue_change_notice, queue_code_lock_notice
from app.accounts.users import lock_account
from app.core.clock import now
from app.core.encryption import DecryptionFailed, decrypt
from app.db import rate_limits
from app.db.rate_limits import Limit
from app.extensions import db
from app.models import TotpKey, User

log = logging.getLogger(__name__)

_TO_ACCOUNT: Final = Limit("second-factor-account", 10, timedelta(minutes=15))
_A_DAY: Final = Limit("second-factor-day", 100, timedelta(days=1))
_ANYWHERE_A_DAY: Final = Limit("second-factor-anywhere", 300, timedelta(days=1))
_FROM_KNOWN_BROWSER: Final = Limit("second-factor-known-browser", 10, timedelta(minutes=15))
_LOCK_NOTICE: Final = Limit("second-factor-lock-notice", 1, timedelta(days=1))
_LONGEST: Final = 100
"""Longer texts are no code, whatever is in them."""


def check_code(session: Session, user_id: int, code: str, browser_tokens: Collection[str] = ()) -> bool:
    """Whether this is a code of the account, which it then uses up. A wrong one is counted.

    Call it first in a transaction, since it takes rate limits and then locks the account, and let the transaction
    commit whatever it returns. `browser_tokens` are those that the browser holds. Raises `TooManyRequests`, whether the
    code is right or wrong.
    """
    counted, limits = _limits(user_id, browser_tokens)
    for limit, subject in (*counted, (_LOCK_NOTICE, str(user_id))):
        rate_limits.lock(limit, subject)
    for limit, subject in limits:
        rate_limits.check(limit, subject)
    user = lock_account(session, user_id)
    if user is None:
        return False
    if _use_totp_code(session, user_id, code):
        return True
    if recovery.use_recovery_code(session, user_id, clean_code(code)):
        queue_change_notice(user, FactorChange.CODE_USED, left=recovery.codes_left(user_id))
        return True
    for limit, subject in counted:
        rate_limits.count(limit, subject)
    if any(rate_limits.is_used_up(limit, subject) for limit, subject in limits):
        _tell_owner(user)
    return False


def _limits(
    user_id: int, browser_tokens: Collection[str]
) -> tuple[Sequence[tuple[Limit, str]], Sequence[tuple[Limit, str]]]:
    """What a wrong code counts towards, in the order of locking; and which of it can refuse a code."""
    # The hash is part of the subject, so a new password begins a new count.
    password_hash = db.session.scalar(select(User.password_hash).where(User.id == user_id)) or ""
    account = f"{user_id} {password_hash}"
    anywhere = (_ANYWHERE_A_DAY, str(user_id))
    counted = [anywhere, (_TO_ACCOUNT, account), (_A_DAY, account)]
    browser_id = known_browser(browser_tokens, user_id, password_hash)
    if browser_id is None:
        return counted, counted
    known = (_FROM_KNOWN_BROWSER, f"{account} {browser_id}")
    return [*counted, known], [anywhere, known]


def _tell_owner(user: User) -> None:
    if not rate_limits.is_used_up(_LOCK_NOTICE, str(user.id)):
        rate_limits.count(_LOCK_NOTICE, str(user.id))
        queue_code_lock_notice(user)


def _use_totp_code(session: Session, user_id: int, code: str) -> bool:
    """Use up a code of a locked account's authenticator app. Returns whether it was one that was not used before."""
    found = session.scalar(
        select(TotpKey).where(TotpKey.user_id == user_id).with_for_update().execution_options(populate_existing=True)
    )
    if found is None:
        return False
    try:
        key = decrypt(found.encrypted_key)
    except DecryptionFailed:
        log.error("a key of an authenticator app cannot be read: see 'flask --app wsgi secrets status'")
        return False
    step = totp.matching_step(key, clean_code(code), now(), after=found.last_step)
    if step is None:
        return False
    used = update(TotpKey).where(TotpKey.user_id == user_id, TotpKey.last_step < step).values(last_step=step)
    return bool(session.execute(used).rowcount)  # type: ignore[attr-defined]


def clean_code(code: str) -> str:
    """A code as apps show it and people type it, with spaces, hyphens, capitals or the digits of other scripts."""
    if len(code) > _LONGEST:
        return ""
    return "".join(
        str(unicodedata.digit(one)) if unicodedata.category(one) == "Nd" else one
        for one in unicodedata.normalize("NFKC", code).lower()
        if one.isalnum()
    )
