"""The outbox for its operators: the length of the queue, a single mail, trying again, deleting old mails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import func, select, update

from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.clock import now
from app.core.errors import DomainError
from app.core.ids import first_id_at
from app.core.signals import mail_queued
from app.db.batches import change_in_batches, delete_in_batches
from app.db.transactions import send_after_commit, transaction
from app.extensions import db
from app.models import MailState, OutboxMail, Portal
from app.models.types import db_now
from app.outbox import routing
from app.outbox.kinds import still_wanted
from app.outbox.priorities import portal_of
from app.outbox.queue import due_queues

_CAN_BE_RETRIED = (MailState.QUEUED, MailState.FAILED)
_NOT_SENT = (MailState.QUEUED, MailState.SENDING, MailState.FAILED)
_ARRIVED = (MailState.SENT, MailState.COMPLAINED)


@dataclass(frozen=True)
class QueueFigures:
    """The state of the queue. Ages are in seconds; 0 if there is no such mail."""

    mails: dict[MailState, int]
    """The number of mails in each state except sent, because those are too many to count."""
    oldest_waiting_seconds: float
    """The age of the oldest mail that is still to be sent, since it was requested."""
    overdue_seconds: float
    """The longest time that a due mail has waited for a worker, of those whose server is set up and not paused."""


@dataclass(frozen=True)
class StatusLine:
    """The mails of one state and portal. The portal is None for mails that belong only to an account."""

    state: MailState
    portal_id: str | None
    count: int
    oldest: datetime


def queue_figures() -> QueueFigures:
    """The figures of the queue, read with two queries that use the index on the state."""
    rows = db.session.execute(
        select(OutboxMail.state, func.count(), func.min(OutboxMail.created_at))
        .where(OutboxMail.state.in_(_NOT_SENT))
        .group_by(OutboxMail.state)
    ).all()
    waiting = [row for row in rows if row[0] is not MailState.FAILED]
    return QueueFigures(
        mails=dict.fromkeys(_NOT_SENT, 0) | {state: count for state, count, _created_at in rows},
        oldest_waiting_seconds=_longest(now() - created_at for _state, _count, created_at in waiting),
        overdue_seconds=_longest(_overdue()),
    )


def _overdue() -> Iterator[timedelta]:
    """For how long mails have waited for a worker, of those that could be sent."""
    stalled = select(func.min(OutboxMail.lease_until)).where(OutboxMail.state == MailState.SENDING)
    at, lease_until = db.session.execute(select(db_now(), stalled.scalar_subquery())).one()
    if lease_until is not None:
        yield at - lease_until
    due = due_queues()
    routes = routing.routes_of({portal_of(queue) for queue in due})
    pauses = routing.paused_servers()
    for queue, since in due.items():
        route = routes.get(portal_of(queue))
        if route is not None and route.fault is None:
            pause = pauses.get(route.key)
            yield at - (max(since, pause.until) if pause else since)


def status() -> Sequence[StatusLine]:
    """The number of mails by state and portal, in the order of states."""
    rows = db.session.execute(
        select(OutboxMail.state, OutboxMail.portal_id, func.count(), func.min(OutboxMail.created_at)).group_by(
            OutboxMail.state, OutboxMail.portal_id
        )
    ).all()
    order = list(MailState)
    return sorted((StatusLine(*row) for row in rows), key=lambda line: (order.index(line.state), line.portal_id or ""))


def find_mail(mail_id: UUID) -> OutboxMail:
    """Find one mail. Raises `DomainError` if no mail has this id."""
    mail = db.session.get(OutboxMail, mail_id)
    if mail is None:
        raise DomainError(_("There is no email with the id %(id)s.", id=mail_id))
    return mail


def retry_mail(mail_id: UUID) -> None:
    """Make a waiting mail due, or queue a failed one again, as if it had never been tried.

    Raises `DomainError` if no mail has this id, if the mail neither waits nor has failed, or if it is no longer wanted.
    """
    mail = find_mail(mail_id)
    if mail.state not in _CAN_BE_RETRIED:
        raise DomainError(_("Email %(id)s can't be retried: it is %(state)s.", id=mail_id, state=mail.state))
    with transaction():
        if not _queue_again([mail_id], _CAN_BE_RETRIED):
            raise DomainError(
                _("Email %(id)s is no longer wanted: there is a newer one, or its link has been used.", id=mail_id)
            )


def retry_failed(portal_id: str | None = None) -> int:
    """Queue all failed mails that are still wanted again, of one portal or of all. Returns how many.

    Raises `DomainError` for a portal that does not exist.
    """
    if portal_id is not None and db.session.get(Portal, portal_id) is None:
        raise DomainError(_("There is no portal with the id %(id)s.", id=portal_id))
    failed = select(OutboxMail.id).where(OutboxMail.state == MailState.FAILED).order_by(OutboxMail.id)
    if portal_id is not None:
        failed = failed.where(OutboxMail.portal_id == portal_id)
    return change_in_batches(db.session.scalars(failed).all(), _queue_again)


def prune_sent(keep_days: int, stop: Event) -> int:
    """Delete the mails that were sent more than `keep_days` days ago, until `stop` is set. Returns how many.

    Mails in other states stay, because a client without a mail is shown as one whose mail was sent.
    """
    long_ago = now() - timedelta(days=keep_days)
    old = (
        select(OutboxMail.id)
        # A mail is written before it is sent, and ids are in the order of time. So the index on the id narrows the
        # search.
        .where(OutboxMail.id < first_id_at(long_ago), OutboxMail.state.in_(_ARRIVED), OutboxMail.sent_at < long_ago)
        .order_by(OutboxMail.id)
    )
    return delete_in_batches(OutboxMail.id, old, stop)


def prune_unaddressed(stop: Event) -> int:
    """Delete the mails for addresses without an account that no worker deleted within a day, until `stop` is set.

    They remain only if there is no mail server, so that no worker fetches mails. Returns how many were deleted.
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


def _queue_again(mail_ids: Sequence[UUID], states: Sequence[MailState] = (MailState.FAILED,)) -> int:
    portals = db.session.scalars(
        update(OutboxMail)
        .where(OutboxMail.id.in_(mail_ids), OutboxMail.state.in_(states), still_wanted())
        .values(
            state=MailState.QUEUED,
            attempts=0,
            due_at=db_now(),
            last_error=None,
            refused_by=None,
            refusals=0,
        )
        .returning(OutboxMail.portal_id)
        .execution_options(synchronize_session=False)
    ).all()
    for portal_id, mails in sorted(Counter(filter(None, portals)).items()):
        audit.record(portal_id, AuditKind.MAILS_RETRIED, change={"mails": mails})
    send_after_commit(db.session(), mail_queued)
    return len(portals)


def _longest(ages: Iterable[timedelta]) -> float:
    """The longest age in seconds. Never below 0, although clocks differ."""
    return max([0.0, *(age.total_seconds() for age in ages)])
