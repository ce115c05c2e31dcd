"""Choosing a new password by mail."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from app.accounts.known_browsers import browser_token, known_browser
from app.accounts.passwords import NO_PASSWORD, hash_password
from app.accounts.users import hand_to_owner, is_found_by, lock_account
from app.branding.policy import PortalPolicy
from app.core.clock import now
from app.core.errors import NotFound
from app.core.i18n import language_now
from app.core.links import LinkClaim, LinkKind, make_url, read_token
from app.core.text import TextError, clean_email, clean_person_name, defuse_links
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import db
from app.invitations.service import LinkState
from app.models import LoginSession, MailKind, OutboxMail, User
from app.outbox.enqueue import enqueue, has_not_arrived
from app.outbox.kinds import MailRules, Policies, there_is
from app.outbox.leased_email import LeasedEmail, MailContent
from app.outbox.render import expiry_text
from app.registration.emails import date_links
from app.registration.service import DeadLink
from app.registration.verification import confirm_address, hold_registrations, places_around

RESET_LIFETIME = timedelta(hours=1)

_RESETS_TO_ADDRESS = rate_limits.Limit("reset-address", 10, timedelta(hours=1))
_RESETS_OF_ACCOUNT = rate_limits.Limit("reset-account", 5, timedelta(hours=1))
_RESETS_FROM_NETWORK = rate_limits.Limit("reset-network", 300, timedelta(hours=1))


def request_reset(email: str, remote_address: str, browser_tokens: Collection[str] = ()) -> None:
    """Queue a reset mail if there is such an account. Whoever asks cannot tell whether there is.

    Without an account the same is written, and the mail deleted instead of sent. Raises `TooManyRequests` for a network
    that asks too often, but not in a browser that the account knows (`browser_tokens`). The limits of an account and of
    an address are kept silently: the newest link stays alive for as long as no further one is sent.
    """
    try:
        address = clean_email(email)
    except TextError:
        address = ""
    with transaction() as session:
        found = session.execute(select(User.id, User.password_hash).where(is_found_by(address))).first()
        # Counted for this very password: who has chosen a new one may forget that one as well.
        account = f"{address} {found.password_hash if found else NO_PASSWORD}"
        if found is None or known_browser(browser_tokens, found.id, found.password_hash) is None:
            rate_limits.use(_RESETS_FROM_NETWORK, rate_limits.network_of(remote_address))
        # And for the address: an account that is removed and made anew has another password each time.
        limits = [(_RESETS_TO_ADDRESS, address), (_RESETS_OF_ACCOUNT, account)]
        for limit, subject in limits:
            rate_limits.lock(limit, subject)
        if any(rate_limits.is_used_up(limit, subject) for limit, subject in limits):
            return
        for limit, subject in limits:
            rate_limits.count(limit, subject)
        user = session.scalar(
            update(User)
            .where(is_found_by(address))
            .values(reset_generation=User.reset_generation + 1, reset_expires_at=None)
            # As it is, and judged here: in RETURNING, SQLite 3.40 may find that a NULL is none.
            .returning(User)
            .execution_options(synchronize_session=False)
        )
        enqueue(
            MailKind.PASSWORD_RESET,
            user_id=user.id if user else None,
            generation=user.reset_generation if user else 0,
            recipient=address if user else "",
            # An unproven account's name may be a stranger's.
            params={"person_name": user.name if user and not user.is_unproven else "", "language": language_now()},
        )


def look_up_reset(token: str) -> User:
    """The account a reset link is for. Raises `NotFound`, and `DeadLink` when it is used, replaced or too old."""
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


def names_around(user: User) -> list[str]:
    """The person's own name and those of the companies and portals the account belongs to."""
    # A stranger may have registered; how they call themselves is nobody's to be told.
    return [*([] if user.is_unproven else [user.name]), *places_around(user)]


def set_new_password(token: str, password: str, name: str = "") -> str:
    """Replace the password, spend the link, and end all of the account's sessions.

    `password` is good enough (`password_fault`). The link has come to the mailbox as a verification's does, and proves
    the same: the address is verified by it, and an unproven account becomes its owner's, as when they verify and choose
    anew. It takes `name`, which any other ignores. Returns what makes the browser a known one: whoever has read the
    account's mail can sign in, however many wrong passwords came from the same network. Failures that were counted for
    the former password count no more. Raises `NotFound`, `DeadLink`, and `TextError` where the name is needed and bad.
    """
    password_hash = hash_password(password)
    claim = _claim(token)
    with transaction() as session:
        clients = hold_registrations(session, int(claim.subject))
        user = _judged(claim, lock_account(session, int(claim.subject)))
        if user.is_unproven:
            hand_to_owner(session, user, clean_person_name(name), password_hash)
        else:
            user.password_hash = password_hash
            user.reset_generation += 1
            session.execute(delete(LoginSession).where(LoginSession.user_id == user.id))
        if not user.is_verified:
            confirm_address(user, clients)
        return browser_token(user.id, password_hash)


class PasswordResetRules(MailRules):
    """What the outbox needs to know of reset mails."""

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
