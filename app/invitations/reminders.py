"""Reminders: one mail before an invitation's link ends. Off by default; each portal can turn them on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from threading import Event
from uuid import UUID

from sqlalchemy import Row, Select, and_, select, tuple_, update
from sqlalchemy.orm import aliased

from app.branding.policy import PortalPolicy, link_lifetime_of
from app.core.clock import now
from app.core.links import LinkClaim, LinkKind, make_url
from app.core.text import defuse_links
from app.db.transactions import transaction
from app.extensions import db
from app.invitations import history, recipient_limit
from app.invitations.emails import InvitationRules, Invitee, queue_for_many
from app.models import ClientStatus, EventKind, ImportedClient, MailKind, MailState, OutboxMail, Portal, User
from app.models.types import db_now, in_list
from app.outbox.kinds import Policies, there_is
from app.outbox.leased_email import LeasedEmail, MailContent
from app.outbox.render import expiry_text

REMIND_BEFORE = timedelta(days=2)
TOO_LATE = timedelta(hours=1)
"""No reminder is sent with less time left than this, because the link might end before anybody reads it."""

_BATCH = 500

_Marked = Sequence[Row[int | None, UUID, int, str, str, datetime | None]]
"""The clients to remind: inviter, id, generation, company name, address, and when the link ends."""

_INVITATION = aliased(OutboxMail)
_HAS_BOUNCED = (
    select(_INVITATION.id)
    .where(
        _INVITATION.portal_id == ImportedClient.portal_id,
        _INVITATION.client_id == ImportedClient.id,
        _INVITATION.kind == MailKind.INVITATION,
        _INVITATION.generation == ImportedClient.generation,
        _INVITATION.state == MailState.BOUNCED,
    )
    .correlate(ImportedClient)
    .exists()
)
_WAITS_FOR_AN_ANSWER = and_(
    ImportedClient.status == ClientStatus.INVITE_SENT,
    ImportedClient.registered_at.is_(None),
    ImportedClient.declined_at.is_(None),
    ImportedClient.reminders_stopped_at.is_(None),
    # Nobody reads a reminder at an address that returned the invitation.
    ~_HAS_BOUNCED,
)


def send_reminders(stop: Event) -> int:
    """Enqueue the reminders that are due, until `stop` is set. Returns their number.

    One transaction marks a client and writes its mail, and only the process that marks it writes. So there is one
    reminder of each invitation, however many processes run this. A portal whose links live no longer than
    `REMIND_BEFORE` gets none. A recipient who has reached the hourly limit of mails is tried again by a later run.
    """
    written = 0
    for portal_id in db.session.scalars(_due(now()).with_only_columns(ImportedClient.portal_id).distinct()).all():
        if link_lifetime_of(db.session.get_one(Portal, portal_id)) <= REMIND_BEFORE:
            continue
        while not stop.is_set():
            with transaction():
                recipient_limit.lock(portal_id)
                at = now()
                marked = _mark_due(portal_id, at)
                of_batch = _write(portal_id, marked, at)
            written += of_batch
            # Clients at their limit stay due. Stop if a batch held only such clients; the next run finds them again.
            if len(marked) < _BATCH or not of_batch:
                break
    return written


def _due(at: datetime) -> Select[str, UUID]:
    return select(ImportedClient.portal_id, ImportedClient.id).where(
        # Few portals send reminders, and the index begins with the portal.
        ImportedClient.portal_id.in_(select(Portal.id).where(Portal.sends_reminders)),
        ImportedClient.link_expires_at > at + TOO_LATE,
        ImportedClient.link_expires_at <= at + REMIND_BEFORE,
        ImportedClient.reminded_at.is_(None),
        ImportedClient.invited_by_id.is_not(None),
        _WAITS_FOR_AN_ANSWER,
    )


def _mark_due(portal_id: str, at: datetime) -> _Marked:
    due = (
        _due(at)
        .where(ImportedClient.portal_id == portal_id)
        .limit(_BATCH)
        # Skips rows that somebody is changing now. The next run checks them again.
        .with_for_update(skip_locked=True, of=ImportedClient)
    )
    return db.session.execute(
        update(ImportedClient)
        .where(tuple_(ImportedClient.portal_id, ImportedClient.id).in_(due))
        .values(reminded_at=at)
        .returning(
            ImportedClient.invited_by_id,
            ImportedClient.id,
            ImportedClient.generation,
            ImportedClient.company_name,
            ImportedClient.email,
            ImportedClient.link_expires_at,
        )
        .execution_options(synchronize_session=False)
    ).all()


def _put_off(portal_id: str, client_ids: Sequence[UUID]) -> None:
    """Unmark the clients, so that the next run finds them again."""
    if client_ids:
        db.session.execute(
            update(ImportedClient)
            .where(ImportedClient.portal_id == portal_id, ImportedClient.id.in_(client_ids))
            .values(reminded_at=None)
            .execution_options(synchronize_session=False)
        )


def _write(portal_id: str, marked: _Marked, at: datetime) -> int:
    over_limit = recipient_limit.waits(portal_id, [client.email for client in marked])
    _put_off(portal_id, [client.id for client in marked if client.email in over_limit])
    invitees: defaultdict[int | None, list[Invitee]] = defaultdict(list)
    for client in marked:
        if client.email in over_limit:
            continue
        assert client.link_expires_at is not None  # noqa: S101 - `_due` selects by it
        ends = {"expires_at": client.link_expires_at.isoformat()}
        invitee = Invitee(client.id, client.generation, client.company_name, client.email, ends)
        invitees[client.invited_by_id].append(invitee)
    portal = db.session.get_one(Portal, portal_id)
    for inviter_id, theirs in invitees.items():
        queue_for_many(MailKind.REMINDER, portal, db.session.get_one(User, inviter_id), theirs, at)
    return sum(map(len, invitees.values()))


_SENT = select(OutboxMail.portal_id, OutboxMail.client_id, OutboxMail.generation)
_RECORD_REMINDED = history.recording(
    EventKind.REMINDED, _SENT.where(in_list(OutboxMail.id.expression, "mail_ids")).subquery()
)


class ReminderRules(InvitationRules):
    """The outbox's rules for reminders. A reminder contains the invitation's link and does not change its expiry."""

    per_recipient_values: Collection[str] = ("company_name", "recipient", "expires_on")
    still_wanted = there_is(
        ImportedClient.portal_id == OutboxMail.portal_id,
        ImportedClient.id == OutboxMail.client_id,
        ImportedClient.generation == OutboxMail.generation,
        ImportedClient.link_expires_at > db_now(TOO_LATE.total_seconds()),
        _WAITS_FOR_AN_ANSWER,
        Portal.id == OutboxMail.portal_id,
        Portal.sends_reminders,
    )

    def unsubscribe_link(self, mail: MailContent) -> str:
        assert mail.portal_id is not None and mail.client_id is not None  # noqa: S101, PT018 - reminders have both
        # No generation: it works for as long as the client is there.
        return make_url(LinkKind.STOP_REMINDERS, LinkClaim(f"{mail.portal_id}.{mail.client_id.hex}", 0))

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        names = {name: mail.params[name] for name in ("portal_name", "company_name", "inviter_name")}
        return {
            **{name: defuse_links(value) for name, value in names.items()},
            "inviter_email": mail.params["inviter_email"],
            "has_inviter": bool(mail.params["inviter_email"]),
            "recipient": mail.recipient,
            "expires_on": expiry_text(datetime.fromisoformat(mail.params["expires_at"])),
        }

    def on_sent(self, mails: Sequence[LeasedEmail], at: datetime, policies: Policies) -> None:
        # Unlike for an invitation, "Email Last Sent" and the link's expiry stay as they are.
        db.session.connection().execute(_RECORD_REMINDED, {"mail_ids": [mail.id for mail in mails], "at": at})

    def on_failed(self, mail: LeasedEmail, reason: str) -> None:
        """Do nothing: the invitation itself has arrived."""
