"""Confirming a change of an account's address, by the links that were mailed to the present and to the new address.

The address changes when both have confirmed, in any order. Only then, or by the new address's own press, do we look
whether it has an account: whoever reads that mailbox may know. The database's unique address decides between two
accounts that want the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from flask_babel import gettext as _
from sqlalchemy import delete, exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.email_change import forget_change, is_expired
from app.accounts.email_change_mails import queue_changed_notices
from app.accounts.unowned import delete_nobodys
from app.accounts.users import is_found_by, session_id
from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.clock import now
from app.core.errors import Conflict, NotFound
from app.core.links import LinkClaim, LinkKind, read_token
from app.db.transactions import transaction
from app.extensions import db
from app.invitations import history
from app.invitations.service import LinkState
from app.models import (
    ClientStatus,
    EmailChange,
    EndedAccess,
    EventKind,
    FormerAddress,
    ImportedClient,
    LoginSession,
    MailKind,
    Membership,
    ShellAccount,
    User,
)
from app.outbox.enqueue import has_not_arrived
from app.registration.colleagues import hold_colleague_registrations

_ATTEMPTS = 3
_MAILS = {LinkKind.EMAIL_CHANGE: MailKind.EMAIL_CHANGE, LinkKind.NEW_EMAIL: MailKind.EMAIL_CHANGE_NEW}


class DeadChange(Exception):
    """A genuine link of a change that cannot be confirmed any more; `state` says why."""

    def __init__(self, state: LinkState) -> None:
        super().__init__(state)
        self.state = state


class _Overtaken(Exception):
    """Something has changed before it was locked. To be tried again."""


class Outcome(StrEnum):
    """What came of confirming."""

    WAITING = "waiting"
    """The other address has to confirm as well."""
    CHANGED = "changed"
    TAKEN = "taken"
    """The new address has an account of its own. The change was given up."""


@dataclass(frozen=True)
class ShownChange:
    """A change as the page behind one of its links shows it."""

    user_id: int
    present_email: str
    new_email: str
    is_confirmed: bool
    """By the address of this link."""


@dataclass(frozen=True)
class _Locked:
    """What a change touches, all of it locked."""

    user: User
    clients: Sequence[ImportedClient]
    """Those that have joined with the account."""
    other: User | None
    """The account that has the new address."""
    pending: Sequence[ImportedClient]
    """What that account was registered for and has not joined."""


def look_up_change(kind: LinkKind, token: str) -> ShownChange:
    """The change behind a link of one of these two kinds. Raises `NotFound`, `DeadChange`."""
    claim = _claim(kind, token)
    user = db.session.get(User, int(claim.subject), populate_existing=True)
    if user is None:
        raise NotFound
    change = _judged(kind, claim, db.session(), lock=False)
    return ShownChange(user.id, user.email, change.email, _confirmed_at(kind, change) is not None)


def confirm_change(kind: LinkKind, token: str, session_token: str | None) -> Outcome:
    """Confirm a change for the address that a link was mailed to. The second address to confirm completes it.

    `session_token`: of the session, if the browser is signed in to this account. All other sessions end. Raises
    `NotFound`, `DeadChange`, and `Conflict` if others keep changing what the change touches.
    """
    claim = _claim(kind, token)
    for _attempt in range(_ATTEMPTS):
        try:
            with transaction() as session:
                return _confirm(session, kind, claim, session_token)
        except (_Overtaken, IntegrityError):
            # Somebody has just joined with the account, or has taken the new address. The next attempt sees it.
            continue
    raise Conflict(_("Something else was changed at the same moment. Nothing was saved; please try again."))


def refuse_change(kind: LinkKind, token: str) -> None:
    """Give up a change, by the link that one of its addresses got. Raises `NotFound`, `DeadChange`."""
    claim = _claim(kind, token)
    with transaction() as session:
        user_id = int(claim.subject)
        if not _locked(session, [user_id]):
            raise NotFound
        _judged(kind, claim, session)
        forget_change(session, user_id)


def _confirm(session: Session, kind: LinkKind, claim: LinkClaim, session_token: str | None) -> Outcome:
    held = _hold(session, int(claim.subject))
    change = _judged(kind, claim, session)
    is_new = kind is LinkKind.NEW_EMAIL
    if is_new:
        change.confirmed_by_new_at = change.confirmed_by_new_at or now()
    else:
        change.confirmed_by_present_at = change.confirmed_by_present_at or now()
    is_complete = change.confirmed_by_new_at is not None and change.confirmed_by_present_at is not None
    # By its present address alone, nobody learns whether the new one has an account.
    if held.other is not None and (is_new or is_complete) and not _is_nobodys(session, held.other):
        session.delete(change)
        return Outcome.TAKEN
    if not is_complete:
        return Outcome.WAITING
    if held.other is not None:
        _free_address(session, held.other, held.pending)
    _complete(session, held, change, session_token)
    return Outcome.CHANGED


def _hold(session: Session, user_id: int) -> _Locked:
    """Lock what a change touches, in the order of `transaction`. Raises `NotFound`, and `_Overtaken`."""
    new_email = session.scalar(select(EmailChange.email).where(EmailChange.user_id == user_id))
    has_new = is_found_by(new_email or "")
    other_id = session.scalar(select(User.id).where(has_new))
    ids = [one for one in (user_id, other_id) if one is not None]
    rows = select(ImportedClient).where(ImportedClient.user_id.in_(ids))
    clients = session.scalars(
        rows.order_by(ImportedClient.portal_id, ImportedClient.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    users = {user.id: user for user in _locked(session, ids)}
    if user_id not in users:
        raise NotFound
    # Whoever joins locks the account, so from now on nobody does.
    keys = set(session.execute(rows.with_only_columns(ImportedClient.portal_id, ImportedClient.id)).all())
    if (
        keys != {(one.portal_id, one.id) for one in clients}
        or session.scalar(select(User.id).where(has_new)) != other_id
    ):
        raise _Overtaken
    return _Locked(
        users[user_id],
        [one for one in clients if one.user_id == user_id and one.status is ClientStatus.JOINED],
        users.get(other_id) if other_id is not None else None,
        [one for one in clients if one.user_id == other_id and one.status is ClientStatus.INVITE_SENT],
    )


def _locked(session: Session, user_ids: Sequence[int]) -> Sequence[User]:
    return session.scalars(
        select(User)
        .where(User.id.in_(user_ids))
        .order_by(User.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()


def _is_nobodys(session: Session, other: User) -> bool:
    """Whether an account was registered by whoever had a link, and its address was never proved.

    Its address belongs to whoever proves it first, as in `app.accounts.users.create_user`. An account that has got
    a role, that a shell hands over or that is disabled stays what it is.
    """
    if other.email_verified_at is not None or other.disabled_at is not None:
        return False
    kept_by = (Membership, EndedAccess, ShellAccount)
    return not any(session.scalar(select(exists().where(one.user_id == other.id))) for one in kept_by)


def _free_address(session: Session, other: User, pending: Sequence[ImportedClient]) -> None:
    """Delete an account that nobody has proved to own. Its invitations can be used again."""
    for client in pending:
        client.forget_registration()
    for invitation in hold_colleague_registrations(session, other.id):
        invitation.forget_registration()
    session.flush()
    delete_nobodys(session, [other.id])


def _complete(session: Session, held: _Locked, change: EmailChange, session_token: str | None) -> None:
    user, generation = held.user, change.generation
    former, user.email = user.email, change.email
    # A raised generation invalidates the links that were mailed to the former address.
    user.verification_generation += 1
    user.reset_generation += 1
    user.reset_expires_at = None
    session.delete(change)
    session.flush()
    had = FormerAddress.user_id == user.id, FormerAddress.email.in_([former, user.email])
    session.execute(delete(FormerAddress).where(*had))
    session.add(FormerAddress(user_id=user.id, email=former, generation=generation))
    for client in held.clients:
        client.account_email = user.email if user.email != client.email else None
        history.record(client, EventKind.EMAIL_CHANGED, actor_id=user.id)
    kept = session_id(session_token) if session_token is not None else ""
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.id, LoginSession.id != kept))
    queue_changed_notices(user, former, generation)
    audit.record_of_account(user.id, AuditKind.EMAIL_CHANGED, by_owner=True, change={"email": [former, user.email]})


def _claim(kind: LinkKind, token: str) -> LinkClaim:
    claim = read_token(kind, token)
    if claim is None:
        raise NotFound
    return claim


def _judged(kind: LinkKind, claim: LinkClaim, session: Session, *, lock: bool = True) -> EmailChange:
    """The change of a link that can be confirmed. Raises `DeadChange`.

    Locked, since an erasure of the new address, or the pruning, deletes it without the account's lock.
    """
    user_id = int(claim.subject)
    change = session.get(EmailChange, user_id, populate_existing=True, with_for_update=lock or None)
    if change is None or change.generation != claim.generation:
        done = exists().where(FormerAddress.user_id == user_id, FormerAddress.generation == claim.generation)
        raise DeadChange(LinkState.USED if session.scalar(select(done)) else LinkState.REPLACED)
    if is_expired(change):
        raise DeadChange(LinkState.EXPIRED)
    if has_not_arrived(_MAILS[kind], claim.generation, user_id=user_id):
        raise DeadChange(LinkState.UNDELIVERED)
    return change


def _confirmed_at(kind: LinkKind, change: EmailChange) -> object:
    return change.confirmed_by_new_at if kind is LinkKind.NEW_EMAIL else change.confirmed_by_present_at
