"""Erasing a client from a portal (GDPR, Art. 17), whether it is pending, has joined, or was removed before.

What remains is that under some id a client was invited, perhaps joined, and was removed: see docs/privacy.md. A mail
that a worker is just sending arrives or not, and nothing about it is recorded, because its row is gone. The same holds
for a webhook, whose row stays without the client's data.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import and_, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from app.accounts.email_change import forget_requests
from app.accounts.erasure import belongs_to_a_portal, detach, detach_rest, forget_quoted
from app.accounts.mentions import Person, forget_messages, mentions_of
from app.audit import service as audit
from app.audit.erasure import forget_accounts, forget_person
from app.audit.erasure import forget_clients as forget_in_audit
from app.audit.service import AuditKind
from app.clients.erased_notices import forget_in_notices
from app.clients.removal import delete_clients
from app.clients.traces import (
    Traces,
    company_names,
    find_traces,
    imports_that_name,
    is_client,
    person_of_client,
    team_of,
)
from app.core.errors import DomainError
from app.db.transactions import transaction
from app.extensions import db
from app.invitations.history import forget_details
from app.invitations.removed import forget_digests
from app.models import (
    ClientEvent,
    EndedAccess,
    ImportedClient,
    LoginSession,
    Membership,
    OutboxMail,
    Role,
    ShellAccount,
    ShellIssuerPortal,
    User,
)
from app.portals.service import known_portal
from app.portals.team_erasure import forget_in_team
from app.webhooks.events import forget_clients


@dataclass(frozen=True)
class Erased:
    """What was erased, by ids only."""

    client_ids: Sequence[UUID]
    account_ids: Sequence[int]


def client_traces(portal_id: str, email: str) -> tuple[Person, Traces]:
    """What `erase_client` would erase.

    Raises `TextError` for a text that is no address, and `DomainError` if the portal is unknown, or holds nothing about
    a client with this address.
    """
    known_portal(portal_id)
    person = person_of_client(portal_id, email)
    traces = find_traces(portal_id, person)
    if not traces:
        raise DomainError(
            _("Portal %(id)s holds nothing about a client with the address %(email)s.", id=portal_id, email=email)
        )
    return person, traces


def accounts_that_go(portal_id: str, person: Person) -> Person:
    """The person with those of their accounts that belong to this portal only, as a client."""
    is_staff = exists().where(
        Membership.user_id == User.id, Membership.portal_id == portal_id, Membership.role != Role.CLIENT
    )
    belongs_elsewhere = or_(belongs_to_a_portal(but_for=portal_id), is_staff)
    going = select(User.id).where(User.id.in_(person.user_ids), ~belongs_elsewhere)
    return Person(person.emails, frozenset(db.session.scalars(going)))


def erase_client(portal_id: str, email: str) -> Erased:
    """Erase everything that a portal holds about the client with this address.

    The client's account goes too, unless it belongs to another portal or to the staff of this one. Raises what
    `client_traces` raises. Call `app.db.cleanup.purge_deleted` afterwards.
    """
    person, _traces = client_traces(portal_id, email)
    going = accounts_that_go(portal_id, person)
    detach(going)
    return erase_in_portal(portal_id, person, going)


def erase_in_portal(portal_id: str, person: Person, going: Person) -> Erased:
    """Erase a person as a client of a portal, and delete the accounts that belong nowhere then.

    Messages that mention them or their companies go first, in transactions of their own; everything else goes in one.
    `going`: the person with the accounts that are to go, after `detach`.
    """
    names = db.session.scalars(select(User.name).where(User.id.in_(person.user_ids))).all()
    companies = company_names(portal_id, find_traces(portal_id, person))
    forget_messages(mentions_of(person, {*names, *companies}), portal_id)
    with transaction() as session:
        accounts = _lock(session, portal_id, person, going)
        detach_rest(session, going)
        traces = find_traces(portal_id, person)
        companies = company_names(portal_id, traces)
        for one in imports_that_name(portal_id, traces, person, companies):
            one.forget_file_name()
        if traces.clients:
            delete_clients(portal_id, traces.clients, actor_id=None)
        _forget_history(session, portal_id, traces, person)
        session.execute(
            delete(OutboxMail)
            .where(OutboxMail.portal_id == portal_id, OutboxMail.recipient.in_(person.emails))
            .execution_options(synchronize_session=False)
        )
        forget_in_team(session, person.emails, portal_id)
        forget_in_notices(portal_id, traces.client_ids, person.emails, companies)
        forget_clients(portal_id, traces.client_ids, person.emails)
        forget_quoted(session, person.emails)
        _leave_portal(session, portal_id, person)
        _forget_in_audit(portal_id, person, traces.client_ids, companies)
        session.execute(
            delete(User)
            .where(User.id.in_(going.user_ids), ~belongs_to_a_portal())
            .execution_options(synchronize_session=False)
        )
        left = set(session.scalars(select(User.id).where(User.id.in_(accounts))))
        forget_accounts(accounts - left)
        if not left:
            forget_requests(session, person.emails)
    return Erased(sorted(traces.client_ids), sorted(accounts - left))


def _lock(session: Session, portal_id: str, person: Person, going: Person) -> set[int]:
    """Lock the person's clients, those that they have invited anywhere, and then their accounts. Returns these."""
    theirs = and_(ImportedClient.portal_id == portal_id, is_client(person))
    session.execute(
        select(ImportedClient.id)
        .where(or_(theirs, ImportedClient.invited_by_id.in_(going.user_ids)))
        .order_by(ImportedClient.portal_id, ImportedClient.id)
        .with_for_update()
    )
    accounts = select(User.id).where(User.id.in_(person.user_ids)).order_by(User.id).with_for_update()
    return set(session.scalars(accounts))


