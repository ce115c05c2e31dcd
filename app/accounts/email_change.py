"""Changing the address of one's own account: asking for it, seeing how far it is, and giving it up.

Both addresses confirm, each by the link of its own mail: see `app.registration.email_confirmation`. Asking looks at
nothing but the account itself. The same is written and mailed whether or not the new address has an account, so nobody
learns it but whoever reads that mailbox.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Select, and_, delete, exists, or_, select, union
from sqlalchemy.orm import Session

from app.accounts.attempts import attempt_of_owner
from app.accounts.email_change_mails import queue_confirmation_mails
from app.accounts.own_account import SessionEnded, hold_session
from app.accounts.users import lock_account
from app.core.clock import now
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import db
from app.models import EmailChange, FormerAddress, MailKind, OutboxMail, User
from app.outbox.enqueue import has_not_arrived

_OF_ACCOUNT = rate_limits.Limit("email-change-account", 5, timedelta(days=1))
_TO_ADDRESS = rate_limits.Limit("email-change-address", 5, timedelta(days=1))
_KEPT_UNSENT = timedelta(days=7)
"""For how long a change is kept whose mails no server has taken. The outbox gives them up sooner."""


@dataclass(frozen=True)
class PendingChange:
    """A change of an address that waits, as the account's owner sees it."""

    email: str
    """The new address."""
    is_confirmed_by_present: bool
    is_confirmed_by_new: bool
    undelivered: Collection[str]
    """The addresses of the two whose mail could not be delivered."""


def request_change(
    user_id: int,
    email: str,
    session_token: str,
    new_email: str,
    password: str,
    *,
    remote_address: str,
    browser_tokens: Collection[str],
) -> bool:
    """Begin to change the address of the account that a session is signed in to, and mail both addresses.

    `email` is the account's address, and `new_email` another one, in its clean form. An earlier change that waits is
    given up. Returns False if `password` is not the account's, which counts as at sign-in. Raises `TooManyRequests`,
    and `SessionEnded`.
    """
    attempt = attempt_of_owner(user_id, email, remote_address, browser_tokens)
    attempt.judge(password)
    limits = [(_OF_ACCOUNT, str(user_id)), (_TO_ADDRESS, new_email)]
    with transaction() as session:
        for limit, subject in limits:
            rate_limits.lock(limit, subject)
        user = attempt.settle(session)
        if user is None:
            if attempt.is_right:
                raise SessionEnded  # another password was set meanwhile, which has ended it
            return False
        hold_session(session, user_id, session_token)
        for limit, subject in limits:
            rate_limits.use(limit, subject)
        forget_change(session, user_id)
        user.email_change_generation += 1
        session.add(EmailChange(user_id=user_id, generation=user.email_change_generation, email=new_email))
        queue_confirmation_mails(user, new_email)
        return True


def cancel_change(user_id: int, session_token: str) -> bool:
    """Give up the change that waits, by a session of the account. Returns whether there was one.

    Raises `SessionEnded`.
    """
    with transaction() as session:
        if lock_account(session, user_id) is None:
            raise SessionEnded
        hold_session(session, user_id, session_token)
        return forget_change(session, user_id)


def forget_change(session: Session, user_id: int) -> bool:
    """Give up the change that waits for a locked account, in the caller's transaction. Returns whether there was one.

    Its links are dead, and its mails that wait are not sent.
    """
    waiting = delete(EmailChange).where(EmailChange.user_id == user_id).returning(EmailChange.user_id)
    return session.scalar(waiting.execution_options(synchronize_session=False)) is not None


def pending_change(user_id: int) -> PendingChange | None:
    """The change that waits for an account's addresses. None if there is none, or its links have expired."""
    found = db.session.execute(
        select(EmailChange, User.email).join(User, User.id == EmailChange.user_id).where(EmailChange.user_id == user_id)
    ).first()
    if found is None or is_expired(found.EmailChange):
        return None
    change, present = found.EmailChange, found.email
    sent_to = ((MailKind.EMAIL_CHANGE, present), (MailKind.EMAIL_CHANGE_NEW, change.email))
    return PendingChange(
        change.email,
        is_confirmed_by_present=change.confirmed_by_present_at is not None,
        is_confirmed_by_new=change.confirmed_by_new_at is not None,
        undelivered=[to for kind, to in sent_to if has_not_arrived(kind, change.generation, user_id=user_id)],
    )


def is_expired(change: EmailChange) -> bool:
    return change.expires_at is not None and now() >= change.expires_at


def prune_changes() -> int:
    """Delete changes whose links have expired, or whose mails were never sent. Returns their number."""
    at = now()
    is_over = or_(
        EmailChange.expires_at <= at,
        and_(EmailChange.expires_at.is_(None), EmailChange.requested_at <= at - _KEPT_UNSENT),
    )
    result = db.session.execute(delete(EmailChange).where(is_over))
    return result.rowcount  # type: ignore[attr-defined,no-any-return]


# Addresses that accounts had


def addresses_of(user_id: int) -> Select[str]:
    """A query for the address that an account has, and those that it had."""
    present, former = User.email.label("email"), FormerAddress.email.label("email")
    both = union(
        select(present).where(User.id == user_id), select(former).where(FormerAddress.user_id == user_id)
    ).subquery()
    return select(both.c.email)


def has_or_had(emails: Collection[str] | Select[str]) -> ColumnElement[bool]:
    """The condition for accounts (`User`) that have one of these addresses, or had it before its owner changed it."""
    had = exists().where(FormerAddress.user_id == User.id, FormerAddress.email.in_(emails))
    return or_(User.email.in_(emails), had)


def had_address(user_id: int, email: str) -> bool:
    """Whether an account had this address before its owner changed it."""
    return db.session.get(FormerAddress, (user_id, email)) is not None


def former_addresses(user_ids: Collection[int]) -> Sequence[str]:
    """The addresses that accounts had, unless another account has one by now."""
    is_anothers = exists().where(User.email == FormerAddress.email, User.id.not_in(user_ids))
    theirs = select(FormerAddress.email).where(FormerAddress.user_id.in_(user_ids), ~is_anothers)
    return db.session.scalars(theirs.distinct()).all()


def forget_addresses(session: Session, emails: Collection[str]) -> None:
    """Delete whatever other accounts keep of these addresses, also that they had them. In the caller's transaction."""
    forget_requests(session, emails)
    had = delete(FormerAddress).where(FormerAddress.email.in_(emails))
    session.execute(had.execution_options(synchronize_session=False))


def forget_requests(session: Session, emails: Collection[str]) -> None:
    """Delete the changes to these addresses that wait, and the mails of changes that name them.

    In the caller's transaction. Other accounts are not locked for it.
    """
    kinds = (MailKind.EMAIL_CHANGE, MailKind.EMAIL_CHANGE_NEW, MailKind.EMAIL_CHANGED)
    named = (OutboxMail.params[name].as_string().in_(emails) for name in ("former_email", "new_email"))
    for rows in (
        delete(EmailChange).where(EmailChange.email.in_(emails)),
        delete(OutboxMail).where(OutboxMail.kind.in_(kinds), or_(*named)),
    ):
        session.execute(rows.execution_options(synchronize_session=False))
