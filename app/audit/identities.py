"""Who and what the lines of the audit trail name. All personal data of the trail is in this one table.

A line refers to what somebody was called when it was added. Whoever is renamed gets a new row beside the old one. Two
transactions may both add the same row; nothing depends on there being one.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, exists, func, insert, select

from app.extensions import db
from app.models import AuditIdentity, ImportedClient, Membership, Role, User


@dataclass(frozen=True)
class Target:
    """What a line is about: an account, a client, an address without an account, or a thing."""

    user_id: int | None = None
    client_id: UUID | None = None
    name: str | None = None
    email: str | None = None


def person(user_id: int) -> Target:
    """An account, with its present name and address."""
    return Target(user_id=user_id)


def client(client_id: UUID) -> Target:
    """A client, with its present company and address. Of one that is not in the table only the id is known."""
    return Target(client_id=client_id)


def address(email: str, name: str | None = None) -> Target:
    """Somebody who has no account yet, by a clean address."""
    return Target(email=email, name=name)


def thing(name: str) -> Target:
    """Whatever else has a name: the host of an endpoint, an origin, the columns of a file. Never a secret."""
    return Target(name=name[: AuditIdentity.name.type.length])


def identity_id(portal_id: str, target: Target) -> int:
    """The id of the row for somebody as they are called now, in the caller's transaction."""
    named = _as_named_now(portal_id, target)
    same = select(AuditIdentity.id).where(
        AuditIdentity.portal_id == portal_id,
        AuditIdentity.user_id == named.user_id,
        AuditIdentity.client_id == named.client_id,
        AuditIdentity.name == named.name,
        AuditIdentity.email == named.email,
    )
    # The lock keeps the retention from deleting it before our line refers to it.
    found = db.session.scalar(same.order_by(AuditIdentity.id).limit(1).with_for_update(read=True, key_share=True))
    if found is not None:
        return found
    values = {"user_id": named.user_id, "client_id": named.client_id, "name": named.name, "email": named.email}
    added = insert(AuditIdentity).values(portal_id=portal_id, **values).returning(AuditIdentity.id)
    return db.session.scalars(added).one()


def _as_named_now(portal_id: str, target: Target) -> Target:
    """The target with name and address. Locks an account, so that an erasure comes either before or after us."""
    if target.user_id is not None:
        account = select(User.name, User.email).where(User.id == target.user_id)
        found = db.session.execute(account.with_for_update(read=True, key_share=True)).first()
        return Target(target.user_id, None, *(found or (None, None)))
    if target.client_id is not None:
        row = select(ImportedClient.company_name, ImportedClient.email)
        here = row.where(ImportedClient.portal_id == portal_id, ImportedClient.id == target.client_id)
        return Target(None, target.client_id, *(db.session.execute(here).first() or (None, None)))
    return target


# Of an account, in all portals where it is client admin or staff


def members(user_id: int | None, only_in: str | None = None) -> Select[Membership]:
    """The account's roles as client admin or staff, of one portal or of all, joined with the account."""
    theirs = (
        select(Membership)
        .join(Membership.user)
        .where(Membership.user_id == (user_id or 0), Membership.role != Role.CLIENT)
    )
    return theirs if only_in is None else theirs.where(Membership.portal_id == only_in)


def add_missing(roles: Select[Membership]) -> None:
    """Add the account's row where it is missing for these `members`, in one statement, in the caller's transaction."""
    values = {
        "portal_id": Membership.portal_id,
        "user_id": User.id,
        "name": User.name,
        "email": User.email,
    }
    missing = roles.where(~exists().where(_is_of_member()))
    rows = missing.with_only_columns(*values.values()).with_for_update(read=True, key_share=True, of=User)
    db.session.execute(insert(AuditIdentity).from_select(list(values), rows))


def present_identity() -> ScalarSelect[int]:
    """A subquery of `members`: the id of the account's row."""
    return select(func.max(AuditIdentity.id)).where(_is_of_member()).correlate(Membership, User).scalar_subquery()


def _is_of_member() -> ColumnElement[bool]:
    return and_(
        AuditIdentity.portal_id == Membership.portal_id,
        AuditIdentity.user_id == User.id,
        AuditIdentity.name == User.name,
        AuditIdentity.email == User.email,
    )
