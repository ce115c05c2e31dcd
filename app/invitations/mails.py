"""The invitation mail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import select, update

from app import history
from app.clock import db_now
from app.database import insert_all
from app.extensions import db
from app.ids import new_id
from app.invitations.services import invitation_url
from app.links import LinkKind
from app.models import EventKind, ImportedClient, MailKind, MailState, OutboxMail, Portal, User
from app.outbox.render import expiry_text
from app.outbox.services import enqueue, message_id_of, wake_after_commit
from app.text import defuse_links


@dataclass(frozen=True)
class Invitee:
    """What a mail needs to know of the client it invites."""

    client_id: UUID
    generation: int
    company_name: str
    email: str


def queue_invitation(client: ImportedClient, portal: Portal, inviter: User) -> None:
    """Write the mail of a client's current invitation, in the caller's transaction."""
    enqueue(
        MailKind.INVITATION,
        portal_id=client.portal_id,
        client_id=client.id,
        generation=client.generation,
        recipient=client.email,
        params=invitation_params(portal, inviter, client.company_name),
    )
    history.record(client, EventKind.MAIL_QUEUED)


def queue_invitations(portal: Portal, inviter: User, invitees: Sequence[Invitee], at: datetime) -> None:
    """Write the mails of many clients of one portal, as `queue_invitation` does for one, in two statements."""
    mail_ids = [new_id() for _invitee in invitees]
    due_at = db.session.scalar(select(db_now()))
    insert_all(
        db.session(),
        OutboxMail,
        [
            {
                "id": mail_id,
                "kind": MailKind.INVITATION,
                "portal_id": portal.id,
                "client_id": invitee.client_id,
                "generation": invitee.generation,
                "recipient": invitee.email,
                "params": invitation_params(portal, inviter, invitee.company_name),
                "message_id": message_id_of(mail_id),
                "created_at": at,
                "state": MailState.QUEUED,
                "attempts": 0,
                "due_at": due_at,
            }
            for mail_id, invitee in zip(mail_ids, invitees, strict=True)
        ],
    )
    history.record_all(
        portal.id, [(invitee.client_id, invitee.generation) for invitee in invitees], EventKind.MAIL_QUEUED, at
    )
    wake_after_commit(db.session())


def invitation_params(portal: Portal, inviter: User, company_name: str) -> dict[str, str]:
    """The names an invitation mail says, as they are now."""
    return {
        "portal_name": portal.name,
        "company_name": company_name,
        "inviter_name": inviter.name,
        "inviter_email": inviter.email,
    }


def invitation_lifetime() -> timedelta:
    """How long a link lives, counted from when the mail server took its mail."""
    return timedelta(seconds=current_app.config["SETTINGS"].invitation_ttl_seconds)


class InvitationHandler:
    """What the outbox needs to know of invitations."""

    link_kind = LinkKind.INVITATION

    def is_wanted(self, mail: OutboxMail) -> bool:
        client = _client_of(mail)
        return (
            client is not None
            and client.generation == mail.generation
            and client.registered_generation != mail.generation
            and not client.is_joined
        )

    def link(self, mail: OutboxMail) -> str:
        client = db.session.get_one(ImportedClient, (mail.portal_id, mail.client_id))
        return invitation_url(client.portal_id, client.id, mail.generation)

    def context(self, mail: OutboxMail, at: datetime) -> dict[str, object]:
        lifetime = invitation_lifetime()
        return {
            **{name: defuse_links(value) for name, value in mail.params.items()},
            "inviter_email": mail.params["inviter_email"],
            "recipient": mail.recipient,
            "expires_on": expiry_text(at, lifetime),
            # Only a whole number of days can be said in days.
            "valid_days": 0 if lifetime % timedelta(days=1) else lifetime.days,
        }

    def handed_over(self, mail: OutboxMail, at: datetime) -> None:
        result = db.session.execute(
            update(ImportedClient)
            .where(
                ImportedClient.portal_id == mail.portal_id,
                ImportedClient.id == mail.client_id,
                ImportedClient.generation == mail.generation,
            )
            .values(email_last_sent_at=at, link_expires_at=at + invitation_lifetime())
        )
        client = _client_of(mail)
        if result.rowcount and client is not None:  # type: ignore[attr-defined]
            history.record(client, EventKind.MAIL_SENT)

    def given_up(self, mail: OutboxMail, reason: str) -> None:
        client = _client_of(mail)
        if client is not None and client.generation == mail.generation:
            history.record(client, EventKind.MAIL_FAILED, detail=reason)


def _client_of(mail: OutboxMail) -> ImportedClient | None:
    return db.session.get(ImportedClient, (mail.portal_id, mail.client_id), populate_existing=True)
