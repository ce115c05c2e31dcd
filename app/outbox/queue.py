"""The outbox as a queue: which mails are due, fetching them for an attempt, and recording results.

A worker does these steps for several mails at a time. Each function acts in its caller's transaction.
`app.queue.leases` explains leases.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Float, Integer, Select, bindparam, delete, func, not_, or_, select
from sqlalchemy.sql.dml import ReturningDelete

from app.extensions import db
from app.models import ImportedClient, MailKind, MailState, OutboxMail, User
from app.models.types import db_now, in_list
from app.outbox import refusals
from app.outbox.errors import (
    AmbiguousOutcome,
    DeliveryError,
    InvalidMessage,
    PermanentFailure,
    ServerFailure,
    UndecidedRefusal,
)
from app.outbox.kinds import Policies, by_kind, rules_of, still_wanted
from app.outbox.leased_email import LeasedEmail
from app.outbox.priorities import Priority, queue_for
from app.outbox.routing import DEPLOYMENT
from app.queue.leases import LeasedQueue, jittered, timings

GIVE_UP_AFTER_ATTEMPTS = 24
"""The pauses between this many attempts add up to three days. Attempts are counted, not days, because a mail that waits
for its server or for the server's settings is not tried meanwhile."""


def tried_for(attempts: int) -> timedelta:
    """From its next attempt on, how long a mail that has had so many is tried before it is given up."""
    pauses = (timings().retry_pause(number) for number in range(attempts + 1, GIVE_UP_AFTER_ATTEMPTS))
    return timedelta(seconds=sum(pauses))


_QUEUE = LeasedQueue(OutboxMail, MailState, OutboxMail.kind.in_([*MailKind]))
_MAIL = _QUEUE.table


class Outcome(NamedTuple):
    """The result of offering a mail to a server. No error means that the server has taken the mail."""

    mail: LeasedEmail
    error: DeliveryError | None
    server: str = DEPLOYMENT
    """The key of the route that it took."""


# Fetching


def may_have_work() -> ColumnElement[bool]:
    """Whether there may be something to fetch, as a part of a query. Cheap to ask."""
    return or_(_due_queues().exists(), _QUEUE.has_stalled)


def has_due_mail() -> bool:
    """Whether there may be something to fetch. A cheap read, for use before taking the write lock."""
    return bool(db.session.scalar(select(may_have_work())))


def due_queues() -> dict[str, datetime]:
    """The queues in which a mail is due, each with the time since when its first mail is.

    Costs two index lookups for each queue that has mails, not for each mail.
    """
    return dict(db.session.execute(_due_queues()).all())


def _due_queues() -> Select[str, datetime]:
    queued = OutboxMail.state == MailState.QUEUED
    queues = select(func.min(OutboxMail.queue).label("queue")).where(queued).cte("queues", recursive=True)
    following = select(func.min(OutboxMail.queue)).where(queued, OutboxMail.queue > queues.c.queue).scalar_subquery()
    queues = queues.union_all(select(following).where(queues.c.queue.is_not(None)))
    first = select(func.min(OutboxMail.due_at)).where(queued, OutboxMail.queue == queues.c.queue, _QUEUE.is_known)
    first_due = first.scalar_subquery()
    return select(queues.c.queue, first_due).where(queues.c.queue.is_not(None), first_due <= db_now())


def release_stalled(in_hand: Iterable[LeasedEmail] = ()) -> None:
    """Queue mails again whose holder died or was away for too long, except those that the caller has in hand."""
    _QUEUE.release_stalled([mail.id for mail in in_hand])


_DUE = (
    select(_MAIL.c.id)
    .where(_QUEUE.is_due, _MAIL.c.queue == bindparam("of_queue"))
    .order_by(_MAIL.c.due_at)
    .limit(bindparam("limit", type_=Integer))
)


