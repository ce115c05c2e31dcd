"""A look behind the scenes: what the database holds, what services do without a browser, and time that passes there.

Each call has an application context of its own, as each request has, so nothing is carried from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import delete, insert, select, update

from app.accounts.users import find_user
from app.branding.policy import policies_of
from app.clients.service import remove_client, resend_invite
from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.invitations import history, recipient_limit
from app.invitations.service import invitation_url
from app.models import (
    ClientEvent,
    ClientStatus,
    EventKind,
    ImportedClient,
    LoginSession,
    MailServerState,
    MailState,
    Membership,
    OutboxMail,
    Portal,
    RateLimitHit,
    Role,
    User,
)
from app.models.types import db_now
from app.outbox import queue, routing
from app.outbox.errors import DeliveryError, ServerFailure, ServerUnavailable
from app.outbox.leased_email import LeasedEmail
from tests.support.databases import dump
from tests.support.factories import find_client, invite

HARBOUR = "harbour"


class AppDriver:
    """`portal_id` is Harbour Tours unless said otherwise, and its client admin Ada is who acts."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def do(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something that needs the application."""
        with self.app.app_context():
            return call(*args, **kwargs)

    def invite(
        self,
        email: str,
        company_name: str = "Nordwind Reisen",
        portal_id: str = HARBOUR,
        message: str | None = None,
    ) -> UUID:
        return UUID(self.do(invite, portal_id, email, company_name, message=message))

    def resend(self, client_id: UUID) -> None:
        """Resend, some time after whatever was done before."""
        self.let_presses_pass()
        self.do(resend_invite, HARBOUR, client_id, self.user("ada@harbour.test").id)

    def let_presses_pass(self) -> None:
        """Let what was resent be resent a minute ago: pressed again, a button is not pressed twice."""
        resent = ClientEvent.kind.in_((EventKind.RESENT, EventKind.CORRECTED))
        self._write(update(ClientEvent).where(resent).values(at=now() - timedelta(minutes=1)))

    def forget_limits(self) -> None:
        """Let nothing be counted any more, for who does in seconds what people do in days."""
        self._write(delete(RateLimitHit))

    def use_up_mails(self, email: str, portal_id: str = HARBOUR, *, left: int = 0) -> None:
        """Let a recipient have had as many invitation mails half an hour ago as it may get in one, but for a few."""
        limit = recipient_limit.MAILS_TO_RECIPIENT
        hit = {"key": limit.key(f"{portal_id} {email}"), "at": now() - timedelta(minutes=30)}
        self._write(insert(RateLimitHit).values([hit] * (limit.times - left)))

    def remove(self, client_id: UUID) -> None:
        self.do(remove_client, HARBOUR, client_id, self.user("ada@harbour.test").id)

    def link(self, client_id: UUID, generation: int = 1, portal_id: str = HARBOUR) -> str:
        """The link of one generation of a client's invitation, whether it was mailed yet or not."""
        return str(self.do(invitation_url, portal_id, client_id, generation))

    def dump(self, *, with_audit: bool = False) -> str:
        return str(self.do(dump, with_audit=with_audit))

    def client(self, email: str, portal_id: str = HARBOUR) -> ImportedClient:
        found = self.do(find_client, portal_id, email)
        assert isinstance(found, ImportedClient)
        return found

    def clients(self) -> list[tuple[str, str, str]]:
        """Portal, e-mail and status of every client there is."""
        query = select(ImportedClient.portal_id, ImportedClient.email, ImportedClient.status)
        return sorted((*row[:2], row[2].value) for row in self.do(lambda: db.session.execute(query).all()))

    def user(self, email: str) -> User:
        found = self.do(find_user, email)
        assert isinstance(found, User), f"{email} has no account"
        return found

    def has_account(self, email: str) -> bool:
        return self.do(find_user, email) is not None

    def role(self, email: str, portal_id: str = HARBOUR) -> Role | None:
        user_id = self.user(email).id
        return self.do(
            lambda: db.session.scalar(
                select(Membership.role).where(Membership.portal_id == portal_id, Membership.user_id == user_id)
            )
        )

    def mails(self) -> list[OutboxMail]:
        """The whole outbox, oldest first."""
        return list(self.do(lambda: db.session.scalars(select(OutboxMail).order_by(OutboxMail.id)).all()))

    def mail(self, recipient: str) -> OutboxMail:
        (found,) = [mail for mail in self.mails() if mail.recipient == recipient]
        return found

    def let_join(self, email: str, portal_id: str = HARBOUR) -> None:
        """Let a client have joined, with the account of Ada."""
        joined = {"status": ClientStatus.JOINED, "joined_at": now(), "registered_at": now()}
        ours = update(ImportedClient).where(ImportedClient.portal_id == portal_id, ImportedClient.email == email)
        self._write(ours.values(user_id=self.user("ada@harbour.test").id, **joined))

    def change_portal(self, portal_id: str = HARBOUR, **values: object) -> None:
        self._write(update(Portal).where(Portal.id == portal_id).values(**values))

    def change_mail(self, mail_id: UUID, **values: object) -> None:
        self._write(update(OutboxMail).where(OutboxMail.id == mail_id).values(**values))

    def make_due(self) -> None:
        """Let every pause be over, by the database's clock: those of mails and those of mail servers."""
        self._write(update(OutboxMail).values(due_at=db_now(-1)))
        self.end_server_pauses()

    def pause(self, server: str, error: ServerFailure) -> None:
        """Pause a mail server, as a worker does that found it at fault."""
        self._in_transaction(routing.pause, server, error)

    def end_server_pauses(self) -> None:
        """Let the time come to try paused mail servers again."""
        paused = MailServerState.paused_until.is_not(None)
        self._write(update(MailServerState).where(paused).values(paused_until=db_now(-1)))

    def claim(self, most: int = 100) -> list[LeasedEmail]:
        """Lease what is due in each queue, as a worker does that is just about to send it."""

        def take() -> list[LeasedEmail]:
            with transaction():
                queue.release_stalled()
                return [mail for one in queue.due_queues() for mail in queue.fetch(one, most)[0]]

        return list(self.do(take))

    def claim_one(self) -> LeasedEmail:
        """The same, where there is exactly one."""
        (mail,) = self.claim()
        return mail

    def settle(self, mail: LeasedEmail, error: DeliveryError | None = None) -> None:
        """Record what came of sending a mail."""
        self._record([queue.Outcome(mail, error)])

    def settle_sent(self, mails: Sequence[LeasedEmail]) -> None:
        """Record that mails were sent, in one batch."""
        self._record([queue.Outcome(mail, None) for mail in mails])

    def _record(self, done: Sequence[queue.Outcome]) -> None:
        def record() -> None:
            queue.record_results(done, now(), policies_of({one.mail.portal_id for one in done}))

        self._in_transaction(record)

    def release(self, mail: LeasedEmail) -> None:
        """Give a mail back, since its server cannot be reached."""
        self.settle(mail, ServerUnavailable("Nobody listens."))

    def free_lapsed(self, *in_hand: LeasedEmail) -> None:
        """Put back what lapsed, as a worker does that has these mails in hand."""
        self._in_transaction(queue.release_stalled, in_hand)

    def _in_transaction(self, call: Callable[..., Any], *args: Any) -> Any:
        def work() -> Any:
            with transaction():
                return call(*args)

        return self.do(work)

    def make_all_wait(self) -> None:
        """Put the whole outbox back to its beginning."""
        self._write(update(OutboxMail).values(state=MailState.QUEUED, lease_id=None, lease_until=None))

    def end_sessions(self) -> None:
        """Let every session of a browser be over."""
        self._write(update(LoginSession).values(expires_at=now()))

    def end_leases(self) -> None:
        """Let every lease be over, by the database's clock."""
        self._write(update(OutboxMail).where(OutboxMail.lease_id.is_not(None)).values(lease_until=db_now(-1)))

    def let_link_lapse(self, client_id: UUID, at: datetime) -> None:
        """Put the moment at which the current link ends."""
        self._write(update(ImportedClient).where(ImportedClient.id == client_id).values(link_expires_at=at))

    def seconds_until_due(self, recipient: str) -> float:
        due_at, at = self.do(
            lambda: db.session.execute(
                select(OutboxMail.due_at, db_now()).where(OutboxMail.recipient == recipient)
            ).one()
        )
        return float((due_at - at).total_seconds())

    def seconds_until_tried(self, server: str) -> float:
        """How long a paused mail server is left in peace; its key is the portal's id, or "" for the deployment's."""
        until, at = self.do(
            lambda: db.session.execute(
                select(MailServerState.paused_until, db_now()).where(MailServerState.server == server)
            ).one()
        )
        return float((until - at).total_seconds())

    def events(self, client_id: UUID) -> list[tuple[EventKind, str | None]]:
        """What happened to a client, and the address of who did it."""

        def read() -> list[tuple[EventKind, str | None]]:
            addresses = {user.id: user.email for user in db.session.scalars(select(User))}
            found = history.events_of(HARBOUR, client_id)
            return [(event.kind, addresses[event.actor_id] if event.actor_id else None) for event in found]

        return list(self.do(read))

    def kinds(self, client_id: UUID) -> list[EventKind]:
        return [kind for kind, _actor in self.events(client_id)]

    def _write(self, statement: Any) -> None:
        def write() -> None:
            with transaction() as session:
                session.execute(statement)

        self.do(write)
