"""The invitation mail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import and_, bindparam, select, update

from app.branding.policy import PortalPolicy
from app.core.clock import now
from app.core.ids import new_id
from app.core.links import LinkKind
from app.core.signals import mail_queued
from app.core.text import defuse_links
from app.db.bulk_insert import insert_all
from app.db.transactions import send_after_commit
from app.extensions import db
from app.invitations import history, recipient_limit
from app.invitations.service import invitation_url
from app.models import (
    ClientStatus,
    EventKind,
    ImportedClient,
    MailKind,
    MailState,
    OutboxMail,
    Portal,
    User,
    WebhookEvent,
)
from app.models.types import db_now, in_list
from app.outbox.enqueue import message_ids_of
from app.outbox.kinds import MailRules, Policies, there_is
from app.outbox.leased_email import LeasedEmail, MailContent
from app.outbox.priorities import queue_for
from app.outbox.render import expiry_text
from app.webhooks.events import About, tell

REPLACES = "replaces"
"""The parameter of a mail whose recipient has got, or may have got, an earlier invitation."""
MESSAGE = "message"
"""The parameter of a mail with a message of the admin's above the greeting."""
TEST = "test"
"""The parameter of a test mail: an invitation of nobody, whose link leads to a page that says so."""
TEST_PATH = "/invitations/test"
"""Where the link of a test mail leads. A token has dots, so this is none."""


@dataclass(frozen=True)
class Invitee:
    """A client to invite, as far as its mail needs it."""

    client_id: UUID
    generation: int
    company_name: str
    email: str
    more_params: Mapping[str, str] = field(default_factory=dict)
    """Further parameters of the mail, besides the names."""


def queue_invitations(portal: Portal, inviter: User, invitees: Sequence[Invitee], at: datetime) -> None:
    """Enqueue the current invitations of a portal's clients and tell its endpoints, in a few statements.

    Runs in the caller's transaction. The mails count towards the recipients' limits, whose lock the caller holds.
    """
    queue_for_many(MailKind.INVITATION, portal, inviter, invitees, at)
    history.record_all(portal.id, [invitee.client_id for invitee in invitees], EventKind.MAIL_QUEUED, at)
    about = [About(one.client_id, one.generation, one.company_name, one.email) for one in invitees]
    tell(portal.id, WebhookEvent.CLIENT_INVITED, about, at)


def queue_for_many(kind: MailKind, portal: Portal, inviter: User, invitees: Sequence[Invitee], at: datetime) -> None:
    """Enqueue a mail of this kind to each of a portal's clients, with one statement in the caller's transaction.

    The mails count towards the recipients' limits, whose lock the caller holds.
    """
    recipient_limit.count(portal.id, [invitee.email for invitee in invitees])
    mail_ids = [new_id() for _invitee in invitees]
    due_at = db.session.scalar(select(db_now()))
    queue = queue_for(kind, portal.id)
    insert_all(
        db.session(),
        OutboxMail,
        [
            {
                "id": mail_id,
                "kind": kind,
                "portal_id": portal.id,
                "client_id": invitee.client_id,
                "generation": invitee.generation,
                "recipient": invitee.email,
                "params": invitation_params(portal, inviter, invitee.company_name) | dict(invitee.more_params),
                "message_id": message_id,
                "created_at": at,
                "state": MailState.QUEUED,
                "attempts": 0,
                "due_at": due_at,
                "queue": queue,
            }
            for mail_id, message_id, invitee in zip(mail_ids, message_ids_of(mail_ids), invitees, strict=True)
        ],
    )
    send_after_commit(db.session(), mail_queued)


def invitation_params(portal: Portal, inviter: User, company_name: str) -> dict[str, str]:
    """The names in an invitation mail, as they are now."""
    return {
        "portal_name": portal.name,
        "company_name": company_name,
        "inviter_name": inviter.name,
        "inviter_email": inviter.email,
    }


def message_params(message: str | None) -> dict[str, str]:
    """The parameters of an invitation mail with this message, if there is one."""
    return {MESSAGE: message} if message else {}


# Matches only clients that have not been invited again since the mail was written.
_ARE_CURRENT = and_(
    ImportedClient.portal_id == OutboxMail.portal_id,
    ImportedClient.id == OutboxMail.client_id,
    ImportedClient.generation == OutboxMail.generation,
    in_list(OutboxMail.id.expression, "mail_ids"),
)
_DATE_LINKS = (
    update(ImportedClient)
    .where(_ARE_CURRENT)
    .values(email_last_sent_at=bindparam("at"), link_expires_at=bindparam("ends_at"))
)
_CURRENT = select(ImportedClient.portal_id, ImportedClient.id.label("client_id"), ImportedClient.generation)
_RECORD_SENT = history.recording(EventKind.MAIL_SENT, _CURRENT.where(_ARE_CURRENT).subquery())


class InvitationRules(MailRules):
    """The outbox's rules for invitations."""

    link_kind = LinkKind.INVITATION
    per_recipient_values: Collection[str] = ("company_name", "recipient")
    still_wanted = there_is(
        ImportedClient.portal_id == OutboxMail.portal_id,
        ImportedClient.id == OutboxMail.client_id,
        ImportedClient.generation == OutboxMail.generation,
        ImportedClient.status == ClientStatus.INVITE_SENT,
        ImportedClient.registered_generation.is_distinct_from(ImportedClient.generation),
    )

    def link(self, mail: MailContent) -> str:
        if TEST in mail.params:
            return f"{current_app.config['PUBLIC_BASE_URL']}{TEST_PATH}"
        assert mail.portal_id is not None and mail.client_id is not None  # noqa: S101, PT018 - invitations have both
        return invitation_url(mail.portal_id, mail.client_id, mail.generation)

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        lifetime = policy.link_lifetime
        return {
            "message": None,
            **{name: defuse_links(value) for name, value in mail.params.items()},
            "inviter_email": mail.params["inviter_email"],
            "has_inviter": bool(mail.params["inviter_email"]),
            "replaces": REPLACES in mail.params,
            "is_test": TEST in mail.params,
            "recipient": mail.recipient,
            "expires_on": expiry_text(at + lifetime),
            # The lifetime in days; 0 if it is not a whole number of days, because then the mail cannot say it in days.
            "valid_days": 0 if lifetime % timedelta(days=1) else lifetime.days,
        }

    def on_sent(self, mails: Sequence[LeasedEmail], at: datetime, policies: Policies) -> None:
        by_lifetime = defaultdict[timedelta, list[UUID]](list)
        for mail in mails:
            by_lifetime[policies[mail.portal_id].link_lifetime].append(mail.id)
        for lifetime, mail_ids in by_lifetime.items():
            values = {"mail_ids": mail_ids, "at": at, "ends_at": at + lifetime}
            for statement in (_DATE_LINKS, _RECORD_SENT):
                db.session.connection().execute(statement, values)

    def on_failed(self, mail: LeasedEmail, reason: str) -> None:
        client = db.session.get(ImportedClient, (mail.portal_id, mail.client_id), populate_existing=True)
        if client is not None and client.generation == mail.generation:
            tell_undelivered(client, EventKind.MAIL_FAILED, reason)


def tell_undelivered(client: ImportedClient, kind: EventKind, reason: str | None) -> None:
    """Record that the current invitation did not reach a locked client, and tell the portal's endpoints."""
    history.record(client, kind, detail=reason)
    about = About(client.id, client.generation, detail=reason)
    tell(client.portal_id, WebhookEvent.CLIENT_DELIVERY_FAILED, [about], now())
