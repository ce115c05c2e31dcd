"""Enqueues mails, and says how many of a portal wait and whether one has surely not arrived."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from flask import current_app
from sqlalchemy import func, select

from app.core.ids import new_id
from app.core.signals import mail_queued
from app.db.transactions import send_after_commit
from app.extensions import db
from app.models import PORTAL_MAILS, MailKind, MailState, OutboxMail
from app.outbox.priorities import queue_for


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
    """Write a mail to be sent, in the caller's transaction. The mail goes out if and only if that commits."""
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
        queue=queue_for(kind, portal_id),
    )
    db.session.add(mail)
    send_after_commit(db.session(), mail_queued)
    return mail


def message_id_of(mail_id: UUID) -> str:
    """The Message-ID of a mail. The same on every attempt."""
    [message_id] = message_ids_of([mail_id])
    return message_id


def message_ids_of(mail_ids: Iterable[UUID]) -> list[str]:
    """The Message-IDs of many mails, in their order."""
    host = current_app.config["SETTINGS"].public_host
    return [f"<{mail_id.hex}@{host}>" for mail_id in mail_ids]


_NOT_ARRIVED = OutboxMail.state == MailState.FAILED, OutboxMail.unknown_outcomes == 0


def has_not_arrived(kind: MailKind, generation: int, **whose: object) -> bool:
    """Whether the mail of a link has failed for good, and no attempt has an unknown outcome.

    `whose`: column values that identify the mail among those of its kind and generation. If this is True, nobody but
    the mail server has seen the link. False for a mail that is queued again, because it may still arrive.
    """
    query = select(OutboxMail.id).where(*_NOT_ARRIVED, OutboxMail.kind == kind)
    return db.session.scalar(query.filter_by(generation=generation, **whose).limit(1)) is not None


def has_mail_not_arrived(mail_id: UUID) -> bool:
    """Like `has_not_arrived`, for the mail with this id. False if it has been deleted since."""
    return db.session.scalar(select(OutboxMail.id).where(*_NOT_ARRIVED, OutboxMail.id == mail_id)) is not None


def waiting_mails(portal_id: str) -> int:
    """The number of a portal's own mails that are still queued."""
    waits = (
        OutboxMail.portal_id == portal_id,
        OutboxMail.state == MailState.QUEUED,
        OutboxMail.kind.in_(PORTAL_MAILS),
    )
    return db.session.scalar(select(func.count()).select_from(OutboxMail).where(*waits)) or 0
