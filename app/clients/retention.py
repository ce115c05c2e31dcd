"""How long clients and histories are kept, where the operator has set a limit: the job `retention`.

Invitations that nobody accepted are removed like any other client, by nobody. Clients that have joined stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from uuid import UUID

from flask import current_app
from sqlalchemy import ColumnElement, and_, exists, func, or_, select

from app.audit import service as audit
from app.audit.service import AuditKind
from app.clients.removal import delete_clients
from app.clients.rows import ON_ITS_WAY
from app.core.clock import now
from app.core.ids import first_id_at
from app.db.batches import delete_in_batches
from app.db.transactions import transaction
from app.extensions import db
from app.models import (
    ClientEvent,
    ClientStatus,
    ImportedClient,
    MailKind,
    MailState,
    OutboxMail,
    Portal,
)
from config import Settings

JOB_INTERVAL = timedelta(days=1)

_BATCH = 100
_MONTH = timedelta(days=365.25) / 12
_LATE = timedelta(days=7)
"""What should have gone longer ago waits for something else, or no job runs."""
_SETTLED = (MailState.SENT, MailState.FAILED, MailState.BOUNCED, MailState.COMPLAINED)
_NOTICES = (MailKind.JOIN_NOTICE, MailKind.JOIN_DIGEST)


# Invitations that nobody accepted


@dataclass(frozen=True)
class NextRemoval:
    """What the job removes next in a portal."""

    after_days: int
    by: datetime | None
    """When they are gone. None if nothing goes."""
    number: int


def remove_unaccepted(keep_days: int | None, stop: Event) -> int:
    """Remove the clients that did not accept their last invitation in `keep_days` days, until `stop` is set.

    Nobody goes whose link still works, whose mail still waits, or who registered later than that. None keeps all.
    Returns how many were removed.
    """
    if keep_days is None:
        return 0
    removed = 0
    for portal_id in db.session.scalars(select(Portal.id).order_by(Portal.id)).all():
        is_due = _is_over(portal_id, now(), timedelta(days=keep_days))
        ids = db.session.scalars(select(ImportedClient.id).where(is_due).order_by(ImportedClient.id)).all()
        for start in range(0, len(ids), _BATCH):
            if stop.is_set():
                return removed
            removed += _remove(portal_id, ids[start : start + _BATCH], is_due)
    return removed


def next_removal(portal_id: str) -> NextRemoval | None:
    """What goes next in a portal, with two queries that use an index. None if nothing is ever removed."""
    settings: Settings = current_app.config["SETTINGS"]
    if settings.keep_invitations_days is None:
        return None
    keep, at = timedelta(days=settings.keep_invitations_days), now()
    is_not_long_over = ImportedClient.email_last_sent_at >= at - keep - _LATE
    first_sent = db.session.scalar(
        select(ImportedClient.email_last_sent_at)
        .where(_is_pending(portal_id), is_not_long_over, ImportedClient.registered_at.is_(None))
        .order_by(ImportedClient.email_last_sent_at)
        .limit(1)
    )
    if first_sent is None:
        return NextRemoval(keep.days, None, 0)
    by = max(first_sent + keep, at) + JOB_INTERVAL
    going = select(func.count()).where(is_not_long_over, _is_over(portal_id, by, keep))
    number = db.session.scalar(going) or 0
    return NextRemoval(keep.days, by if number else None, number)


def _is_pending(portal_id: str) -> ColumnElement[bool]:
    return and_(ImportedClient.portal_id == portal_id, ImportedClient.status == ClientStatus.INVITE_SENT)


def _is_over(portal_id: str, at: datetime, keep: timedelta) -> ColumnElement[bool]:
    """Whether a client of a portal may go at a moment."""
    registered_at, expires_at = ImportedClient.registered_at, ImportedClient.link_expires_at
    waits = exists().where(
        OutboxMail.portal_id == ImportedClient.portal_id,
        OutboxMail.client_id == ImportedClient.id,
        OutboxMail.state.in_(ON_ITS_WAY),
    )
    return and_(
        _is_pending(portal_id),
        ImportedClient.email_last_sent_at <= at - keep,
        or_(registered_at.is_(None), registered_at <= at - keep),
        or_(expires_at.is_(None), expires_at <= at),
        ~waits,
    )


def _remove(portal_id: str, ids: Sequence[UUID], is_due: ColumnElement[bool]) -> int:
    """Remove those of these clients that are still due. Those that somebody else holds stay until the next day."""
    with transaction() as session:
        clients = session.scalars(
            select(ImportedClient)
            .where(ImportedClient.id.in_(ids), is_due)
            .order_by(ImportedClient.id)
            .with_for_update(skip_locked=True, of=ImportedClient)
            .execution_options(populate_existing=True)
        ).all()
        if clients:
            delete_clients(portal_id, clients, actor_id=None)
            audit.record(portal_id, AuditKind.CLIENTS_REMOVED, change={"clients": len(clients)})
    return len(clients)


# Histories


def prune_histories(keep_months: int | None, stop: Event) -> tuple[int, int]:
    """Delete the events and the mails, older than `keep_months` months, of clients that have joined or were removed.

    Also the mails that told admins about clients. Mails that still wait stay. None keeps all. Returns the numbers of
    events and of mails.
    """
    if keep_months is None:
        return 0, 0
    long_ago = now() - keep_months * _MONTH
    of_pending = exists().where(
        ImportedClient.portal_id == ClientEvent.portal_id,
        ImportedClient.id == ClientEvent.client_id,
        ImportedClient.status == ClientStatus.INVITE_SENT,
    )
    # The newest event stays: SQLite would give its id to the next one, and open pages ask for newer ids only.
    newest = select(func.max(ClientEvent.id)).scalar_subquery()
    events = (
        select(ClientEvent.id)
        .where(ClientEvent.id < newest, ClientEvent.at < long_ago, ~of_pending)
        .order_by(ClientEvent.id)
    )
    has_joined = exists().where(
        ImportedClient.portal_id == OutboxMail.portal_id,
        ImportedClient.id == OutboxMail.client_id,
        ImportedClient.status == ClientStatus.JOINED,
    )
    mails = (
        select(OutboxMail.id)
        .where(
            OutboxMail.id < first_id_at(long_ago),
            OutboxMail.state.in_(_SETTLED),
            or_(OutboxMail.kind.in_(_NOTICES), has_joined),
        )
        .order_by(OutboxMail.id)
    )
    return delete_in_batches(ClientEvent.id, events, stop), delete_in_batches(OutboxMail.id, mails, stop)