def _forget_history(session: Session, portal_id: str, traces: Traces, person: Person) -> None:
    """Empty what events say about the person, and that the person did it. That it happened remains."""
    forget_digests(portal_id, traces.client_ids)
    forget_details(portal_id, traces.client_ids)
    here = update(ClientEvent).where(ClientEvent.portal_id == portal_id)
    quotes = or_(*(func.lower(ClientEvent.detail).contains(email, autoescape=True) for email in person.emails))
    of_former_mail = tuple_(ClientEvent.client_id, ClientEvent.generation).in_(traces.former_mails)
    by_them = ClientEvent.actor_id.in_(person.user_ids) & ClientEvent.client_id.in_(traces.client_ids)
    for change in (
        here.where(quotes).values(detail=None),
        here.where(of_former_mail).values(detail=None),
        here.where(by_them).values(actor_id=None),
    ):
        session.execute(change.execution_options(synchronize_session=False))


def _forget_in_audit(portal_id: str, person: Person, client_ids: Collection[UUID], names: Collection[str]) -> None:
    """Empty what the audit trail calls the person and their companies, unless they are on the portal's team."""
    team = team_of(portal_id, person)
    forget_in_audit(portal_id, client_ids)
    forget_person(person.emails, person.user_ids, mentions_of(person, names), portal_id, but_of=team)
    for client_id in sorted(client_ids):
        audit.record(portal_id, AuditKind.CLIENT_ERASED, target=audit.client(client_id))


def _leave_portal(session: Session, portal_id: str, person: Person) -> None:
    """Take the person's accounts out of a portal, unless they are staff there."""
    of_person, here = Membership.user_id.in_(person.user_ids), Membership.portal_id == portal_id
    session.execute(delete(Membership).where(of_person, here, Membership.role == Role.CLIENT))
    session.execute(
        delete(EndedAccess).where(EndedAccess.portal_id == portal_id, EndedAccess.user_id.in_(person.user_ids))
    )
    staff = select(Membership.user_id).where(of_person, here)
    serves_here = exists().where(
        ShellIssuerPortal.issuer_id == ShellAccount.issuer_id, ShellIssuerPortal.portal_id == portal_id
    )
    serves_elsewhere = exists().where(
        ShellIssuerPortal.issuer_id == ShellAccount.issuer_id, ShellIssuerPortal.portal_id != portal_id
    )
    for rows in (
        delete(LoginSession).where(LoginSession.portal_id == portal_id, LoginSession.user_id.in_(person.user_ids)),
        delete(ShellAccount).where(ShellAccount.user_id.in_(person.user_ids), serves_here, ~serves_elsewhere),
    ):
        model = rows.entity_description["entity"]
        session.execute(rows.where(model.user_id.not_in(staff)).execution_options(synchronize_session=False))