def _fetching(due: Select[Any]) -> Any:
    leasing = _QUEUE.fetching(due, unknown_outcomes=_MAIL.c.unknown_outcomes + 1)
    return leasing.returning(*(_MAIL.c[field.name] for field in fields(LeasedEmail)))


_FETCH = _fetching(_DUE)


def _goes_elsewhere(domains: Iterable[str]) -> ColumnElement[bool]:
    """Whether a mail goes to none of these domains."""
    return not_(or_(*(_MAIL.c.recipient.endswith(f"@{domain}", autoescape=True) for domain in domains)))


def queues_with_mails_elsewhere(queues: Collection[str], domains: Collection[str]) -> list[str]:
    """Those of these queues in which a mail is due that goes to none of these domains."""
    if not domains:
        return list(queues)
    due = select(_MAIL.c.queue).where(_QUEUE.is_due, _MAIL.c.queue.in_(queues), _goes_elsewhere(domains)).distinct()
    return list(db.session.scalars(due))


@cache
def _deleting_unwanted(kinds: frozenset[MailKind]) -> ReturningDelete[UUID]:
    return delete(_MAIL).where(in_list(_MAIL.c.id, "ids"), not_(still_wanted(kinds))).returning(_MAIL.c.id)


def fetch(queue: str, limit: int, avoiding: Collection[str] = ()) -> tuple[list[LeasedEmail], int]:
    """Lease up to `limit` due mails of a queue, oldest due first. All of them get the same lease, which each one names.

    `avoiding`: domains to which no mail is wanted now.

    The attempt is counted as an unknown outcome until its result is recorded. A mail is deleted if a resend, a
    removal or a registration has made its content untrue, so that it is no longer wanted. Returns the mails to send,
    and how many were found in all, the deleted ones included.
    """
    statement = _fetching(_DUE.where(_goes_elsewhere(avoiding))) if avoiding else _FETCH
    found = [LeasedEmail(*tuple(row)) for row in _QUEUE.fetch(statement, of_queue=queue, limit=limit)]
    if not found:
        return [], 0
    deleting = _deleting_unwanted(frozenset(mail.kind for mail in found))
    deleted = db.session.connection().execute(deleting, {"ids": [mail.id for mail in found]})
    unwanted = set(deleted.scalars())
    mails = [mail for mail in found if mail.id not in unwanted]
    return sorted(mails, key=lambda mail: (mail.due_at, mail.id.int)), len(found)


# Recording

# The attempt was counted as unknown when it was fetched. `known`: 1 if its outcome is known now, else 0.
_LESS_KNOWN = _MAIL.c.unknown_outcomes - bindparam("known", type_=Integer)
_TAKEN: dict[str, Any] = {"state": MailState.SENT, "sent_at": bindparam("at"), "last_error": None}
_SENT = _QUEUE.finishing(**_TAKEN)
# In most batches all mails were sent and have a client. Then one statement locks the clients and records the mails.
_SENT_TO_CLIENTS = _QUEUE.finishing(
    select(_MAIL.c.id)
    .where(
        _QUEUE.is_leased,
        ImportedClient.portal_id == _MAIL.c.portal_id,
        ImportedClient.id == _MAIL.c.client_id,
    )
    .order_by(ImportedClient.portal_id, ImportedClient.id)
    .with_for_update(of=[ImportedClient, _MAIL], key_share=True)
    .correlate(None),
    **_TAKEN,
)
_FAILED = _QUEUE.finishing(
    state=MailState.FAILED,
    last_error=bindparam("reason"),
    unknown_outcomes=_LESS_KNOWN,
    refused_by=bindparam("refused_by"),
)
_LATER = _QUEUE.finishing(
    state=MailState.QUEUED,
    queue=bindparam("retry_queue"),
    due_at=db_now(bindparam("pause", type_=Float)),
    last_error=bindparam("reason"),
    unknown_outcomes=_LESS_KNOWN,
)
_UNCOUNTED: dict[str, Any] = {
    "state": MailState.QUEUED,
    "attempts": _MAIL.c.attempts - 1,
    "unknown_outcomes": _MAIL.c.unknown_outcomes - 1,
}
_UNTRIED = _QUEUE.finishing(**_UNCOUNTED)
_UNDECIDED = _QUEUE.finishing(
    **_UNCOUNTED,
    queue=bindparam("retry_queue"),
    due_at=db_now(bindparam("pause", type_=Float)),
    last_error=bindparam("reason"),
    refused_by=bindparam("refused_by"),
    refusals=_MAIL.c.refusals + 1,
)


