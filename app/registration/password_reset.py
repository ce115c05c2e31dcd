"""Password resets by mail."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update

from app.accounts.known_browsers import browser_token, known_browser
from app.accounts.password_change import PasswordSetter, replace_password
from app.accounts.passwords import NO_PASSWORD, hash_password, password_fault
from app.accounts.users import (
    find_user,
    hand_to_owner,
    lock_account,
    names_around,
    no_account,
    signs_in_by,
    unverified_account,
)
from app.audit import service as audit
from app.audit.service import AuditKind
from app.branding.policy import PortalPolicy
from app.core.clock import now
from app.core.errors import DomainError, NotFound
from app.core.i18n import language_now
from app.core.links import LinkClaim, LinkKind, make_url, read_token
from app.core.text import clean_email, clean_person_name, defuse_links
from app.core.text_errors import TextError
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import db
from app.invitations.service import LinkState
from app.models import MailKind, OutboxMail, User
from app.outbox.enqueue import enqueue, has_not_arrived
from app.outbox.kinds import MailRules, Policies, there_is
from app.outbox.leased_email import LeasedEmail, MailContent
from app.outbox.render import expiry_text
from app.registration.emails import date_links
from app.registration.service import DeadLink
from app.registration.verification import confirm_address, hold_registrations

RESET_LIFETIME = timedelta(hours=1)

_RESETS_TO_ADDRESS = rate_limits.Limit("reset-address", 10, timedelta(hours=1))
_RESETS_OF_ACCOUNT = rate_limits.Limit("reset-account", 5, timedelta(hours=1))
_RESETS_FROM_NETWORK = rate_limits.Limit("reset-network", 300, timedelta(hours=1))


def request_reset(email: str, remote_address: str, browser_tokens: Collection[str] = ()) -> None:
    """Enqueue a reset mail if the address has an account. The caller cannot tell whether it has one.

    Without an account, or with a disabled one, the same row is written, and later deleted instead of sent. Raises
    `TooManyRequests` if the network asks too often, unless the account knows the browser (`browser_tokens`). The limits
    of the account and the address apply silently: when one is reached, no mail is sent and the newest link stays valid.
    """
    try:
        address = clean_email(email)
    except TextError:
        address = ""
    with transaction() as session:
        found = session.execute(select(User.id, User.password_hash).where(signs_in_by(address))).first()
        # The hash is part of the subject, so the count begins again for each password: the new one may be forgotten,
        # too.
        account = f"{address} {found.password_hash if found else NO_PASSWORD}"
        if found is None or known_browser(browser_tokens, found.id, found.password_hash) is None:
            rate_limits.use(_RESETS_FROM_NETWORK, rate_limits.network_of(remote_address))
        # Also counted by address: an account that is removed and created again has another hash each time.
        limits = [(_RESETS_TO_ADDRESS, address), (_RESETS_OF_ACCOUNT, account)]
        for limit, subject in limits:
            rate_limits.lock(limit, subject)
        if any(rate_limits.is_used_up(limit, subject) for limit, subject in limits):
            return
        for limit, subject in limits:
            rate_limits.count(limit, subject)
        user = session.scalar(
            update(User)
            .where(signs_in_by(address))
            .values(reset_generation=User.reset_generation + 1, reset_expires_at=None)
            # The plain row, judged in Python: in RETURNING, SQLite 3.40 may evaluate IS NULL wrongly.
            .returning(User)
            .execution_options(synchronize_session=False)
        )
        enqueue(
            MailKind.PASSWORD_RESET,
            user_id=user.id if user else None,
            generation=user.reset_generation if user else 0,
            recipient=address if user else "",
            # A stranger may have chosen an unproven account's name.
            params={"person_name": user.name if user and not user.is_unproven else "", "language": language_now()},
        )


def look_up_reset(token: str) -> User:
    """The account of a reset link. Raises `NotFound`, and `DeadLink` if the link is used, replaced or expired."""
    claim = _claim(token)
    return _judged(claim, db.session.get(User, int(claim.subject)))


def _claim(token: str) -> LinkClaim:
    claim = read_token(LinkKind.PASSWORD_RESET, token)
    if claim is None:
        raise NotFound
    return claim


def _judged(claim: LinkClaim, user: User | None) -> User:
    if user is None:
        raise NotFound
    if claim.generation != user.reset_generation:
        raise DeadLink(LinkState.REPLACED)
    if user.reset_expires_at is not None and now() >= user.reset_expires_at:
        raise DeadLink(LinkState.EXPIRED)
    if has_not_arrived(MailKind.PASSWORD_RESET, claim.generation, user_id=user.id):
        raise DeadLink(LinkState.UNDELIVERED)
    return user


def set_new_password(token: str, password: str, name: str = "") -> str:
    """Replace the password, use up the link, and end all sessions of the account.

    `password` has passed `password_fault`. The link proves the same as a verification link, because it came to the same
    mailbox: the address becomes verified. An unproven account passes to its owner, as in `verify_with_new_password`; it
    takes `name`, which is ignored for other accounts. Returns a known-browser token: the reader of the account's mail
    can sign in, however many wrong passwords came from the same network. Failures counted against the former password
    no longer matter. Raises `NotFound`, `DeadLink`, and `TextError` if `name` is needed and wrong.
    """
    password_hash = hash_password(password)
    claim = _claim(token)
    with transaction() as session:
        registered = hold_registrations(session, int(claim.subject))
        user = _judged(claim, lock_account(session, int(claim.subject)))
        if user.is_unproven:
            hand_to_owner(session, user, clean_person_name(name), password_hash)
        else:
            replace_password(session, user, password_hash, PasswordSetter.RESET)
        if not user.is_verified:
            confirm_address(user, registered)
        audit.record_of_account(user.id, AuditKind.PASSWORD_SET, by_owner=True)
        return browser_token(user.id, password_hash)


def set_password(email: str, password: str) -> int:
    """Replace the password of the account with this address, as an operator does, and end all its sessions.

    Returns the account's id. Raises `TextError` for a text that is no address, and `DomainError` if no account has the
    address, if nobody knows whose account it is, or if the password is not good enough.
    """
    user = find_user(clean_email(email))
    if user is None:
        raise no_account(email)
    user_id = user.id
    fault = password_fault(password, names=names_around(user), email=user.email)
    if fault:
        raise DomainError(fault)
    password_hash = hash_password(password)
    with transaction() as session:
        user = lock_account(session, user_id)
        if user is None:
            raise no_account(email)
        if not user.is_verified:
            raise unverified_account(email)
        replace_password(session, user, password_hash, PasswordSetter.OPERATOR)
        audit.record_of_account(user_id, AuditKind.PASSWORD_SET)
    return user_id


class PasswordResetRules(MailRules):
    """The outbox's rules for reset mails."""

    link_kind = LinkKind.PASSWORD_RESET
    per_recipient_values = ("person_name", "recipient")
    still_wanted = there_is(
        User.id == OutboxMail.user_id,
        User.reset_generation == OutboxMail.generation,
    )

    def link(self, mail: MailContent) -> str:
        return make_url(self.link_kind, LinkClaim(str(mail.user_id), mail.generation))

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        return {
            "is_named": bool(mail.params["person_name"]),
            "person_name": defuse_links(mail.params["person_name"]),
            "recipient": mail.recipient,
            "expires_on": expiry_text(at + RESET_LIFETIME),
        }

    def on_sent(self, mails: Sequence[LeasedEmail], at: datetime, policies: Policies) -> None:
        date_links(mails, User.reset_generation, User.reset_expires_at, at + RESET_LIFETIME)
