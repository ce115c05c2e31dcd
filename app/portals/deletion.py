"""Deleting a portal with everything in it.

First the portal is closed, in one short transaction: its admins and staff keep no role that lets them in, host shells
no longer speak for it, nothing is delivered to its endpoints. Then its rows go in batches, because on SQLite nobody
else can write during a transaction. The portal's own row goes last. So a deletion that breaks off leaves a closed
portal, and is continued by asking for it again.

The audit trail stays until it is old, under the portal's id and without personal data: see docs/security.md.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from threading import Event
from time import sleep
from typing import TypeVar
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import Select, delete, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.audit import service as audit
from app.audit.erasure import forget_accounts, forget_portal
from app.audit.service import AuditKind
from app.core.errors import Conflict
from app.db.batches import delete_in_batches
from app.db.transactions import transaction
from app.extensions import db
from app.models import (
    ClientEvent,
    ClientImport,
    ColleagueInvitation,
    ImportedClient,
    LoginSession,
    MailServerState,
    MailState,
    Membership,
    OutboxMail,
    Portal,
    RejectedUpload,
    Role,
    ShellIssuer,
    ShellIssuerPortal,
    User,
    WebhookDelivery,
    WebhookEndpoint,
)
from app.portals.service import known_portal

_Id = TypeVar("_Id")

_BATCH = 200
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class PortalContent:
    """What a deletion takes away, in numbers."""

    name: str
    clients: int
    accounts: int
    """Those that belong to no other portal."""


@dataclass
class Deleted:
    """What a deletion has taken away, in numbers."""

    clients: int = 0
    accounts: int = 0


def content_of(portal_id: str) -> PortalContent:
    """What the deletion of a portal would take away. Raises `DomainError` if the portal is unknown."""
    portal = known_portal(portal_id)
    clients = select(func.count()).where(ImportedClient.portal_id == portal_id)
    accounts = select(func.count(User.id)).where(
        or_(
            exists().where(Membership.user_id == User.id, Membership.portal_id == portal_id),
            exists().where(ImportedClient.user_id == User.id, ImportedClient.portal_id == portal_id),
            exists().where(ColleagueInvitation.user_id == User.id, ColleagueInvitation.portal_id == portal_id),
        ),
        ~exists().where(ColleagueInvitation.user_id == User.id, ColleagueInvitation.portal_id != portal_id),
        ~exists().where(Membership.user_id == User.id, Membership.portal_id != portal_id),
        ~exists().where(ImportedClient.user_id == User.id, ImportedClient.portal_id != portal_id),
    )
    return PortalContent(portal.name, db.session.scalar(clients) or 0, db.session.scalar(accounts) or 0)


def delete_portal(portal_id: str) -> Deleted:
    """Delete a portal: clients, mails, histories, imports, webhooks, settings, roles, and accounts in no other portal.

    A mail that a worker is just sending arrives, and nothing about it is recorded. Raises `DomainError` if the portal
    is unknown, and `Conflict` if others keep adding to it.
    """
    known_portal(portal_id)
    deleted = Deleted()
    for _attempt in range(_ATTEMPTS):
        _close(portal_id)
        # What waits first, so that no more of it goes out.
        _delete_all(OutboxMail.id, _mails(portal_id).where(OutboxMail.state == MailState.QUEUED))
        _delete_all(WebhookDelivery.id, select(WebhookDelivery.id).where(WebhookDelivery.portal_id == portal_id))
        while _delete_some_clients(portal_id, deleted):
            pass
        _delete_all(OutboxMail.id, _mails(portal_id))
        _delete_all(ClientEvent.id, select(ClientEvent.id).where(ClientEvent.portal_id == portal_id))
        _delete_all(ClientImport.id, select(ClientImport.id).where(ClientImport.portal_id == portal_id))
        _delete_colleagues(portal_id, deleted)
        while _delete_some_members(portal_id, deleted):
            pass
        if _delete_rest(portal_id):
            return deleted
        sleep(_PAUSE_SECONDS)
    raise Conflict(
        _("Others are still adding to portal %(id)s. Most of it is deleted; delete it once more.", id=portal_id)
    )


def _close(portal_id: str) -> None:
    with transaction() as session:
        grants = ShellIssuerPortal.portal_id == portal_id
        issuers = select(ShellIssuerPortal.issuer_id).where(grants)
        # The lock orders us with hand-overs in progress: each of them happens entirely before or after this change.
        session.execute(
            select(ShellIssuer.id).where(ShellIssuer.id.in_(issuers)).order_by(ShellIssuer.id).with_for_update()
        )
        session.execute(delete(ShellIssuerPortal).where(grants))
        session.execute(delete(LoginSession).where(LoginSession.portal_id == portal_id))
        # Not deleted yet: a membership says that its account may have to go as well.
        session.execute(
            update(Membership)
            .where(Membership.portal_id == portal_id, Membership.role != Role.CLIENT)
            .values(role=Role.CLIENT, join_notice=None, digest_from=None)
        )
        session.execute(update(WebhookEndpoint).where(WebhookEndpoint.portal_id == portal_id).values(is_on=False))


def _mails(portal_id: str) -> Select[UUID]:
    return select(OutboxMail.id).where(OutboxMail.portal_id == portal_id)


def _delete_all(key: InstrumentedAttribute[_Id], rows: Select[_Id]) -> None:
    delete_in_batches(key, rows.order_by(key), Event())


def _delete_some_clients(portal_id: str, deleted: Deleted) -> bool:
    """Delete a batch of clients with their mails, and accounts that never joined. Returns whether there was one."""
    with transaction() as session:
        clients = session.execute(
            select(ImportedClient.id, ImportedClient.user_id)
            .where(ImportedClient.portal_id == portal_id)
            .order_by(ImportedClient.id)
            .limit(_BATCH)
            .with_for_update()
        ).all()
        ids = [client.id for client in clients]
        accounts = _lock_accounts(session, {client.user_id for client in clients if client.user_id is not None})
        session.execute(delete(ImportedClient).where(ImportedClient.portal_id == portal_id, ImportedClient.id.in_(ids)))
        deleted.clients += len(ids)
        deleted.accounts += _delete_unplaced(session, accounts)
    return bool(clients)


def _delete_colleagues(portal_id: str, deleted: Deleted) -> None:
    """Delete the invitations of colleagues, and accounts that were only registered with one."""
    with transaction() as session:
        invited = select(ColleagueInvitation.user_id).where(ColleagueInvitation.portal_id == portal_id)
        held = invited.order_by(ColleagueInvitation.id).with_for_update()
        accounts = _lock_accounts(session, {user_id for user_id in session.scalars(held) if user_id is not None})
        session.execute(delete(ColleagueInvitation).where(ColleagueInvitation.portal_id == portal_id))
        deleted.accounts += _delete_unplaced(session, accounts)


def _delete_some_members(portal_id: str, deleted: Deleted) -> bool:
    """Delete a batch of memberships with their accounts. Returns whether there was one."""
    of_portal = Membership.portal_id == portal_id
    with transaction() as session:
        members = session.scalars(
            select(Membership.user_id).where(of_portal).order_by(Membership.user_id).limit(_BATCH)
        ).all()
        # Clients of other portals that they have invited name them, and clients are locked before accounts.
        invited = select(ImportedClient.id).where(ImportedClient.invited_by_id.in_(members))
        session.execute(invited.order_by(ImportedClient.portal_id, ImportedClient.id).with_for_update())
        accounts = _lock_accounts(session, members)
        session.execute(delete(Membership).where(of_portal, Membership.user_id.in_(accounts)))
        deleted.accounts += _delete_unplaced(session, accounts)
    return bool(members)


def _lock_accounts(session: Session, user_ids: Collection[int]) -> Sequence[int]:
    return session.scalars(select(User.id).where(User.id.in_(user_ids)).order_by(User.id).with_for_update()).all()


def _delete_unplaced(session: Session, user_ids: Collection[int]) -> int:
    """Delete those of the locked accounts that belong to no portal, with their mails and sessions. Returns how many."""
    belongs_somewhere = or_(
        exists().where(Membership.user_id == User.id),
        exists().where(ImportedClient.user_id == User.id),
        exists().where(ColleagueInvitation.user_id == User.id),
    )
    deleted = session.scalars(
        delete(User)
        .where(User.id.in_(user_ids), ~belongs_somewhere)
        .returning(User.id)
        .execution_options(synchronize_session=False)
    ).all()
    forget_accounts(deleted)
    return len(deleted)


def _delete_rest(portal_id: str) -> bool:
    """Delete the portal's own row; its settings go by cascade. Returns False if something was added meanwhile."""
    try:
        with transaction() as session:
            session.execute(delete(MailServerState).where(MailServerState.server == portal_id))
            session.execute(delete(RejectedUpload).where(RejectedUpload.portal_id == portal_id))
            session.execute(delete(Portal).where(Portal.id == portal_id))
            forget_portal(portal_id)
            audit.record(portal_id, AuditKind.PORTAL_DELETED)
    except IntegrityError:
        return False
    return True
