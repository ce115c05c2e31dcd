"""Ending a client's access to a portal, and giving it back. See also `app.portals.ended_access`.

What the client was stays: its row in the table is Joined, and its account and its other portals are not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _
from sqlalchemy import delete, exists, or_, select
from sqlalchemy.orm import Session

from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.clock import now
from app.core.errors import Conflict, NotFound
from app.core.ids import LARGEST_ID
from app.db.transactions import transaction
from app.extensions import db
from app.invitations import history
from app.models import EndedAccess, EventKind, ImportedClient, LoginSession, Membership, Role, User, WebhookEvent
from app.portals.ended_access import is_in_force
from app.webhooks.events import enqueue_access


@dataclass(frozen=True)
class _Person:
    """An account of a portal, with what is the same person's: other accounts with its address, and clients."""

    user: User
    members: dict[int, Membership]
    """The memberships of these accounts in the portal, by account."""
    ended: dict[int, EndedAccess]
    """Their access that was ended, and whose account is no member again, by account."""
    clients: Sequence[ImportedClient]

    @property
    def accounts(self) -> set[int]:
        return {*self.members, *self.ended}

    def joined_with(self, user_ids: set[int]) -> Sequence[ImportedClient]:
        return [client for client in self.clients if client.is_joined and client.user_id in user_ids]


def access_to_end(portal_id: str, user_id: int) -> User:
    """The account whose access an admin is about to end. Raises `NotFound`, `Conflict`."""
    person = _person(db.session(), portal_id, user_id)
    _check_client(person)
    return person.user


def access_to_give_back(portal_id: str, user_id: int) -> User:
    """The account whose access an admin is about to give back. Raises `NotFound`, `Conflict`."""
    person = _person(db.session(), portal_id, user_id)
    _check_ended(person)
    return person.user


def end_access(portal_id: str, user_id: int, actor_id: int) -> str:
    """End the access of a client of the portal, until somebody gives it back. Returns the account's name.

    Its membership goes, and so do the sessions that host shells began for it in this portal. If it is in no other
    portal, all its sessions end. The same holds for other accounts of clients with its address, such as a separate one
    made by a host shell. Raises `NotFound`, and `Conflict` if the account is no client, or its access is ended already.
    """
    with transaction() as session:
        person = _person(session, portal_id, user_id, lock=True)
        _check_client(person)
        name, at = person.user.name, now()
        going = {key for key, one in person.members.items() if one.role is Role.CLIENT}
        # Older code may have let somebody in again whose access was ended.
        session.execute(delete(EndedAccess).where(EndedAccess.portal_id == portal_id, EndedAccess.user_id.in_(going)))
        for key in sorted(going):
            since = person.members[key].created_at
            session.add(
                EndedAccess(portal_id=portal_id, user_id=key, member_since=since, ended_at=at, ended_by_id=actor_id)
            )
            session.delete(person.members[key])
        session.flush()
        _end_sessions(session, portal_id, going)
        _tell(person, portal_id, going, actor_id, EventKind.ACCESS_ENDED, WebhookEvent.CLIENT_ACCESS_ENDED)
        audit.record(portal_id, AuditKind.ACCESS_ENDED, target=audit.person(user_id))
    return name


def give_access_back(portal_id: str, user_id: int, actor_id: int) -> str:
    """Make a client whose access was ended a member again, as since when it was one. Returns the account's name.

    The same holds for other accounts with its address. Raises `NotFound`, and `Conflict` if its access is not ended.
    """
    with transaction() as session:
        person = _person(session, portal_id, user_id, lock=True)
        _check_ended(person)
        name, back = person.user.name, set(person.ended)
        for key in sorted(back):
            ended = person.ended[key]
            session.add(Membership(portal_id=portal_id, user_id=key, role=Role.CLIENT, created_at=ended.member_since))
            session.delete(ended)
        _tell(person, portal_id, back, actor_id, EventKind.ACCESS_GIVEN_BACK, WebhookEvent.CLIENT_ACCESS_GIVEN_BACK)
        audit.record(portal_id, AuditKind.ACCESS_GIVEN_BACK, target=audit.person(user_id))
    return name


def _person(session: Session, portal_id: str, user_id: int, *, lock: bool = False) -> _Person:
    """An account that is, or was, a member of the portal. Raises `NotFound` for any other.

    With `lock`, all is locked until the transaction ends: whoever makes a member locks its account.
    """
    email = session.scalar(select(User.email).where(User.id == user_id)) if 0 < user_id <= LARGEST_ID else None
    if email is None:
        raise NotFound
    is_theirs = or_(User.id == user_id, User.email == email)
    accounts = select(User).where(is_theirs).order_by(User.id)
    clients = (
        select(ImportedClient)
        .where(
            ImportedClient.portal_id == portal_id,
            or_(ImportedClient.email == email, ImportedClient.user_id.in_(select(User.id).where(is_theirs))),
        )
        .order_by(ImportedClient.id)
    )
    if lock:
        clients, accounts = clients.with_for_update(), accounts.with_for_update(key_share=True)
    found_clients = session.scalars(clients.execution_options(populate_existing=True)).all()
    users = {user.id: user for user in session.scalars(accounts.execution_options(populate_existing=True))}
    members = session.scalars(
        select(Membership)
        .where(Membership.portal_id == portal_id, Membership.user_id.in_(users))
        .execution_options(populate_existing=True)
    )
    ended = session.scalars(
        select(EndedAccess)
        .where(EndedAccess.portal_id == portal_id, EndedAccess.user_id.in_(users), is_in_force())
        .execution_options(populate_existing=True)
    )
    person = _Person(
        users[user_id],
        {one.user_id: one for one in members},
        {one.user_id: one for one in ended},
        found_clients,
    )
    if user_id not in person.accounts:
        raise NotFound
    return person


def _check_client(person: _Person) -> None:
    name, membership = person.user.name, person.members.get(person.user.id)
    if membership is None:
        raise Conflict(_("The access of %(name)s has already been ended.", name=name))
    if membership.role is not Role.CLIENT:
        raise Conflict(_("%(name)s belongs to this portal's team and is not a client. Nothing was changed.", name=name))


def _check_ended(person: _Person) -> None:
    if person.user.id not in person.ended:
        raise Conflict(_("%(name)s has access already. Nothing was changed.", name=person.user.name))


def _end_sessions(session: Session, portal_id: str, user_ids: set[int]) -> None:
    """End the sessions that were handed over for the portal, and all of the accounts that are in no other portal."""
    is_nowhere = ~exists().where(Membership.user_id == LoginSession.user_id)
    session.execute(
        delete(LoginSession)
        .where(LoginSession.user_id.in_(user_ids), or_(LoginSession.portal_id == portal_id, is_nowhere))
        .execution_options(synchronize_session=False)
    )


def _tell(
    person: _Person, portal_id: str, user_ids: set[int], actor_id: int, kind: EventKind, event: WebhookEvent
) -> None:
    for client in person.clients:
        history.record(client, kind, actor_id=actor_id)
    enqueue_access(portal_id, event, person.joined_with(user_ids), person.user.email, now())
