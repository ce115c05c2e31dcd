"""Which clients a view of the table matches, as conditions and subqueries that use the indexes."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import TypeVarTuple
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Select, and_, not_, or_, select, union_all

from app.clients.list_params import Health, TableView
from app.clients.rows import EXPIRES_SOON, ON_ITS_WAY, UNDELIVERED
from app.core.clock import now
from app.core.text import fold
from app.models import ClientStatus, ImportedClient, MailKind, OutboxMail

COUNT_LIMIT = 1000
"""Counts are exact up to this number. Beyond it, "more than" is good enough and saves the counting."""

MAIL_OF_CLIENT = and_(
    OutboxMail.portal_id == ImportedClient.portal_id,
    OutboxMail.client_id == ImportedClient.id,
    OutboxMail.kind == MailKind.INVITATION,
    OutboxMail.generation == ImportedClient.generation,
)
"""Joins a client with the mail of its current invitation. Mails are pruned long after sending, so it may find none."""

Columns = TypeVarTuple("Columns")

_BY_MAIL = {Health.WAITING, Health.FAILED}
"""The filters that the state of the mail alone decides."""
_PENDING = ImportedClient.status == ClientStatus.INVITE_SENT
_UNREGISTERED = ImportedClient.registered_at.is_(None)


@dataclass(frozen=True)
class Moments:
    """The times that expiry is compared with: values, or bind parameters of a cached query."""

    at: datetime | BindParameter[datetime]
    soon: datetime | BindParameter[datetime]

    @classmethod
    def now(cls) -> Moments:
        at = now()
        return cls(at, at + EXPIRES_SOON)


class _Reason(Enum):
    """Reasons for attention that are not values of `Health`."""

    UNVERIFIED = auto()
    EXPIRES_SOON = auto()


def matching_keys(portal_id: str | BindParameter[str], view: TableView, moments: Moments) -> Select[str, UUID]:
    """Portal and id of the matching clients, unordered, and no more of them than `COUNT_LIMIT` + 1."""
    if view.health is not Health.ATTENTION:
        return _keys(portal_id, view, view.health, moments).limit(COUNT_LIMIT + 1)
    # Each reason has its own index, and OR would use none of them. `_keys` finds a client with several reasons only by
    # the first, so UNION ALL has no duplicates. The most frequent reason comes first, because it often fills the limit.
    reasons = (_Reason.EXPIRES_SOON, _Reason.UNVERIFIED, Health.FAILED)
    keys = (_keys(portal_id, view, reason, moments) for reason in reasons)
    found = union_all(*keys).subquery()
    return select(found.c.portal_id, found.c.id).limit(COUNT_LIMIT + 1)


def _keys(
    portal_id: str | BindParameter[str], view: TableView, reason: Health | _Reason | None, moments: Moments
) -> Select[str, UUID]:
    """Like `matching_keys`, for one reason in place of the view's health.

    Phrased so that the reason's index is used.
    """
    query = select(ImportedClient.portal_id, ImportedClient.id)
    query = query.where(*matches(portal_id, replace(view, health=None)))
    expires_later = or_(ImportedClient.link_expires_at.is_(None), ImportedClient.link_expires_at > moments.soon)
    match reason:
        case Health.WAITING | Health.FAILED:
            # SQLite starts with the mails, which are few, only if no index finds the clients. `!=` uses no index.
            query = query.join(OutboxMail, MAIL_OF_CLIENT).where(OutboxMail.portal_id == portal_id)
            query = query.where(_is(reason, moments), ImportedClient.status != ClientStatus.JOINED)
            if view.health is Health.ATTENTION:
                query = query.where(_UNREGISTERED, expires_later)
        case Health.EXPIRED:
            query = query.where(_PENDING, _UNREGISTERED, ImportedClient.link_expires_at <= moments.at)
        case _Reason.EXPIRES_SOON:
            query = query.where(_PENDING, ImportedClient.link_expires_at <= moments.soon)
        case _Reason.UNVERIFIED:
            # The same condition as the partial index has, so that only this index fits.
            unverified = (ImportedClient.registered_at.is_not(None), ImportedClient.joined_at.is_(None))
            query = query.where(*unverified, expires_later)
    return query


def narrowed(query: Select[*Columns], portal_id: str, view: TableView) -> Select[*Columns]:
    """Narrow a query for clients to a view's filters. Joins the mails only if a filter needs them."""
    query = query.where(*matches(portal_id, view))
    if view.health in _BY_MAIL:
        return query.join(OutboxMail, MAIL_OF_CLIENT)
    return query.outerjoin(OutboxMail, MAIL_OF_CLIENT) if view.health else query


def matches(portal_id: str | BindParameter[str], view: TableView) -> list[ColumnElement[bool]]:
    conditions = [ImportedClient.portal_id == portal_id]
    if view.statuses:
        conditions.append(ImportedClient.status.in_(view.statuses))
    if view.search:
        conditions.append(or_(_name_contains(view.search), _email_contains(view.search)))
    if view.company_name:
        conditions.append(_name_contains(view.company_name))
    if view.email:
        conditions.append(_email_contains(view.email))
    if view.import_id:
        conditions.append(ImportedClient.import_id == view.import_id)
    if view.health:
        conditions += [_PENDING, _is(view.health, Moments.now())]
    return conditions


def needs_attention(moments: Moments) -> ColumnElement[bool]:
    """Whether a client is one of the filter tab Needs attention. Needs a query that joins the mails."""
    return and_(_PENDING, _is(Health.ATTENTION, moments))


def _name_contains(term: str) -> ColumnElement[bool]:
    return ImportedClient.company_name_folded.contains(fold(term), autoescape=True)


def _email_contains(term: str) -> ColumnElement[bool]:
    """By the invited address, or the present one of a client that has joined."""
    # Addresses are stored in lower case, not folded: folding may turn one letter of a domain into two.
    text = unicodedata.normalize("NFC", term).lower()
    columns = (ImportedClient.email, ImportedClient.account_email)
    return or_(*(column.contains(text, autoescape=True) for column in columns))


def _is(health: Health, moments: Moments) -> ColumnElement[bool]:
    failed = OutboxMail.state.in_(UNDELIVERED)
    match health:
        case Health.WAITING:
            return OutboxMail.state.in_(ON_ITS_WAY)
        case Health.FAILED:
            return failed
        case Health.EXPIRED:
            # Phrased so that no index fits. Otherwise SQLite would use that of the expiry and sort all rows it finds.
            lives = or_(ImportedClient.link_expires_at.is_(None), ImportedClient.link_expires_at > moments.at)
            return and_(_UNREGISTERED, not_(lives))
        case Health.ATTENTION:
            return or_(failed, ~_UNREGISTERED, ImportedClient.link_expires_at <= moments.soon)
