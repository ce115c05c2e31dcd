"""The outbox's state machine: enqueue, claim, last look, settle.

    queued --claim--> sending --settle--> sent | failed
       ^                 |
       +---- later ------+

A claim is a lease: it ends by itself when its holder dies, by the database's clock. Every step names the lease it
acts under, and does nothing when the mail is no longer held by it, so a process that wakes too late changes nothing.
Whoever sends mails does these steps for several at a time; each function acts in its caller's transaction.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import cast
from uuid import UUID, uuid4

from flask import current_app
from sqlalchemy import Connection, Float, Integer, Select, Table, bindparam, func, select, update

from app.clock import db_now
from app.extensions import db
from app.ids import new_id
from app.models import MailKind, MailState, OutboxMail
from app.outbox import held
from app.outbox.handlers import by_handler, by_what_they_hold, handler_of
from app.outbox.lanes import first_lane, retry_lane
from app.outbox.mail import HeldMail
from app.outbox.smtp import CannotBuild, DeliveryError, RefusedForGood, ServerAtFault, UnknownOutcome
from app.prepared import Prepared
from app.signals import mail_queued, send_after_commit

LEASE_SECONDS = 60
CLAIM_SIZE = 100
GIVE_UP_AFTER_ATTEMPTS = 24
"""The pauses between so many attempts add up to three days. Counted in attempts, since a mail that waited for its
server, or for the settings of one, was not tried meanwhile."""

_FIRST_RETRY_SECONDS = 20
_LONGEST_RETRY_SECONDS = 4 * 60 * 60


# Writing mails


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
        lane=first_lane(kind, portal_id),
    )
    db.session.add(mail)
    send_after_commit(db.session(), mail_queued)
    return mail


def message_id_of(mail_id: UUID) -> str:
    """The Message-ID of a mail, the same on every attempt."""
    return f"<{mail_id.hex}@{current_app.config['SETTINGS'].public_host}>"


def has_not_arrived(kind: MailKind, generation: int, **whose: object) -> bool:
    """Whether the mail of a link has failed for good, and each of its attempts is known to have done so.

    `whose`: what tells the mail from those of others, by the columns' names. Nobody but the mail server has seen the
    link then. A mail that is queued again may still arrive.
    """
    query = select(OutboxMail.id).where(
        OutboxMail.state == MailState.FAILED, OutboxMail.unknown_outcomes == 0, OutboxMail.kind == kind
    )
    return db.session.scalar(query.filter_by(generation=generation, **whose).limit(1)) is not None


# Claiming


def has_due_mail() -> bool:
    """Whether there may be something to claim: a cheap read, asked before the write lock is taken."""
    return bool(due_lanes()) or db.session.scalar(_lapsed().limit(1)) is not None


def due_lanes() -> Sequence[str]:
    """The lanes in which a mail is due. Costs two looks into an index for each lane that has any, not for each mail."""
    queued = OutboxMail.state == MailState.QUEUED
    lanes = select(func.min(OutboxMail.lane).label("lane")).where(queued).cte("lanes", recursive=True)
    following = select(func.min(OutboxMail.lane)).where(queued, OutboxMail.lane > lanes.c.lane).scalar_subquery()
    lanes = lanes.union_all(select(following).where(lanes.c.lane.is_not(None)))
    first_due = select(func.min(OutboxMail.due_at)).where(queued, OutboxMail.lane == lanes.c.lane).scalar_subquery()
    return db.session.scalars(select(lanes.c.lane).where(lanes.c.lane.is_not(None), first_due <= db_now())).all()


def free_lapsed(in_hand: Sequence[HeldMail] = ()) -> None:
    """Put mails back whose holder has died, or was gone for too long.

    Not those that the caller itself has in hand: after a database was away for long, it alone knows what came of them.
    """
    lapsed = _lapsed().where(OutboxMail.id.not_in([mail.id for mail in in_hand]))
    db.session.execute(
        update(OutboxMail)
        .where(OutboxMail.id.in_(lapsed.with_for_update(skip_locked=True)))
        .values(state=MailState.QUEUED, lease_id=None, lease_until=None)
        .execution_options(synchronize_session=False)
    )


_MAIL = cast(Table, OutboxMail.__table__)
_CLAIM = Prepared(
    update(_MAIL)
    .where(
        _MAIL.c.id.in_(
            select(_MAIL.c.id)
            .where(_MAIL.c.state == MailState.QUEUED, _MAIL.c.lane == bindparam("lane"), _MAIL.c.due_at <= db_now())
            .order_by(_MAIL.c.due_at)
            .limit(bindparam("limit", type_=Integer))
            .with_for_update(skip_locked=True)
        )
    )
    .values(
        state=MailState.SENDING,
        lease_id=bindparam("new_lease"),
        lease_until=db_now(bindparam("lease", type_=Float)),
    )
    .returning(*(_MAIL.c[field.name] for field in fields(HeldMail)))
)


def claim(over: Connection, lane: str, limit: int = CLAIM_SIZE) -> list[HeldMail]:
    """Take up to `limit` due mails of a lane for one lease, which each of them names; oldest due first."""
    found = _CLAIM.run(over, lane=lane, limit=limit, new_lease=uuid4(), lease=LEASE_SECONDS)
    return sorted((HeldMail(*row) for row in found), key=lambda mail: (mail.due_at, mail.id.int))


def renew(mails: Sequence[HeldMail]) -> None:
    """Let the leases of mails begin anew that are to wait longer for their turn; those are left that others change."""
    held.apply(held.renewing(), mails, lease=LEASE_SECONDS)


def release(mails: Sequence[HeldMail]) -> None:
    """Give back what is held and was not tried."""
    held.apply(held.RELEASE, mails)


# Sending


def last_look(mails: Sequence[HeldMail]) -> Sequence[HeldMail]:
    """SQLite's last look before mails go out: those to be sent, their leases renewed and the attempt counted.

    One is not when it was removed, when another process holds it now, or when what it says is no longer true
    (a resend, a removal or a registration came in between); then it is deleted.
    """
    begun = held.apply(held.begin_attempts(), mails, lease=LEASE_SECONDS)
    if len(begun) < len(mails):
        held.delete_unwanted([mail for mail in mails if mail.id not in begun])
    return with_attempts(mails, begun)


def with_attempts(mails: Sequence[HeldMail], begun: Mapping[UUID, held.Told]) -> Sequence[HeldMail]:
    """Those of the mails whose attempt was begun, with its number."""
    # A process whose database was away for long may have claimed a mail once more that it had in stock already: only
    # the one under the newer lease can be marked afterwards.
    wanted = [mail for mail in mails if mail.id in begun and begun[mail.id].lease_id == mail.lease_id]
    for mail in wanted:
        mail.attempts = begun[mail.id].attempts
    return wanted


def settle(done: Sequence[tuple[HeldMail, DeliveryError | None]], at: datetime) -> None:
    """Mark what came of offering mails to their server, as of a moment; without an error it has taken them.

    Does nothing for mails that others hold by now.
    """
    if db.engine.dialect.name == "postgresql":  # SQLite is all ours
        for handler, mails in by_what_they_hold(mail for mail, _ in done):
            handler.hold(mails)
    _settle_sent([mail for mail, error in done if error is None], at)
    for mail, error in done:
        match error:
            case None:
                pass
            case RefusedForGood() | CannotBuild():
                _settle_failed(mail, error)
            case ServerAtFault():
                # Nothing is held against the mail.
                held.apply(held.RELEASE_UNTRIED, [mail])
            case _:
                _settle_later(mail, error)


def retry_pause_seconds(attempts: int) -> float:
    """Pause before the next try: about 20, 60 and 180 s and so on up to 4 hours, each a little different."""
    pause: float = min(_FIRST_RETRY_SECONDS * 3 ** (attempts - 1), _LONGEST_RETRY_SECONDS)
    return pause * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


def _settle_sent(mails: Sequence[HeldMail], at: datetime) -> None:
    if not mails:
        return
    for handler, ours in by_handler(mails):
        handler.handed_over(ours, at)
    held.MARK_SENT.run(db.session.connection(), **held.keys_of(mails), at=at)


def _settle_failed(mail: HeldMail, error: DeliveryError) -> None:
    if held.apply(held.MARK_FAILED, [mail], reason=error.reason, answered=_answered(error)):
        handler_of(mail.kind).given_up(mail, error.reason)


def _settle_later(mail: HeldMail, error: DeliveryError) -> None:
    if mail.attempts >= GIVE_UP_AFTER_ATTEMPTS:
        _settle_failed(mail, error)
        return
    pause, lane = retry_pause_seconds(mail.attempts), retry_lane(mail.kind, mail.portal_id)
    held.apply(held.MARK_LATER, [mail], reason=error.reason, retry_lane=lane, pause=pause, answered=_answered(error))


def _answered(error: DeliveryError) -> int:
    return 0 if isinstance(error, UnknownOutcome) else 1


def _lapsed() -> Select[UUID]:
    return select(OutboxMail.id).where(OutboxMail.state == MailState.SENDING, OutboxMail.lease_until <= db_now())
