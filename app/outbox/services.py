"""The outbox's state machine: enqueue, claim, last look, settle.

    queued --claim--> sending --settle--> sent | failed
       ^                 |
       +---- later ------+

A claim is a lease: it ends by itself when its holder dies, by the database's clock. Every step names the lease it
acts under, and does nothing when the mail is no longer held by it, so a process that wakes too late changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from uuid import UUID, uuid4

from flask import current_app
from sqlalchemy import ColumnElement, and_, delete, event, or_, select, update
from sqlalchemy.orm import Session

from app.clock import db_now, now
from app.database import transaction
from app.extensions import db
from app.ids import new_id
from app.models import MailKind, MailState, OutboxMail
from app.outbox.handlers import handler_of
from app.outbox.signals import mail_queued

LEASE_SECONDS = 60
CLAIM_SIZE = 100
GIVE_UP_AFTER_ATTEMPTS = 24
"""The pauses between so many attempts add up to three days. Counted in attempts, since a mail that waited for its
server, or for the settings of one, was not tried meanwhile."""
SERVER_PAUSE_SECONDS = 10
"""How soon a mail server that is itself at fault is asked again."""

_FIRST_RETRY_SECONDS = 20
_LONGEST_RETRY_SECONDS = 4 * 60 * 60

_WAKE = "wake_outbox"


def enqueue(
    kind: MailKind,
    *,
    recipient: str,
    generation: int,
    portal_id: str | None = None,
    client_id: UUID | None = None,
    user_id: int | None = None,
    params: dict[str, str],
) -> OutboxMail:
    """Write a mail to be sent, in the caller's transaction: it goes out if and only if that commits."""
    mail_id = new_id()
    mail = OutboxMail(
        id=mail_id,
        kind=kind,
        portal_id=portal_id,
        client_id=client_id,
        user_id=user_id,
        generation=generation,
        recipient=recipient,
        params=params,
        message_id=message_id_of(mail_id),
    )
    db.session.add(mail)
    wake_after_commit(db.session())
    return mail


def message_id_of(mail_id: UUID) -> str:
    """The Message-ID of a mail, the same on every attempt."""
    return f"<{mail_id.hex}@{current_app.config['SETTINGS'].public_host}>"


def wake_after_commit(session: Session) -> None:
    """Tell the scheduler, if it runs in this process, as soon as the session's mails are committed."""
    session.info[_WAKE] = True


@event.listens_for(Session, "after_commit")
def _wake_flush(session: Session) -> None:
    if session.info.pop(_WAKE, False):
        mail_queued.send()


@event.listens_for(Session, "after_rollback")
def _forget_wake(session: Session) -> None:
    session.info.pop(_WAKE, None)


def has_due_mail() -> bool:
    """Whether a claim would find anything: a cheap read, asked before the write lock is taken."""
    return db.session.scalar(select(OutboxMail.id).where(_is_due()).limit(1)) is not None


