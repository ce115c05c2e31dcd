"""The outbox as its operators see and keep it: how long the queue is, one mail, trying again, deleting old ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import case, func, select, update

from app.core.clock import now
from app.core.errors import DomainError
from app.core.ids import first_id_at
from app.core.signals import mail_queued
from app.db.batches import change_in_batches, delete_in_batches
from app.db.transactions import send_after_commit, transaction
from app.extensions import db
from app.models import MailState, OutboxMail, Portal
from app.models.types import db_now
from app.outbox.kinds import still_wanted

_NOT_SENT = (MailState.QUEUED, MailState.SENDING, MailState.FAILED)


@dataclass(frozen=True)
class QueueFigures:
    """How the queue is doing. Ages in seconds, 0 where there is no such mail."""

    mails: dict[MailState, int]
    """How many there are in each state but sent, of which there is no end."""
    oldest_waiting_seconds: float
    """Since the oldest of the mails that are to be sent was asked for."""
    overdue_seconds: float
    """For how long the mail that has been due longest waits for any worker to take it."""


@dataclass(frozen=True)
class StatusLine:
    """The mails of one state and portal; no portal for those that belong to an account alone."""

    state: MailState
    portal_id: str | None
    count: int
    oldest: datetime


def queue_figures() -> QueueFigures:
    """Read with one query that the index on the state answers."""
    due_at = case((OutboxMail.state == MailState.SENDING, OutboxMail.lease_until), else_=OutboxMail.due_at)
    rows = db.session.execute(
        select(OutboxMail.state, func.count(), func.min(OutboxMail.created_at), func.min(due_at), db_now())
        .where(OutboxMail.state.in_(_NOT_SENT))
        .group_by(OutboxMail.state)
    ).all()
    waiting = [row for row in rows if row[0] is not MailState.FAILED]
    return QueueFigures(
        mails=dict.fromkeys(_NOT_SENT, 0) | {state: count for state, count, *_ages in rows},
        oldest_waiting_seconds=_longest(now() - created_at for _state, _count, created_at, *_due in waiting),
        overdue_seconds=_longest(at - due for *_what, due, at in waiting if due is not None),
    )


def status() -> Sequence[StatusLine]:
    """All mails, counted by state and portal, in the order of states."""
    rows = db.session.execute(
        select(OutboxMail.state, OutboxMail.portal_id, func.count(), func.min(OutboxMail.created_at)).group_by(
            OutboxMail.state, OutboxMail.portal_id
        )
    ).all()
    order = list(MailState)
    return sorted((StatusLine(*row) for row in rows), key=lambda line: (order.index(line.state), line.portal_id or ""))


def find_mail(mail_id: UUID) -> OutboxMail:
    """One mail. Raises `DomainError` if there is none of this id."""
    mail = db.session.get(OutboxMail, mail_id)
    if mail is None:
        raise DomainError(_("There is no mail with the id %(id)s.", id=mail_id))
    return mail


def retry_mail(mail_id: UUID) -> None:
    """Queue a failed mail again, as if it had never been tried.

    Raises `DomainError` if there is none of this id, if it has not failed, or if nobody wants it any more.
    """
    mail = find_mail(mail_id)
    if mail.state is not MailState.FAILED:
        raise DomainError(_("Mail %(id)s has not failed: it is %(state)s.", id=mail_id, state=mail.state))
    with transaction():
        if not _queue_again([mail_id]):
            raise DomainError(
                _("Mail %(id)s is no longer wanted: there is a newer one, or its link has been used.", id=mail_id)
            )


def retry_failed(portal_id: str | None = None) -> int:
    """Queue all failed mails again that are still wanted, of one portal or of all; returns how many.

    Raises `DomainError` for a portal that does not exist.
    """
    if portal_id is not None and db.session.get(Portal, portal_id) is None:
        raise DomainError(_("There is no portal with the id %(id)s.", id=portal_id))
    failed = select(OutboxMail.id).where(OutboxMail.state == MailState.FAILED).order_by(OutboxMail.id)
    if portal_id is not None:
        failed = failed.where(OutboxMail.portal_id == portal_id)
    return change_in_batches(db.session.scalars(failed).all(), _queue_again)


def prune_sent(keep_days: int, stop: Event) -> int:
    """Delete the mails that were sent more than `keep_days` ago, until `stop` is set; returns how many.

    Whoever shows a client whose mail is gone takes it for sent: so mails of any other state stay.
    """
    long_ago = now() - timedelta(days=keep_days)
    old = (
        select(OutboxMail.id)
        # No mail is sent before it is made, and ids are in the order of time: they are what there is an index for.
        .where(OutboxMail.id < first_id_at(long_ago), OutboxMail.state == MailState.SENT, OutboxMail.sent_at < long_ago)
        .order_by(OutboxMail.id)
    )
    return delete_in_batches(OutboxMail.id, old, stop)


def prune_unaddressed(stop: Event) -> int:
    """Delete the mails for addresses without an account that no worker has deleted for a day, until `stop` is set.

    That is, where there is no mail server to send any mail. Returns how many.
    """
    old = (
        select(OutboxMail.id)
        .where(
            OutboxMail.id < first_id_at(now() - timedelta(days=1)),
            OutboxMail.state == MailState.QUEUED,
            OutboxMail.client_id.is_(None),
            OutboxMail.user_id.is_(None),
        )
        .order_by(OutboxMail.id)
    )
    return delete_in_batches(OutboxMail.id, old, stop)


def _queue_again(mail_ids: Sequence[UUID]) -> int:
    result = db.session.execute(
        update(OutboxMail)
        .where(OutboxMail.id.in_(mail_ids), OutboxMail.state == MailState.FAILED, still_wanted())
        .values(state=MailState.QUEUED, attempts=0, due_at=db_now(), lease_id=None, lease_until=None, last_error=None)
        .execution_options(synchronize_session=False)
    )
    send_after_commit(db.session(), mail_queued)
    return result.rowcount  # type: ignore[attr-defined,no-any-return]


def _longest(ages: Iterable[timedelta]) -> float:
    """In seconds, and not less than 0, since clocks differ."""
    return max([0.0, *(age.total_seconds() for age in ages)])
