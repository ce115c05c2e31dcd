"""The detail of one client for the side panel: what happened, who did it, and the mails that were sent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import select

from app.branding.policy import policies_of
from app.clients.allow_request import allow_request
from app.clients.list_queries import client_row
from app.clients.rows import ClientRow
from app.core.clock import now
from app.core.i18n import lazy
from app.extensions import db
from app.models import ClientEvent, EventKind, MailKind, MailState, OutboxMail, User
from app.outbox.render import CutMail, render_cut

MOST_EVENTS = 200
MOST_MAILS = 50

_MAILS_SHOWN = (MailKind.INVITATION, MailKind.REMINDER)

EVENT_WORDS = {
    EventKind.INVITED: lazy("Invited"),
    EventKind.RESENT: lazy("Invited again; the older link stopped working"),
    EventKind.CORRECTED: lazy("Corrected and invited again; the older link stopped working"),
    EventKind.MAIL_QUEUED: lazy("Email queued"),
    EventKind.MAIL_SENT: lazy("Email accepted by mail server"),
    EventKind.MAIL_FAILED: lazy("Email couldn't be delivered"),
    EventKind.MAIL_BOUNCED: lazy("Email bounced"),
    EventKind.MAIL_DELAYED: lazy("Email delayed; a mail server is still trying to deliver it"),
    EventKind.MAIL_COMPLAINED: lazy("Reported as spam by the recipient"),
    EventKind.EXPIRED: lazy("Link expired"),
    EventKind.REMINDED: lazy("Reminder accepted by mail server"),
    EventKind.DECLINED: lazy("Declined by the recipient"),
    EventKind.REQUESTED: lazy("The recipient asked for a new invitation; the older link stopped working"),
    EventKind.REGISTERED: lazy("Registered"),
    EventKind.VERIFIED: lazy("Email address verified"),
    EventKind.JOINED: lazy("Joined"),
    EventKind.ACCESS_ENDED: lazy("Access to the portal ended"),
    EventKind.ACCESS_GIVEN_BACK: lazy("Access to the portal given back"),
    EventKind.ACCOUNT_DELETED: lazy("Account deleted"),
    EventKind.EMAIL_CHANGED: lazy("Changed the email address of their account"),
    EventKind.REMOVED: lazy("Removed"),
}
MAIL_WORDS = {
    MailState.QUEUED: lazy("Waiting to be sent"),
    MailState.SENDING: lazy("Sending"),
    MailState.SENT: lazy("Accepted by mail server"),
    MailState.FAILED: lazy("Couldn't be delivered"),
    MailState.BOUNCED: lazy("Bounced"),
    MailState.COMPLAINED: lazy("Reported as spam"),
}

_OF_THE_CLIENT = {
    EventKind.MAIL_COMPLAINED,
    EventKind.DECLINED,
    EventKind.REQUESTED,
    EventKind.REGISTERED,
    EventKind.VERIFIED,
    EventKind.JOINED,
    EventKind.ACCOUNT_DELETED,
    EventKind.EMAIL_CHANGED,
}
_OF_THE_SYSTEM = {
    EventKind.MAIL_QUEUED,
    EventKind.MAIL_SENT,
    EventKind.MAIL_FAILED,
    EventKind.MAIL_BOUNCED,
    EventKind.MAIL_DELAYED,
    EventKind.EXPIRED,
    EventKind.REMINDED,
}


@dataclass(frozen=True)
class PastEvent:
    """An event in the client's past, described in words."""

    id: int
    at: datetime
    words: str
    actor: str
    detail: str | None
    """The mail server's reply, if there is one; of an invitation, the message that the admin wrote."""
    is_message: bool


@dataclass(frozen=True)
class MailOfClient:
    """An invitation mail or reminder, without its text."""

    id: UUID
    invitation: int
    """The number of the invitation that the mail belongs to, counted from 1 for each client."""
    is_reminder: bool
    recipient: str
    state: MailState
    attempts: int
    created_at: datetime
    sent_at: datetime | None
    note: str | None

    @property
    def words(self) -> str:
        return str(MAIL_WORDS[self.state])


