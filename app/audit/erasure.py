"""Taking people out of the audit trail. Only names and addresses are emptied; the lines stay under their ids.

All of it runs in the caller's transaction, which has locked the clients and accounts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, update

from app.core.text import fold
from app.extensions import db
from app.models import AuditIdentity
from app.models.types import in_list


def forget_clients(portal_id: str, client_ids: Collection[UUID]) -> None:
    """Empty what clients were called that are removed."""
    theirs = AuditIdentity.portal_id == portal_id, in_list(AuditIdentity.client_id.expression, "client_ids")
    emptied = update(AuditIdentity).where(*theirs).values(name=None, email=None)
    db.session.connection().execute(emptied, {"client_ids": list(client_ids)})


def forget_portal(portal_id: str) -> None:
    """Empty everything that the trail of a deleted portal names."""
    _empty(AuditIdentity.portal_id == portal_id)


def forget_accounts(user_ids: Collection[int]) -> None:
    """Empty what accounts were called that are deleted, in every portal."""
    _empty(AuditIdentity.user_id.in_(user_ids))


def forget_owner(user_id: int, email: str) -> None:
    """Empty what an account was called that its owner deletes, in every portal, also before it was one.

    Clients with this address keep it: they stand in the tables of their portals.
    """
    before = and_(AuditIdentity.user_id.is_(None), AuditIdentity.client_id.is_(None), AuditIdentity.email == email)
    _empty(or_(AuditIdentity.user_id == user_id, before))


def names_of_accounts(user_ids: Collection[int]) -> Sequence[str]:
    """What these accounts were ever called, as far as trails tell: people change their names."""
    named = AuditIdentity.user_id.in_(user_ids), AuditIdentity.name.is_not(None)
    names = db.session.scalars(select(AuditIdentity.name).where(*named).distinct().order_by(AuditIdentity.name))
    return [name for name in names if name]


def names_address(
    portal_id: str | None, emails: Collection[str], *, but_of: Collection[int] = ()
) -> ColumnElement[bool]:
    """The condition for what trails name by one of these addresses, but for some accounts, in one portal or in all."""
    user_id = AuditIdentity.user_id
    is_others = or_(user_id.is_(None), user_id.not_in(but_of))
    return and_(*_in(portal_id), AuditIdentity.email.in_(emails), is_others)


def forget_person(
    emails: Collection[str],
    user_ids: Collection[int],
    mentions: re.Pattern[str],
    portal_id: str | None = None,
    *,
    but_of: Collection[int] = (),
) -> None:
    """Empty what names a person, in one portal or in all: their accounts, their addresses, and what mentions them.

    `mentions` finds their addresses and names in a folded text: the name of a thing may hold one. `but_of`: accounts
    that stay as they are.
    """
    here = _in(portal_id)
    is_theirs = and_(*here, AuditIdentity.user_id.in_(user_ids), AuditIdentity.user_id.not_in(but_of))
    _empty(or_(is_theirs, names_address(portal_id, emails, but_of=but_of)))
    things = AuditIdentity.user_id.is_(None), AuditIdentity.client_id.is_(None), AuditIdentity.name.is_not(None)
    names = db.session.scalars(select(AuditIdentity.name).where(*here, *things).distinct()).all()
    if telling := [name for name in names if name and mentions.search(fold(name))]:
        _empty(and_(*here, *things, AuditIdentity.name.in_(telling)))


def _in(portal_id: str | None) -> Sequence[ColumnElement[bool]]:
    return [AuditIdentity.portal_id == portal_id] if portal_id is not None else []


def _empty(which: ColumnElement[bool]) -> None:
    db.session.execute(
        update(AuditIdentity).where(which).values(name=None, email=None).execution_options(synchronize_session=False)
    )