def claim(limit: int = CLAIM_SIZE) -> tuple[UUID, Sequence[UUID]]:
    """Take up to `limit` due mails for one lease. Returns the lease's id and the mails' ids, oldest due first."""
    lease_id = uuid4()
    with transaction() as session:
        due = (
            select(OutboxMail.id)
            .where(_is_due())
            .order_by(OutboxMail.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claimed = session.execute(
            update(OutboxMail)
            .where(OutboxMail.id.in_(due))
            .values(state=MailState.SENDING, lease_id=lease_id, lease_until=db_now(LEASE_SECONDS))
            .returning(OutboxMail.id, OutboxMail.due_at)
        ).all()
    return lease_id, [row.id for row in sorted(claimed, key=lambda row: (row.due_at, row.id))]


def begin_attempt(mail_id: UUID, lease_id: UUID) -> OutboxMail | None:
    """The last look before a mail goes out: the mail, with its lease renewed, or None if it is not to be sent.

    It is not when it was removed, when another process holds it now, or when what it says is no longer true
    (a resend, a removal or a registration came in between); then it is deleted.
    """
    with transaction() as session:
        held = session.execute(
            update(OutboxMail)
            .where(*_held(mail_id, lease_id))
            .values(lease_until=db_now(LEASE_SECONDS), attempts=OutboxMail.attempts + 1)
        )
        if not held.rowcount:  # type: ignore[attr-defined]
            return None
        mail = session.get_one(OutboxMail, mail_id, populate_existing=True)
        if not handler_of(mail).is_wanted(mail):
            session.execute(delete(OutboxMail).where(OutboxMail.id == mail_id))
            return None
        session.flush()
        session.expunge(mail)
        return mail


def settle_sent(mail: OutboxMail, lease_id: UUID) -> None:
    """The mail server has taken the mail."""
    at = now()
    with transaction() as session:
        # The subject's row first, then the mail's: the order in which resend and remove lock them too.
        handler_of(mail).handed_over(mail, at)
        if not _settle(session, mail, lease_id, state=MailState.SENT, sent_at=at, last_error=None):
            session.rollback()


def settle_failed(mail: OutboxMail, lease_id: UUID, reason: str) -> None:
    """The mail was refused for good, or cannot be built."""
    with transaction() as session:
        handler_of(mail).given_up(mail, reason)
        if not _settle(session, mail, lease_id, state=MailState.FAILED, last_error=reason):
            session.rollback()


def settle_later(mail: OutboxMail, lease_id: UUID, reason: str) -> None:
    """Not this time: try again after a growing pause, and give up after three days."""
    if mail.attempts >= GIVE_UP_AFTER_ATTEMPTS:
        settle_failed(mail, lease_id, reason)
        return
    with transaction() as session:
        pause = retry_pause_seconds(mail.attempts)
        _settle(session, mail, lease_id, state=MailState.QUEUED, due_at=db_now(pause), last_error=reason)


def settle_server_down(mail: OutboxMail, lease_id: UUID, reason: str) -> None:
    """The mail server itself is at fault: nothing is held against this mail, and it is tried again soon."""
    with transaction() as session:
        _settle(
            session,
            mail,
            lease_id,
            state=MailState.QUEUED,
            due_at=db_now(SERVER_PAUSE_SECONDS),
            attempts=OutboxMail.attempts - 1,
            last_error=reason,
        )


def release(lease_id: UUID, *, pause_seconds: float = 0, reason: str | None = None) -> None:
    """Give back what is still held under a lease and was not tried."""
    values: dict[str, object] = {"due_at": db_now(pause_seconds)} if pause_seconds else {}
    if reason is not None:
        values["last_error"] = reason
    with transaction() as session:
        session.execute(
            update(OutboxMail)
            .where(OutboxMail.lease_id == lease_id, OutboxMail.state == MailState.SENDING)
            .values(state=MailState.QUEUED, lease_id=None, lease_until=None, **values)
        )


def retry_pause_seconds(attempts: int) -> float:
    """Pause before the next try: about 20, 60 and 180 s and so on up to 4 hours, each a little different."""
    pause: float = min(_FIRST_RETRY_SECONDS * 3 ** (attempts - 1), _LONGEST_RETRY_SECONDS)
    return pause * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


def _is_due() -> ColumnElement[bool]:
    return or_(
        and_(OutboxMail.state == MailState.QUEUED, OutboxMail.due_at <= db_now()),
        and_(OutboxMail.state == MailState.SENDING, OutboxMail.lease_until <= db_now()),
    )


def _held(mail_id: UUID, lease_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return (
        OutboxMail.id == mail_id,
        OutboxMail.lease_id == lease_id,
        OutboxMail.state == MailState.SENDING,
    )


def _settle(session: Session, mail: OutboxMail, lease_id: UUID, **values: object) -> bool:
    settled = session.execute(
        update(OutboxMail).where(*_held(mail.id, lease_id)).values(lease_id=None, lease_until=None, **values)
    )
    return bool(settled.rowcount)  # type: ignore[attr-defined]
