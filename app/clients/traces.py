"""What a portal holds about a person who is, or was, one of its clients: for an erasure to find it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select

from app.accounts.email_change import former_addresses
from app.accounts.mentions import Person
from app.audit.erasure import names_address
from app.core.text import clean_email, fold
from app.extensions import db
from app.invitations.removed import removed_with
from app.models import (
    AuditIdentity,
    ClientEvent,
    ClientImport,
    EndedAccess,
    EventKind,
    ImportedClient,
    Membership,
    OutboxMail,
    Role,
    User,
    WebhookDelivery,
)

_TELLING = 4
"""A word of a company's name with so many letters tells whose file it is."""


@dataclass(frozen=True)
class FoundClient:
    """A row of the table. Plain values, because the row is about to be deleted."""

    id: UUID
    email: str
    company_name: str
    generation: int
    user_id: int | None
    import_id: UUID | None


@dataclass(frozen=True)
class Traces:
    """What a portal holds about a person."""

    clients: Sequence[FoundClient]
    """Their rows in the table."""
    removed_ids: frozenset[UUID]
    """Clients that were removed before, known by the digests of the person's addresses."""
    former_mails: Sequence[tuple[UUID, int]]
    """Client and generation of mails to the person for a client whose address was corrected since."""
    member_ids: frozenset[int]
    """Their accounts that have joined."""
    has_deliveries: bool
    """Whether a webhook holds an address of theirs."""
    is_in_audit: bool
    """Whether the audit trail names an address of theirs."""

    @property
    def client_ids(self) -> set[UUID]:
        return {client.id for client in self.clients} | self.removed_ids

    def __bool__(self) -> bool:
        holds_address = self.has_deliveries or self.is_in_audit
        return bool(self.client_ids or self.former_mails or self.member_ids or holds_address)


def person_of_client(portal_id: str, email: str) -> Person:
    """The person behind a client's address: also the account that is linked to the client, with its present address,
    those that it had, and those that it was invited at here.

    Raises `TextError` for a text that is no address.
    """
    email = clean_email(email)
    here = ImportedClient.portal_id == portal_id
    linked = select(ImportedClient.user_id).where(
        here, ImportedClient.email == email, ImportedClient.user_id.is_not(None)
    )
    accounts = db.session.execute(
        select(User.id, User.email).where(or_(User.email == email, User.id.in_(linked)))
    ).all()
    user_ids = frozenset(one.id for one in accounts)
    invited = db.session.scalars(select(ImportedClient.email).where(here, ImportedClient.user_id.in_(user_ids)))
    emails = {email, *(one.email for one in accounts), *former_addresses(user_ids), *invited}
    return Person(frozenset(emails), user_ids)


def find_traces(portal_id: str, person: Person) -> Traces:
    """What a portal holds about a person, as one of its clients."""
    session = db.session
    columns = (getattr(ImportedClient, field.name) for field in fields(FoundClient))
    rows = session.execute(
        select(*columns).where(ImportedClient.portal_id == portal_id, is_client(person)).order_by(ImportedClient.id)
    )
    clients = [FoundClient(*row) for row in rows]
    of_others = select(OutboxMail.client_id, OutboxMail.generation).where(
        OutboxMail.portal_id == portal_id,
        OutboxMail.recipient.in_(person.emails),
        OutboxMail.client_id.is_not(None),
        OutboxMail.client_id.not_in([client.id for client in clients]),
    )
    members = select(Membership.user_id).where(
        Membership.portal_id == portal_id, Membership.user_id.in_(person.user_ids), Membership.role == Role.CLIENT
    )
    ended = select(EndedAccess.user_id).where(
        EndedAccess.portal_id == portal_id, EndedAccess.user_id.in_(person.user_ids)
    )
    delivery = select(WebhookDelivery.id).where(
        WebhookDelivery.portal_id == portal_id, WebhookDelivery.email.in_(person.emails)
    )
    in_audit = select(AuditIdentity.id).where(
        names_address(portal_id, person.emails, but_of=team_of(portal_id, person))
    )
    return Traces(
        clients=clients,
        removed_ids=frozenset(removed_with(portal_id, person.emails)),
        former_mails=[(row.client_id, row.generation) for row in session.execute(of_others)],
        member_ids=frozenset(session.scalars(members.union(ended))),
        has_deliveries=session.scalar(delivery.limit(1)) is not None,
        is_in_audit=session.scalar(in_audit.limit(1)) is not None,
    )


def team_of(portal_id: str, person: Person) -> frozenset[int]:
    """The person's accounts that are client admin or staff of a portal."""
    of_person = Membership.portal_id == portal_id, Membership.user_id.in_(person.user_ids)
    return frozenset(db.session.scalars(select(Membership.user_id).where(*of_person, Membership.role != Role.CLIENT)))


def is_client(person: Person) -> ColumnElement[bool]:
    """The condition for the rows of a person, in whichever portal."""
    return or_(ImportedClient.email.in_(person.emails), ImportedClient.user_id.in_(person.user_ids))


def company_names(portal_id: str, traces: Traces) -> set[str]:
    """The names that the person's companies have and had, as far as they are still stored."""
    client_ids = [client.id for client in traces.clients]
    in_mails = select(OutboxMail.params["company_name"].as_string()).where(
        OutboxMail.portal_id == portal_id, OutboxMail.client_id.in_(client_ids)
    )
    in_deliveries = select(WebhookDelivery.company_name).where(
        WebhookDelivery.portal_id == portal_id, WebhookDelivery.client_id.in_(client_ids)
    )
    stored = (*db.session.scalars(in_mails), *db.session.scalars(in_deliveries))
    return {client.company_name for client in traces.clients} | {name for name in stored if name}


def imports_that_name(portal_id: str, traces: Traces, person: Person, names: set[str]) -> list[ClientImport]:
    """The imports whose file name tells whom it is about.

    That is so if it holds a company's name or an address, whatever stands between the letters. Of the import that
    added the client, a long word of the name is enough, and so is that it added nobody else.
    """
    own_ids = {client.import_id for client in traces.clients}
    # An import writes its clients' events at the very moment that it has itself.
    invited = select(ClientEvent.at).where(
        ClientEvent.portal_id == portal_id,
        ClientEvent.client_id.in_(traces.removed_ids),
        ClientEvent.kind == EventKind.INVITED,
    )
    moments = set(db.session.scalars(invited))
    whole = {_letters(text) for text in (*names, *person.emails)} - {""}
    words = {letters for name in names for word in name.split() if len(letters := _letters(word)) >= _TELLING}
    found = []
    for one in db.session.scalars(select(ClientImport).where(ClientImport.portal_id == portal_id)):
        file_name = _letters(one.file_name)
        is_own = one.id in own_ids or one.created_at in moments
        tells = any(text in file_name for text in (whole | words if is_own else whole))
        if tells or (is_own and one.row_count == 1):
            found.append(one)
    return found


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, fold(text)))
