"""A new password for an account, by its owner, a reset mail or an operator; and the mail that tells the owner."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.accounts.attempts import attempt_of_owner
from app.accounts.email_change import forget_change
from app.accounts.known_browsers import browser_token
from app.accounts.notices import OwnerNoticeRules, queue_owner_notice
from app.accounts.own_account import SessionEnded, hold_session
from app.accounts.passwords import hash_password
from app.accounts.users import renew_session
from app.audit import service as audit
from app.audit.service import AuditKind
from app.branding.policy import PortalPolicy
from app.db.transactions import transaction
from app.models import LoginSession, MailKind, User
from app.outbox.leased_email import MailContent


class PasswordSetter(StrEnum):
    """Who has given an account its new password."""

    OWNER = "owner"
    RESET = "reset"
    """Whoever reads the account's mail."""
    OPERATOR = "operator"


@dataclass(frozen=True)
class Changed:
    """What the browser holds after its person has changed their password."""

    session_token: str
    browser_token: str


def change_password(
    user_id: int,
    email: str,
    session_token: str,
    current: str,
    new: str,
    *,
    remote_address: str,
    browser_tokens: Collection[str],
) -> Changed | None:
    """Replace the password of the account that a session is signed in to. All its other sessions end.

    `email` is the account's address. `new` has passed `password_fault`. The session goes on under a new token. Returns
    None if `current` is not the account's password. Such failures count as those of sign-in do, so that whoever finds
    an open session cannot guess without limit. Raises `TooManyRequests`, and `SessionEnded`.
    """
    attempt = attempt_of_owner(user_id, email, remote_address, browser_tokens)
    attempt.judge(current)
    password_hash = hash_password(new) if attempt.is_right else ""
    with transaction() as session:
        user = attempt.settle(session)
        if user is None:
            if attempt.is_right:
                raise SessionEnded  # another password was set meanwhile, which has ended it
            return None
        held = hold_session(session, user_id, session_token)
        replace_password(session, user, password_hash, PasswordSetter.OWNER, kept=held)
        token = renew_session(held)
        audit.record_of_account(user_id, AuditKind.PASSWORD_CHANGED, by_owner=True)
        return Changed(token, browser_token(user_id, password_hash, attempt.browser_id))


def replace_password(
    session: Session, user: User, password_hash: str, by: PasswordSetter, *, kept: LoginSession | None = None
) -> None:
    """Give a locked account another password, in the caller's transaction, and tell its owner.

    Reset links that were mailed before are dead, and all sessions but `kept` end. Unless its owner changes it by the
    former one, so is a change of the address that waits.
    """
    user.password_hash = password_hash
    user.reset_generation += 1
    ended = delete(LoginSession).where(LoginSession.user_id == user.id)
    session.execute(ended if kept is None else ended.where(LoginSession.id != kept.id))
    if by is not PasswordSetter.OWNER:
        # Whoever asked for another address may be whom the new password keeps out.
        forget_change(session, user.id)
    queue_owner_notice(MailKind.PASSWORD_CHANGED, user, user.reset_generation, {"by": by.value})


class PasswordChangedRules(OwnerNoticeRules):
    """The outbox's rules for notices of a new password."""

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        return {**super().context(mail, at, policy), "by": mail.params["by"]}
