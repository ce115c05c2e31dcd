"""Erasing a person from the whole service, whatever they are in whichever portal (GDPR, Art. 17)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, Row, delete, exists, or_, select

from app.accounts.email_change import forget_addresses, former_addresses, has_or_had
from app.accounts.erasure import (
    count_clients_of,
    detach,
    detach_rest,
    empty_settings,
    forget_quoted,
    lock_admins,
    portals_without_admin,
    roles_of,
    settings_that_name,
)
from app.accounts.mentions import Person, forget_file_names, forget_messages, mentions_of
from app.accounts.users import no_account
from app.audit import service as audit
from app.audit.erasure import forget_person, names_of_accounts
from app.audit.service import AuditKind
from app.clients.erasure import Erased, erase_in_portal
from app.clients.traces import find_traces
from app.core.errors import Conflict
from app.core.text import clean_email
from app.db.transactions import transaction
from app.extensions import db
from app.models import ImportedClient, OutboxMail, Portal, Role, User
from app.portals.team_erasure import forget_in_team


class LastAdmin(Conflict):
    """Portals would have no client admin left."""


@dataclass(frozen=True)
class UserTraces:
    """What an erasure would take away."""

    names: Sequence[str]
    roles: Sequence[tuple[str, Role]]
    clients: int
    """In how many tables the person stands as a client."""


def user_traces(email: str) -> UserTraces:
    """What `erase_user` would erase. Raises `TextError` for a text that is no address, and `DomainError` if no account
    has the address."""
    person, names = _person(email)
    return UserTraces(names, roles_of(person), count_clients_of(person))


def erase_user(email: str, *, even_last_admin: bool = False) -> Erased:
    """Erase the accounts with this address, separate ones of host shells too, and the person from every portal.

    If no account has the address, the one that had it before its owner changed it.

    The history says of what they did that a deleted user did it. Raises `TextError`, `DomainError` if no account has
    the address, `Conflict` if portals name the person in settings that we cannot change for them, and `LastAdmin` if
    portals would have no client admin left, unless `even_last_admin`. Nothing is erased then. Call
    `app.db.cleanup.purge_deleted` afterwards.
    """
    person, names = _person(email)
    _refuse_named(person, names)
    if not even_last_admin:
        _refuse_last_admin(person, email)
    detach(person)
    mentions = mentions_of(person, names)
    forget_messages(mentions)
    forget_file_names(mentions)
    erased = [
        erase_in_portal(portal_id, person, person)
        for portal_id in db.session.scalars(select(Portal.id).order_by(Portal.id)).all()
        if find_traces(portal_id, person)
    ]
    with transaction() as session:
        invited = select(ImportedClient.id).where(ImportedClient.invited_by_id.in_(person.user_ids))
        session.execute(invited.order_by(ImportedClient.portal_id, ImportedClient.id).with_for_update())
        session.execute(select(User.id).where(User.id.in_(person.user_ids)).order_by(User.id).with_for_update())
        lock_admins(session, person)
        if not even_last_admin:
            _refuse_last_admin(person, email)
        detach_rest(session, person)
        empty_settings(session, person)
        forget_quoted(session, person.emails)
        forget_in_team(session, person.emails)
        forget_addresses(session, person.emails)
        for user_id in sorted(person.user_ids):
            audit.record_of_account(user_id, AuditKind.USER_ERASED)
        forget_person(person.emails, person.user_ids, mentions)
        session.execute(
            delete(OutboxMail)
            .where(or_(OutboxMail.recipient.in_(person.emails), OutboxMail.user_id.in_(person.user_ids)))
            .execution_options(synchronize_session=False)
        )
        session.execute(delete(User).where(User.id.in_(person.user_ids)).execution_options(synchronize_session=False))
    client_ids = [client_id for one in erased for client_id in one.client_ids]
    return Erased(client_ids, sorted(person.user_ids))


def _person(email: str) -> tuple[Person, Sequence[str]]:
    address = clean_email(email)
    accounts = _accounts(User.email == address) or _accounts(has_or_had([address]))
    if not accounts:
        raise no_account(email)
    user_ids = [one.id for one in accounts]
    # The addresses that they were invited at, unless these are somebody else's by now.
    is_anothers = exists().where(User.email == ImportedClient.email, User.id.not_in(user_ids))
    linked = select(ImportedClient.email).where(ImportedClient.user_id.in_(user_ids), ~is_anothers)
    present = (one.email for one in accounts)
    emails = frozenset({address, *present, *former_addresses(user_ids), *db.session.scalars(linked)})
    names = [*(one.name for one in accounts), *names_of_accounts(user_ids)]
    return Person(emails, frozenset(user_ids)), list(dict.fromkeys(names))


def _accounts(which: ColumnElement[bool]) -> Sequence[Row[int, str, str]]:
    return db.session.execute(select(User.id, User.name, User.email).where(which).order_by(User.id)).all()


def _refuse_named(person: Person, names: Sequence[str]) -> None:
    if settings := settings_that_name(person, names):
        raise Conflict(
            _(
                "Nothing was erased, because settings hold this name or address: %(settings)s. Change them first.",
                settings=", ".join(settings),
            )
        )


def _refuse_last_admin(person: Person, email: str) -> None:
    if portals := portals_without_admin(person):
        raise LastAdmin(
            _(
                "Nothing was erased, because %(email)s is the last client admin of %(ids)s. Give someone else the role"
                " first.",
                email=email,
                ids=", ".join(portals),
            )
        )
