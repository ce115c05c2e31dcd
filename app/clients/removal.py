"""Removing clients. All removals, of one client or of thousands, happen here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import delete

from app.accounts.unowned import delete_nobodys, lock_accounts
from app.audit.erasure import forget_clients
from app.core.clock import now
from app.extensions import db
from app.invitations import history
from app.invitations.removed import Removed, record_removals
from app.models import ImportedClient
from app.webhooks.events import enqueue_removed


class Removable(Removed, Protocol):
    """A locked client that is pending, or whose account was deleted: its row, or an object with these values."""

    @property
    def user_id(self) -> int | None: ...


def delete_clients(portal_id: str, clients: Sequence[Removable], *, actor_id: int | None) -> None:
    """Delete clients of a portal for good, in the caller's transaction.

    Their mails are deleted and their links are dead. Accounts that were registered for them are deleted if their
    addresses were never verified and nothing else refers to them. The history keeps the event of the removal, without
    personal data. `actor_id` is None if no person removed them. The caller adds the line of the audit trail.
    """
    ids = [client.id for client in clients]
    account_ids = lock_accounts(db.session(), [client.user_id for client in clients])
    record_removals(portal_id, clients, now(), actor_id=actor_id)
    history.forget_details(portal_id, ids)
    forget_clients(portal_id, ids)
    enqueue_removed(portal_id, [(client.id, client.generation) for client in clients])
    db.session.execute(
        delete(ImportedClient)
        .where(ImportedClient.portal_id == portal_id, ImportedClient.id.in_(ids))
        .execution_options(synchronize_session=False)
    )
    delete_nobodys(db.session(), account_ids)
