"""Mails to client admins about joined clients, at once or daily. Each admin chooses for each portal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from uuid import UUID

from flask import current_app
from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from app.branding.policy import PortalPolicy
from app.clients.expiry import track_expiry
from app.core.clock import now
from app.core.links import LinkClaim, LinkKind, make_url
from app.core.text import defuse_links
from app.db.transactions import transaction
from app.extensions import db
from app.models import (
    ClientEvent,
    ClientStatus,
    EventKind,
    ImportedClient,
    JoinNotice,
    MailKind,
    Membership,
    OutboxMail,
    Portal,
    Role,
    User,
)
from app.outbox.enqueue import enqueue
from app.outbox.kinds import MailRules, there_is
from app.outbox.leased_email import MailContent

_DAY = timedelta(days=1)
_SETTLED_AFTER = timedelta(minutes=1)
"""Whatever happened longer ago is committed, because no transaction takes this long."""
_MOST_NAMES = 20


@dataclass(frozen=True)
class _InDigest:
    """The clients in a digest: names and ids of the first few, and the number of all."""

    names: Sequence[str]
    ids: Sequence[UUID]
    number: int

    def params(self, what: str) -> dict[str, str]:
        """As parameters of the mail. The ids are for an erasure to find the names by."""
        return {
            what: "\n".join(self.names),
            f"{what}_ids": " ".join(one.hex for one in self.ids),
            f"{what}_number": str(self.number),
        }


def enqueue_join_notices(client: ImportedClient, joined: ClientEvent) -> None:
    """Enqueue a mail to each client admin who wants to be told at once, in the caller's transaction."""
    admins = db.session.scalars(
        select(User)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.portal_id == client.portal_id, Membership.join_notice == JoinNotice.AT_ONCE)
    ).all()
    if not admins:
        return
    db.session.flush()  # assigns the event's id
    params = {
        "portal_name": db.session.get_one(Portal, client.portal_id).name,
        "company_name": client.company_name,
        "client_email": client.email,
    }
    for user in admins:
        enqueue(
            MailKind.JOIN_NOTICE,
            portal_id=client.portal_id,
            user_id=user.id,
            generation=joined.id,
            recipient=user.email,
            params=params | {"language": user.reads},
        )


def send_digests(stop: Event) -> int:
    """Enqueue the daily digests that are due, until `stop` is set.

    Returns their number. A day without news gets none.
    """
    track_expiry()  # first, so that the digest knows all links that have expired up to now
    at = now()
    due = db.session.execute(
        select(Membership.portal_id, Membership.user_id, Membership.digest_from).where(
            Membership.join_notice == JoinNotice.DAILY, Membership.digest_from <= at - _SETTLED_AFTER - _DAY
        )
    ).all()
    written = 0
    for portal_id, user_id, since in due:
        if stop.is_set():
            break
        assert since is not None  # noqa: S101 - the query selects by it
        # Whole days, so that the digest always covers the same hours, whenever the job runs.
        until = since + (at - _SETTLED_AFTER - since) // _DAY * _DAY
        written += _write_digest(portal_id, user_id, since, until)
    return written


def _write_digest(portal_id: str, user_id: int, since: datetime, until: datetime) -> bool:
    with transaction() as session:
        taken = session.execute(
            update(Membership)
            .where(
                Membership.portal_id == portal_id,
                Membership.user_id == user_id,
                Membership.join_notice == JoinNotice.DAILY,
                # No longer equal if another process was first, or if the admin changed the setting.
                Membership.digest_from == since,
            )
            .values(digest_from=until)
            .returning(Membership.user_id)
        ).first()
        has_joined = _between(ImportedClient.joined_at, since, until)
        has_lapsed = and_(
            _between(ImportedClient.link_expires_at, since, until),
            ImportedClient.status == ClientStatus.INVITE_SENT,
            ImportedClient.registered_at.is_(None),
            ImportedClient.link_lapsed_at.is_not(None),
        )
        newest = session.scalar(_newest_event(portal_id, or_(has_joined, has_lapsed))) if taken else None
        if newest is None:
            return False
        joined = _in_digest(portal_id, has_joined, ImportedClient.joined_at)
        lapsed = _in_digest(portal_id, has_lapsed, ImportedClient.link_expires_at)
        user = session.get_one(User, user_id)
        enqueue(
            MailKind.JOIN_DIGEST,
            portal_id=portal_id,
            user_id=user_id,
            generation=newest,
            recipient=user.email,
            params={
                "portal_name": session.get_one(Portal, portal_id).name,
                **joined.params("joined"),
                **lapsed.params("lapsed"),
                "language": user.reads,
            },
        )
    return True


