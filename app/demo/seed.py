"""Fills an empty database with the demo portals, whose clients have the past that `app.demo.data` gives them.

The services cannot write this past, because they use the current time. So it is written through the models, step by
step as the services would have done at each time. The database's constraints check it as usual.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.passwords import hash_password
from app.accounts.users import new_user
from app.branding.policy import link_lifetime_of
from app.core.clock import now
from app.core.ids import new_id
from app.core.text import clean_company_name, clean_email, clean_person_name, fold
from app.db.transactions import transaction
from app.demo.data import HARBOUR, PASSWORD, PORTALS, DemoPortal, Fate, Invitee, Person
from app.models import (
    ClientEvent,
    ClientStatus,
    EventKind,
    ImportedClient,
    MailKind,
    MailState,
    Membership,
    OutboxMail,
    Portal,
    Role,
    User,
)
from app.outbox.enqueue import enqueue
from app.registration.emails import VERIFICATION_LIFETIME

_PORTAL_AGE = timedelta(days=210)
_BETWEEN_RESENDS = timedelta(days=9)
_HAND_OVER = timedelta(seconds=1)
_READING_A_MAIL = timedelta(minutes=4)
_NEXT_TRY = timedelta(hours=2)
_TRIES_OF_A_DELAYED_MAIL = 6


def seed_demo() -> bool:
    """Create the demo portals in one transaction if the database is empty.

    Returns whether the demo portals exist, from now or from an earlier start. A database with other data is not
    changed: accounts whose password everybody knows must not appear beside it.
    """
    with transaction() as session:
        if session.scalar(select(Portal.id).limit(1)) is None and session.scalar(select(User.id).limit(1)) is None:
            _Seeding(session).run()
        demo_admin = (
            select(Membership)
            .join(Membership.user)
            .where(Membership.portal_id == HARBOUR.id, User.email == HARBOUR.admin.email)
        )
        return session.scalar(demo_admin) is not None


class _Seeding:
    """One run of the seeding, with the objects it has created so far."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.now = now()
        # Hashed only once, because hashing is slow on purpose.
        self.password_hash = hash_password(PASSWORD)
        self.accounts: dict[str, User] = {}
        self.events: list[ClientEvent] = []

    def run(self) -> None:
        for portal in PORTALS:
            self._portal(portal)
        # A history is read in the order of its ids, so events are inserted in the order of time.
        self.events.sort(key=lambda event: event.at)
        self.session.add_all(self.events)

    def _portal(self, demo: DemoPortal) -> None:
        opened = self.now - _PORTAL_AGE
        portal = Portal(id=demo.id, name=clean_company_name(demo.name), created_at=opened)
        self.session.add(portal)
        admin = self._account(demo.admin, opened)
        self._membership(portal, admin, Role.CLIENT_ADMIN, opened)
        for person in demo.staff:
            self._membership(portal, self._account(person, opened), Role.STAFF, opened)
        for invitee in demo.invitees:
            self._client(portal, admin, invitee)

    def _account(self, person: Person, at: datetime, *, verified: bool = True) -> User:
        """The account of a person, created with the time `at` if it does not exist yet."""
        user = self.accounts.get(person.email)
        if user is None:
            user = new_user(clean_email(person.email), clean_person_name(person.name), self.password_hash)
            user.created_at = at
            user.email_verified_at = at if verified else None
            self.session.add(user)
            self.session.flush()
            self.accounts[person.email] = user
        return user

    def _membership(self, portal: Portal, user: User, role: Role, at: datetime) -> None:
        self.session.add(Membership(portal_id=portal.id, user_id=user.id, role=role, created_at=at))

    def _client(self, portal: Portal, admin: User, invitee: Invitee) -> None:
        last = self._moment(invitee)
        moments = [last - n * _BETWEEN_RESENDS for n in range(invitee.resends, -1, -1)]
        company = clean_company_name(invitee.company)
        client = ImportedClient(
            portal_id=portal.id,
            id=_id_made_at(moments[0]),
            company_name=company,
            company_name_folded=fold(company),
            email=clean_email(invitee.email),
            status=ClientStatus.INVITE_SENT,
            created_at=moments[0],
            email_last_sent_at=moments[0],
            generation=1,
            invited_by_id=admin.id,
        )
        self.session.add(client)
        self.session.flush()
        for earlier, following in pairwise(moments):
            self._hand_over(client, self._invitation(client, portal, admin, earlier))
            self._lapse(client, following)
            client.generation += 1
            client.link_expires_at = client.link_lapsed_at = None
        self._last_invitation(client, portal, admin, invitee, last)

    def _last_invitation(
        self, client: ImportedClient, portal: Portal, admin: User, invitee: Invitee, at: datetime
    ) -> None:
        mail = self._invitation(client, portal, admin, at)
        match invitee.fate:
            case Fate.WAITING:
                pass
            case Fate.DELAYED:
                mail.attempts = _TRIES_OF_A_DELAYED_MAIL
                mail.due_at = self.now + _NEXT_TRY
                mail.last_error = invitee.reason
            case Fate.FAILED:
                mail.state = MailState.FAILED
                mail.attempts = 1
                mail.last_error = invitee.reason
                self._record(client, EventKind.MAIL_FAILED, at + _HAND_OVER, detail=invitee.reason)
            case Fate.BOUNCED:
                self._hand_over(client, mail)
                mail.state, mail.last_error = MailState.BOUNCED, invitee.reason
                bounced_at = at + timedelta(hours=invitee.after_hours)
                self._record(client, EventKind.MAIL_BOUNCED, bounced_at, detail=invitee.reason)
            case Fate.SENT:
                self._hand_over(client, mail)
                self._lapse(client, self.now)
            case Fate.DECLINED:
                self._hand_over(client, mail)
                client.declined_at = at + timedelta(hours=invitee.after_hours)
                self._record(client, EventKind.DECLINED, client.declined_at)
            case Fate.REGISTERED | Fate.JOINED:
                self._hand_over(client, mail)
                self._answer(client, portal, invitee, at + timedelta(hours=invitee.after_hours))

    def _invitation(self, client: ImportedClient, portal: Portal, admin: User, at: datetime) -> OutboxMail:
        """Enqueue the mail of the client's current generation, with its events."""
        client.email_last_sent_at = at
        self._record(client, EventKind.INVITED if client.generation == 1 else EventKind.RESENT, at, actor=admin)
        self._record(client, EventKind.MAIL_QUEUED, at)
        mail = enqueue(
            MailKind.INVITATION,
            portal_id=portal.id,
            client_id=client.id,
            generation=client.generation,
            recipient=client.email,
            params={
                "portal_name": portal.name,
                "company_name": client.company_name,
                "inviter_name": admin.name,
                "inviter_email": admin.email,
            },
        )
        mail.created_at = mail.due_at = at
        return mail

    def _hand_over(self, client: ImportedClient, mail: OutboxMail) -> None:
        at = _mark_sent(mail)
        client.email_last_sent_at = at
        client.link_expires_at = at + link_lifetime_of(self.session.get_one(Portal, client.portal_id))
        self._record(client, EventKind.MAIL_SENT, at)

    def _lapse(self, client: ImportedClient, until: datetime) -> None:
        """Record that the current link expired, if it expired by `until`."""
        if client.link_expires_at is not None and client.link_expires_at <= until:
            client.link_lapsed_at = client.link_expires_at
            self._record(client, EventKind.EXPIRED, client.link_expires_at)

    def _answer(self, client: ImportedClient, portal: Portal, invitee: Invitee, at: datetime) -> None:
        """Let the client register and verify, or accept with the account it already has."""
        has_account = invitee.email in self.accounts
        joins = invitee.fate is Fate.JOINED
        user = self._account(Person(invitee.person, invitee.email), at, verified=joins)
        client.user_id = user.id
        client.registered_at = at
        client.registered_generation = client.generation
        if not has_account:
            self._record(client, EventKind.REGISTERED, at, actor=user)
            self._verification(user, portal, at)
            at += _READING_A_MAIL
        if joins:
            if not has_account:
                user.email_verified_at = at
                self._record(client, EventKind.VERIFIED, at, actor=user)
            client.status = ClientStatus.JOINED
            client.joined_at = at
            self._membership(portal, user, Role.CLIENT, at)
            self._record(client, EventKind.JOINED, at, actor=user)

    def _verification(self, user: User, portal: Portal, at: datetime) -> None:
        user.verification_generation = 1
        mail = enqueue(
            MailKind.VERIFICATION,
            portal_id=portal.id,
            user_id=user.id,
            generation=1,
            recipient=user.email,
            params={"portal_name": portal.name},
        )
        mail.created_at = mail.due_at = at
        user.verification_expires_at = _mark_sent(mail) + VERIFICATION_LIFETIME

    def _record(
        self,
        client: ImportedClient,
        kind: EventKind,
        at: datetime,
        *,
        actor: User | None = None,
        detail: str | None = None,
    ) -> None:
        self.events.append(
            ClientEvent(
                portal_id=client.portal_id,
                client_id=client.id,
                generation=client.generation,
                kind=kind,
                at=at,
                actor_id=actor.id if actor else None,
                detail=detail,
            )
        )

    def _moment(self, invitee: Invitee) -> datetime:
        """The time of the newest invitation. One of today is dated now."""
        if invitee.days_ago == 0:
            return self.now
        day = self.now.date() - timedelta(days=invitee.days_ago)
        return datetime.combine(day, time.fromisoformat(invitee.time), UTC)


def _mark_sent(mail: OutboxMail) -> datetime:
    """Mark a mail as sent at the first attempt. Returns when."""
    mail.state = MailState.SENT
    mail.attempts = 1
    mail.sent_at = mail.created_at + _HAND_OVER
    return mail.sent_at


def _id_made_at(at: datetime) -> UUID:
    """An id as if created at that time: the table lists clients in the order of their ids."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (new_id().int & ((1 << 80) - 1)))