@dataclass(frozen=True)
class ClientHistory:
    """A client with its past, newest first. Of a very long past it holds only the newest part."""

    row: ClientRow
    events: Sequence[PastEvent]
    mails: Sequence[MailOfClient]
    is_cut_short: bool
    allow_request: str | None = None
    """A text for the client's IT, if its mail server refuses our email."""

    @property
    def fingerprint(self) -> str:
        """A short hash that differs whenever the panel shows something else."""
        client = self.row.client
        now_shown = (
            *(client.company_name, client.email, client.account_email, client.status, client.reminders_stopped_at),
            *(self.row.delivery, self.row.is_link_expired),
        )
        newest = self.events[0].id if self.events else 0
        return hashlib.sha256(repr((now_shown, newest, self.mails)).encode()).hexdigest()[:16]


def client_history(portal_id: str, client_id: UUID) -> ClientHistory | None:
    """One client with its past, in three queries, or None if the portal has no such client."""
    row = client_row(portal_id, client_id)
    if row is None:
        return None
    events = _events(portal_id, client_id)
    mails = _mails(portal_id, client_id)
    return ClientHistory(
        row,
        events[:MOST_EVENTS],
        mails[:MOST_MAILS],
        is_cut_short=len(events) > MOST_EVENTS or len(mails) > MOST_MAILS,
        allow_request=_allow_request(row),
    )


def _allow_request(row: ClientRow) -> str | None:
    if row.advice is None or not row.advice.is_for_their_it:
        return None
    client = row.client
    mail = db.session.scalar(
        select(OutboxMail).where(
            OutboxMail.portal_id == client.portal_id,
            OutboxMail.client_id == client.id,
            OutboxMail.kind == MailKind.INVITATION,
            OutboxMail.generation == client.generation,
        )
    )
    return allow_request(mail) if mail else None


def mail_in_words(portal_id: str, client_id: UUID, mail_id: UUID) -> CutMail | None:
    """What a mail to a client said, or would say if it were sent now.

    Its link is cut. None if there is no such mail.
    """
    mail = db.session.scalar(
        select(OutboxMail).where(
            OutboxMail.id == mail_id,
            OutboxMail.portal_id == portal_id,
            OutboxMail.client_id == client_id,
            OutboxMail.kind.in_(_MAILS_SHOWN),
        )
    )
    return render_cut(mail, mail.sent_at or now(), policies_of([portal_id])[portal_id]) if mail else None


def _events(portal_id: str, client_id: UUID) -> list[PastEvent]:
    found = db.session.execute(
        select(ClientEvent, User.name)
        .outerjoin(User, User.id == ClientEvent.actor_id)
        .where(ClientEvent.portal_id == portal_id, ClientEvent.client_id == client_id)
        .order_by(ClientEvent.id.desc())
        .limit(MOST_EVENTS + 1)
    )
    return [
        PastEvent(
            event.id,
            event.at,
            str(EVENT_WORDS[event.kind]),
            _actor(event.kind, name),
            event.detail,
            is_message=event.kind is EventKind.INVITED,
        )
        for event, name in found
    ]


def _actor(kind: EventKind, name: str | None) -> str:
    if kind in _OF_THE_CLIENT:
        return _("the client")
    if kind in _OF_THE_SYSTEM:
        return _("System")
    return name or _("deleted user")


def _mails(portal_id: str, client_id: UUID) -> list[MailOfClient]:
    found = db.session.scalars(
        select(OutboxMail)
        .where(
            OutboxMail.portal_id == portal_id,
            OutboxMail.client_id == client_id,
            OutboxMail.kind.in_(_MAILS_SHOWN),
        )
        .order_by(OutboxMail.generation.desc(), OutboxMail.id.desc())
        .limit(MOST_MAILS + 1)
    )
    return [
        MailOfClient(
            id=mail.id,
            invitation=mail.generation,
            is_reminder=mail.kind is MailKind.REMINDER,
            recipient=mail.recipient,
            state=mail.state,
            attempts=mail.attempts,
            created_at=mail.created_at,
            sent_at=mail.sent_at,
            note=mail.last_error,
        )
        for mail in found
    ]
