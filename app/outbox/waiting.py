"""The mails of a copy of the database that wait to be released, and dropping those that were due long ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update

from app.db.batches import change_in_batches
from app.extensions import db
from app.models import MailState, OutboxMail
from app.outbox.kinds import rules_of, still_wanted
from app.outbox.leased_email import LeasedEmail
from app.outbox.queue import lock_owners
from app.queue.waiting import DROPPED, Waiting, waiting_by_kind

_WAITS = OutboxMail.state.in_((MailState.QUEUED, MailState.SENDING))


def waiting_mails() -> list[Waiting]:
    """The mails that wait and are still wanted."""
    return waiting_by_kind(OutboxMail.kind, OutboxMail.created_at, OutboxMail.due_at, _WAITS, still_wanted())


def mails_due_before(moment: datetime) -> Sequence[UUID]:
    """The mails that wait, are still wanted, and were due before a moment."""
    due = select(OutboxMail.id).where(_WAITS, still_wanted(), OutboxMail.due_at < moment).order_by(OutboxMail.id)
    return db.session.scalars(due).all()


def drop_mails(before: datetime) -> int:
    """Let those mails fail that were due before a moment. Returns how many.

    The original may have sent them, so each counts as one that may have arrived: its link stays valid.
    """
    return change_in_batches(mails_due_before(before), _drop)


def _drop(ids: Sequence[UUID]) -> int:
    columns = [getattr(OutboxMail, field.name) for field in fields(LeasedEmail)]
    query = select(*columns).where(OutboxMail.id.in_(ids)).order_by(OutboxMail.id)
    mails = [LeasedEmail(*row) for row in db.session.execute(query)]
    lock_owners(mails)
    dropping = (
        update(OutboxMail)
        .where(OutboxMail.id.in_(ids), _WAITS)
        .values(
            state=MailState.FAILED,
            lease_id=None,
            lease_until=None,
            last_error=DROPPED,
            refused_by=None,
            unknown_outcomes=OutboxMail.unknown_outcomes + 1,
        )
    )
    dropped = set(db.session.connection().scalars(dropping.returning(OutboxMail.id)))
    for mail in mails:
        if mail.id in dropped:
            rules_of(mail.kind).on_failed(mail, DROPPED)
    return len(dropped)
