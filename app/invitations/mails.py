"""The invitation mail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from flask import current_app
from sqlalchemy import Table, bindparam, select, tuple_, update

from app import history
from app.clock import db_now
from app.database import insert_all
from app.extensions import db
from app.ids import new_id
from app.invitations.services import invitation_url
from app.links import LinkKind
from app.models import ClientStatus, EventKind, ImportedClient, MailKind, MailState, OutboxMail, Portal, User
from app.outbox.lanes import first_lane
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
    lane = first_lane(MailKind.INVITATION, portal.id)
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
                "lane": lane,
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
    own_values: Collection[str] = ("company_name", "recipient")

    def unwanted(self, mails: Sequence[OutboxMail]) -> Collection[UUID]:
        found = db.session.connection().execute(_STILL_INVITED, {"keys": _keys(mails)})
        current = {tuple(row) for row in found}
        return [mail.id for mail in mails if (mail.portal_id, mail.client_id, mail.generation) not in current]

    def link(self, mail: OutboxMail) -> str:
        assert mail.portal_id is not None and mail.client_id is not None  # noqa: S101, PT018 - invitations have both
        return invitation_url(mail.portal_id, mail.client_id, mail.generation)

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

    def hold(self, mails: Sequence[OutboxMail]) -> None:
        db.session.connection().execute(_HOLD, {"keys": _keys(mails)})

    def handed_over(self, mails: Sequence[OutboxMail], at: datetime) -> None:
        generations = [(mail.portal_id, mail.client_id, mail.generation) for mail in mails]
        stamped = db.session.connection().execute(
            _STAMP,
            {"keys": _keys(mails), "generations": generations, "at": at, "ends_at": at + invitation_lifetime()},
        )
        of_portal: defaultdict[str, list[tuple[UUID, int]]] = defaultdict(list)
        for row in stamped:
            of_portal[row.portal_id].append((row.id, row.generation))
        for portal_id, invitations in of_portal.items():
            history.record_all(portal_id, invitations, EventKind.MAIL_SENT, at)

    def given_up(self, mail: OutboxMail, reason: str) -> None:
        client = db.session.get(ImportedClient, (mail.portal_id, mail.client_id), populate_existing=True)
        if client is not None and client.generation == mail.generation:
            history.record(client, EventKind.MAIL_FAILED, detail=reason)


# Made once, and of the table and not the model, since they run for each mail.

_CLIENT = cast(Table, ImportedClient.__table__)
_IS_ONE_OF_THEM = tuple_(_CLIENT.c.portal_id, _CLIENT.c.id).in_(bindparam("keys", expanding=True))
_STILL_INVITED = select(_CLIENT.c.portal_id, _CLIENT.c.id, _CLIENT.c.generation).where(
    _IS_ONE_OF_THEM,
    _CLIENT.c.status == ClientStatus.INVITE_SENT,
    _CLIENT.c.registered_generation.is_distinct_from(_CLIENT.c.generation),
)
_HOLD = (
    select(_CLIENT.c.id)
    .where(_IS_ONE_OF_THEM)
    .order_by(_CLIENT.c.portal_id, _CLIENT.c.id)
    .with_for_update(key_share=True)
)
_STAMP = (
    update(_CLIENT)
    .where(
        _IS_ONE_OF_THEM,
        tuple_(_CLIENT.c.portal_id, _CLIENT.c.id, _CLIENT.c.generation).in_(bindparam("generations", expanding=True)),
    )
    .values(email_last_sent_at=bindparam("at"), link_expires_at=bindparam("ends_at"))
    .returning(_CLIENT.c.portal_id, _CLIENT.c.id, _CLIENT.c.generation)
)


def _keys(mails: Sequence[OutboxMail]) -> list[tuple[str | None, UUID | None]]:
    return [(mail.portal_id, mail.client_id) for mail in mails]