def _between(moment: InstrumentedAttribute[datetime | None], since: datetime, until: datetime) -> ColumnElement[bool]:
    return and_(moment > since, moment <= until)


def _newest_event(portal_id: str, is_in_digest: ColumnElement[bool]) -> Select[int | None]:
    """The id of the newest joining or expiry in the digest. It is unique to this digest, so it is its generation."""
    clients = select(ImportedClient.id).where(ImportedClient.portal_id == portal_id, is_in_digest)
    return select(func.max(ClientEvent.id)).where(
        ClientEvent.portal_id == portal_id,
        ClientEvent.client_id.in_(clients),
        ClientEvent.kind.in_((EventKind.JOINED, EventKind.EXPIRED)),
    )


def _in_digest(
    portal_id: str, is_in_digest: ColumnElement[bool], moment: InstrumentedAttribute[datetime | None]
) -> _InDigest:
    clients = select(ImportedClient.company_name, ImportedClient.id).where(
        ImportedClient.portal_id == portal_id, is_in_digest
    )
    number = db.session.scalar(select(func.count()).select_from(clients.subquery())) or 0
    first = db.session.execute(clients.order_by(moment).limit(_MOST_NAMES)).all()
    return _InDigest([row.company_name for row in first], [row.id for row in first], number)


class _NoticeRules(MailRules):
    """The outbox's rules for notices. Nothing happens after one is sent or has failed."""

    def __init__(self, notice: JoinNotice) -> None:
        # Not wanted any more if the recipient is no longer a client admin, is disabled, or has chosen another notice.
        self.still_wanted = there_is(
            Membership.portal_id == OutboxMail.portal_id,
            Membership.user_id == OutboxMail.user_id,
            Membership.role == Role.CLIENT_ADMIN,
            Membership.join_notice == notice,
            User.id == OutboxMail.user_id,
            User.disabled_at.is_(None),
        )

    def link(self, mail: MailContent) -> str:
        base = current_app.config["PUBLIC_BASE_URL"]
        return f"{base}/portals/{mail.portal_id}/settings/accounts/imported-clients"

    def unsubscribe_link(self, mail: MailContent) -> str:
        # No generation: it works for as long as the membership is there.
        return make_url(LinkKind.STOP_NOTICES, LinkClaim(f"{mail.portal_id}.{mail.user_id}", 0))


class JoinNoticeRules(_NoticeRules):
    """The mail about one client that has just joined."""

    per_recipient_values = ("company_name", "client_email", "recipient")

    def __init__(self) -> None:
        super().__init__(JoinNotice.AT_ONCE)

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        return {
            "portal_name": defuse_links(mail.params["portal_name"]),
            "company_name": defuse_links(mail.params["company_name"]),
            "client_email": mail.params["client_email"],
            "recipient": mail.recipient,
        }


class JoinDigestRules(_NoticeRules):
    """The mail about one day: which clients joined, and whose links expired."""

    def __init__(self) -> None:
        super().__init__(JoinNotice.DAILY)

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        return {
            "portal_name": defuse_links(mail.params["portal_name"]),
            "joined": tuple(map(defuse_links, mail.params["joined"].splitlines())),
            "joined_number": int(mail.params["joined_number"]),
            "lapsed": tuple(map(defuse_links, mail.params["lapsed"].splitlines())),
            "lapsed_number": int(mail.params["lapsed_number"]),
            "recipient": mail.recipient,
        }
