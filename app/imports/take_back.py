"""Takes an import back: removes those of its clients who are still pending, as one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from flask_babel import gettext as _

from app.audit import service as audit
from app.audit.service import AuditKind
from app.clients.bulk import lock_clients
from app.clients.removal import delete_clients
from app.core.clock import now
from app.core.errors import Conflict, NotFound
from app.db.transactions import transaction
from app.extensions import db
from app.imports.import_list import ClientCounts, counts_of
from app.models import ClientImport, ClientStatus, ImportedClient


@dataclass(frozen=True)
class TakenBack:
    """How many clients were removed, and how many have joined and stay."""

    removed: int
    joined: int


def import_to_take_back(portal_id: str, import_id: UUID) -> tuple[ClientImport, ClientCounts]:
    """The import that an admin is about to take back, with the counts of its clients.

    Raises `NotFound`, and `Conflict` if none of its clients is pending.
    """
    client_import = db.session.get(ClientImport, (portal_id, import_id))
    if client_import is None:
        raise NotFound
    counts = counts_of(client_import)
    if not counts.still_pending:
        raise _nobody_is_pending()
    return client_import, counts


def take_back(portal_id: str, import_id: UUID, actor_id: int) -> TakenBack:
    """Delete the pending clients of an import for good (see `delete_clients`), and note who took it back.

    Clients that have joined stay. Once an import is taken back, a repetition changes nothing and returns the same.
    Raises `NotFound`, and `Conflict` if none of its clients is pending.
    """
    with transaction() as session:
        client_import = session.get(ClientImport, (portal_id, import_id), with_for_update=True)
        if client_import is None:
            raise NotFound
        clients = lock_clients(session, portal_id, ImportedClient.import_id == import_id)
        pending = [client for client in clients if client.status is ClientStatus.INVITE_SENT]
        joined = len(clients) - len(pending)
        if client_import.taken_back_at is not None:
            return TakenBack(client_import.taken_back_count or 0, joined)
        if not pending:
            raise _nobody_is_pending()
        delete_clients(portal_id, pending, actor_id=actor_id)
        client_import.taken_back_at = now()
        client_import.taken_back_by_id = actor_id
        client_import.taken_back_count = len(pending)
        audit.record(portal_id, AuditKind.IMPORT_TAKEN_BACK, change={"clients": len(pending)})
        return TakenBack(len(pending), joined)


def _nobody_is_pending() -> Conflict:
    return Conflict(_("None of this import's clients is pending any more, so there is nothing to take back."))
