"""One reminder of an invitation, before its link ends. Off by default; each portal's own choice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from threading import Event
from typing import cast

from sqlalchemy import ColumnElement, FromClause, Insert, Table, and_, select, tuple_, update

from app import history
from app.clock import db_now, now
from app.database import transaction
from app.extensions import db
from app.invitations.mails import InvitationHandler, Invitee, queue_for_many
from app.invitations.services import invitation_lifetime
from app.models import ClientStatus, EventKind, ImportedClient, MailKind, OutboxMail, Portal, User
from app.outbox import held
from app.outbox.handlers import HandOver, there_is
from app.outbox.mail import HeldMail, MailContent
from app.outbox.render import expiry_text
from app.prepared import Prepared
from app.text import defuse_links

REMIND_BEFORE = timedelta(days=2)
TOO_LATE = timedelta(hours=1)
"""With less time left a reminder would only announce that the link has ended."""

_BATCH = 500

_WAITS_FOR_AN_ANSWER = and_(
    ImportedClient.status == ClientStatus.INVITE_SENT,
    ImportedClient.registered_at.is_(None),
    ImportedClient.declined_at.is_(None),
)


def send_reminders(stop: Event) -> int:
    """Write the reminders that are due, until `stop` is set; returns how many.

    Marking a client and writing its mail are one transaction, and only who marks it writes: however many processes run
    this, there is one reminder of each invitation. None where links live too short for it to be of use.
    """
    if invitation_lifetime() <= REMIND_BEFORE:
        return 0
    written = 0
    while not stop.is_set():
        with transaction():
            batch = _write_batch(now())
        written += batch
        if batch < _BATCH:
            break
    return written


def _write_batch(at: datetime) -> int:
    due = (
        select(ImportedClient.portal_id, ImportedClient.id)
        .where(
            # The portals that want it are few and the index begins with them.
            ImportedClient.portal_id.in_(select(Portal.id).where(Portal.sends_reminders)),
            ImportedClient.link_expires_at > at + TOO_LATE,
            ImportedClient.link_expires_at <= at + REMIND_BEFORE,
            ImportedClient.reminded_at.is_(None),
            ImportedClient.invited_by_id.is_not(None),
            _WAITS_FOR_AN_ANSWER,
        )
        .limit(_BATCH)
        # Somebody is just changing the others; they are looked at again by the next run.
        .with_for_update(skip_locked=True, of=ImportedClient)
    )
    marked = db.session.execute(
        update(ImportedClient)
        .where(tuple_(ImportedClient.portal_id, ImportedClient.id).in_(due))
        .values(reminded_at=at)
        .returning(
            ImportedClient.portal_id,
            ImportedClient.invited_by_id,
            ImportedClient.id,
            ImportedClient.generation,
            ImportedClient.company_name,
            ImportedClient.email,
            ImportedClient.link_expires_at,
        )
        .execution_options(synchronize_session=False)
    ).all()
    invitees: defaultdict[tuple[str, int | None], list[Invitee]] = defaultdict(list)
    for row in marked:
        assert row.link_expires_at is not None  # noqa: S101 - they were looked for by it
        ends = {"expires_at": row.link_expires_at.isoformat()}
        invitee = Invitee(row.id, row.generation, row.company_name, row.email, ends)
        invitees[row.portal_id, row.invited_by_id].append(invitee)
    for (portal_id, inviter_id), theirs in invitees.items():
        portal, inviter = db.session.get_one(Portal, portal_id), db.session.get_one(User, inviter_id)
        queue_for_many(MailKind.REMINDER, portal, inviter, theirs, at)
    return len(marked)


# Of the table and not the model, since they run for each mail.

_MAIL = cast(Table, OutboxMail.__table__)
_TAKEN = select(_MAIL.c.id.label("mail_id"), _MAIL.c.portal_id, _MAIL.c.client_id, _MAIL.c.generation).where(
    held.IS_HELD
)


def _recording_reminded(taken: FromClause) -> Insert:
    return history.recording(EventKind.REMINDED, taken)


_RECORD_REMINDED = Prepared(_recording_reminded(_TAKEN.subquery()))


class ReminderHandler(InvitationHandler):
    """What the outbox needs to know of reminders. They carry the invitation's link, and leave it as it is."""

    own_values: Collection[str] = ("company_name", "recipient", "expires_on")

    is_wanted: ColumnElement[bool] = there_is(
        ImportedClient.portal_id == OutboxMail.portal_id,
        ImportedClient.id == OutboxMail.client_id,
        ImportedClient.generation == OutboxMail.generation,
        ImportedClient.link_expires_at > db_now(TOO_LATE.total_seconds()),
        _WAITS_FOR_AN_ANSWER,
        Portal.id == OutboxMail.portal_id,
        Portal.sends_reminders,
    )

    hand_over: HandOver | None = HandOver(
        taken=_TAKEN.where(_MAIL.c.kind == MailKind.REMINDER).with_for_update(key_share=True, skip_locked=True),
        changes=lambda taken: [_recording_reminded(taken)],
        values=lambda _at: {},
    )

    def context(self, mail: MailContent, at: datetime) -> dict[str, object]:
        names = {name: mail.params[name] for name in ("portal_name", "company_name", "inviter_name")}
        return {
            **{name: defuse_links(value) for name, value in names.items()},
            "inviter_email": mail.params["inviter_email"],
            "recipient": mail.recipient,
            "expires_on": expiry_text(datetime.fromisoformat(mail.params["expires_at"])),
        }

    def hold(self, mails: Sequence[HeldMail]) -> None:
        """Nothing: no client is changed. And clients held twice in one transaction would be held in no order."""

    def handed_over(self, mails: Sequence[HeldMail], at: datetime) -> None:
        # Email Last Sent is the invitation's, and so is the link's lifetime.
        _RECORD_REMINDED.run(db.session.connection(), **held.keys_of(mails), at=at)

    def given_up(self, mail: HeldMail, reason: str) -> None:
        """Nothing: the invitation itself has arrived."""
