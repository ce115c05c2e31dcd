"""Account deletion: what an owner does to their own account.

The account goes, and with it its roles, sessions and names. What portals keep about it as their client stays, without
the account: that is theirs, and `app.clients.erasure` takes it away. What its owner did was done by a deleted user.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from app.accounts.attempts import Attempt, attempt_of_owner
from app.accounts.deleted_notice import queue_deleted_notice
from app.accounts.erasure import detach, detach_rest, forget_quoted, lock_admins, portals_without_admin, roles_of
from app.accounts.mentions import Person
from app.accounts.own_account import SessionEnded, hold_session
from app.accounts.users import forget_registrations
from app.audit import service as audit
from app.audit.erasure import forget_owner
from app.audit.service import AuditKind
from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.invitations import history
from app.models import (
    TEAM_ROLES,
    EventKind,
    ImportedClient,
    OutboxMail,
    Portal,
    Role,
    User,
    WebhookEvent,
)
from app.portals.ended_access import ended_for
from app.portals.team_erasure import forget_in_team
from app.webhooks.events import enqueue_access


class StillLastAdmin(Exception):
    """Portals would have no client admin left. Nothing was done."""


@dataclass(frozen=True)
class Leaving:
    """What somebody would leave who deletes their account."""

    roles: Sequence[tuple[str, Role]]
    """The names of their portals, with their roles there."""
    last_admin_of: Sequence[Portal]
    """The portals that would have no client admin left. While there is one, the account stays."""


def what_goes(user_id: int) -> Leaving:
    """What the deletion of an account would take away, and what is in its way."""
    person = Person(frozenset(), frozenset({user_id}))
    roles = dict(roles_of(person))
    alone = set(portals_without_admin(person))
    portals = db.session.scalars(select(Portal).where(Portal.id.in_(roles)).order_by(Portal.name, Portal.id)).all()
    return Leaving(
        [(portal.name, roles[portal.id]) for portal in portals], [portal for portal in portals if portal.id in alone]
    )


def delete_account(
    user_id: int,
    email: str,
    session_token: str,
    current: str,
    *,
    remote_address: str,
    browser_tokens: Collection[str],
) -> bool:
    """Delete the account that a session is signed in to. Its owner is told by mail.

    `email` is the account's address. Returns False if `current` is not its password: such failures count as in a change
    of the password. Raises `TooManyRequests`, `StillLastAdmin`, and `SessionEnded`.
    """
    attempt = attempt_of_owner(user_id, email, remote_address, browser_tokens)
    attempt.judge(current)
    with transaction() as session:
        if attempt.settle(session) is None:
            if attempt.is_right:
                raise SessionEnded  # another password was set meanwhile, which has ended it
            return False
        hold_session(session, user_id, session_token)
        _refuse_last_admin(user_id)
    # Whoever was an admin may have invited thousands: see `app.accounts.erasure`.
    detach(Person(frozenset({email}), frozenset({user_id})))
    with transaction() as session:
        user = _locked(session, attempt)
        hold_session(session, user_id, session_token)
        person = Person(frozenset({user.email}), frozenset({user_id}))
        lock_admins(session, person)
        _refuse_last_admin(user_id)
        detach_rest(session, person)
        _leave_clients(session, user)
        forget_quoted(session, person.emails)
        forget_in_team(session, person.emails)
        audit.record_of_account(user_id, AuditKind.ACCOUNT_DELETED, by_owner=True)
        forget_owner(user_id, user.email)
        _drop_mails(session, user)
        queue_deleted_notice(user)
        session.flush()
        session.execute(delete(User).where(User.id == user_id).execution_options(synchronize_session=False))
    return True


def _refuse_last_admin(user_id: int) -> None:
    if portals_without_admin(Person(frozenset(), frozenset({user_id}))):
        raise StillLastAdmin


def _locked(session: Session, attempt: Attempt) -> User:
    """The account, locked after the clients that name it, if its password is still the one that was typed."""
    session.execute(
        select(ImportedClient.id)
        .where(or_(_is_client_of(attempt.user_id), ImportedClient.invited_by_id == attempt.user_id))
        .order_by(ImportedClient.portal_id, ImportedClient.id)
        .with_for_update()
    )
    user = session.scalar(
        select(User)
        .where(User.id == attempt.user_id, User.password_hash == attempt.password_hash, User.disabled_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if user is None:
        raise SessionEnded
    return user


def _is_client_of(user_id: int | None) -> ColumnElement[bool]:
    return ImportedClient.user_id == user_id


def _leave_clients(session: Session, user: User) -> None:
    """Take an account out of the tables in which it stands: as one that has joined, or that has only registered."""
    at = now()
    forget_registrations(session, user.id)
    ended = {portal.id: ended_at for portal, ended_at in ended_for(user.id)}
    team = {portal_id for portal_id, role in roles_of(Person(frozenset(), frozenset({user.id}))) if role in TEAM_ROLES}
    joined = select(ImportedClient).where(_is_client_of(user.id))
    ordered = joined.order_by(ImportedClient.portal_id, ImportedClient.id)
    for client in session.scalars(ordered.execution_options(populate_existing=True)).all():
        client.forget_registration()
        client.account_deleted_at = at
        client.access_ended_at = ended.get(client.portal_id)
        history.record(client, EventKind.ACCOUNT_DELETED)
        if client.portal_id not in ended:
            enqueue_access(client.portal_id, WebhookEvent.CLIENT_ACCESS_ENDED, [client], user.email, at)
        if client.portal_id not in team:
            # Where they work, the line tells it of their account.
            audit.record(client.portal_id, AuditKind.ACCOUNT_DELETED, target=audit.client(client.id))


def _drop_mails(session: Session, user: User) -> None:
    """Delete the mails to an account's owner, but for those that belong to a client's history."""
    theirs = or_(OutboxMail.recipient == user.email, OutboxMail.user_id == user.id)
    session.execute(
        delete(OutboxMail).where(theirs, OutboxMail.client_id.is_(None)).execution_options(synchronize_session=False)
    )