def record_results(done: Sequence[Outcome], at: datetime, policies: Policies) -> None:
    """Record the results of offering mails to their server, as of a moment.

    `policies` are the ones that the mails were rendered with. Does nothing for mails that others hold by now.
    """
    if not done:
        return
    sent = [one.mail for one in done if one.error is None]
    if len(sent) == len(done) and all(mail.client_id for mail in sent):
        recorded = _QUEUE.finish(_SENT_TO_CLIENTS, sent, at=at)
    else:
        lock_owners([one.mail for one in done])
        recorded = _QUEUE.finish(_SENT, sent, at=at)
    for rules, mails in by_kind(mail for mail in sent if mail.id in recorded):
        rules.on_sent(mails, at, policies)
    for mail, error, server in done:
        if error is not None:
            _record_failure(mail, refusals.decided(mail, error, server), server)


_CLIENTS = (
    select(ImportedClient.id)
    .where(
        in_list(ImportedClient.portal_id.expression, "portals"),
        in_list(ImportedClient.id.expression, "clients"),
    )
    .order_by(ImportedClient.portal_id, ImportedClient.id)
    .with_for_update(key_share=True)
)
_ACCOUNTS = (
    select(User.id).where(in_list(User.id.expression, "users")).order_by(User.id).with_for_update(key_share=True)
)


def lock_owners(mails: Sequence[LeasedEmail]) -> None:
    """Lock the mails' clients, and then their accounts. Everyone locks these before mails: see `transaction`."""
    connection = db.session.connection()
    if connection.dialect.name != "postgresql":  # SQLite has only one writer at a time
        return
    clients = [(mail.portal_id, mail.client_id) for mail in mails if mail.client_id is not None]
    if clients:
        portals, ids = ({*column} for column in zip(*clients, strict=True))
        connection.execute(_CLIENTS, {"portals": list(portals), "clients": list(ids)})
    users = {mail.user_id for mail in mails if mail.user_id is not None}
    if users:
        connection.execute(_ACCOUNTS, {"users": list(users)})


def _record_failure(mail: LeasedEmail, error: DeliveryError, server: str) -> None:
    known = 0 if isinstance(error, AmbiguousOutcome) else 1
    match error:
        case UndecidedRefusal():
            pause = timings().retry_pause(mail.refusals + 1)
            _try_later(_UNDECIDED, mail, error, pause, refused_by=server)
        case ServerFailure():
            # The server is at fault, so this attempt does not count against the mail.
            _QUEUE.finish(_UNTRIED, [mail])
        case _ if isinstance(error, PermanentFailure | InvalidMessage) or mail.attempts >= GIVE_UP_AFTER_ATTEMPTS:
            refused_by = server if refusals.may_be_servers(error) else None
            if _QUEUE.finish(_FAILED, [mail], reason=error.reason, known=known, refused_by=refused_by):
                rules_of(mail.kind).on_failed(mail, error.reason)
        case _:
            _try_later(_LATER, mail, error, timings().retry_pause(mail.attempts), known=known)


def _try_later(statement: Any, mail: LeasedEmail, error: DeliveryError, pause: float, **values: object) -> None:
    queue = queue_for(mail.kind, mail.portal_id, Priority.RETRY)
    _QUEUE.finish(statement, [mail], reason=error.reason, retry_queue=queue, pause=jittered(pause), **values)
