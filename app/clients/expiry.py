"""Records in each client's history, once, when its invitation's link expired."""

from __future__ import annotations

from sqlalchemy import insert, update

from app.core.clock import now
from app.db.transactions import transaction
from app.models import ClientEvent, ClientStatus, EventKind, ImportedClient


def track_expiry() -> int:
    """Record every link that has expired since the last run. Returns their number. The status stays Invite Sent.

    One transaction marks and records a row, and only the process that marks it records it. So each expiry is recorded
    once, however many processes run this. A client that registered in time waits for verification and does not expire.
    """
    with transaction() as session:
        lapsed = session.execute(
            update(ImportedClient)
            .where(
                ImportedClient.status == ClientStatus.INVITE_SENT,
                ImportedClient.link_expires_at <= now(),
                ImportedClient.link_lapsed_at.is_(None),
                ImportedClient.registered_at.is_(None),
            )
            .values(link_lapsed_at=ImportedClient.link_expires_at)
            .returning(
                ImportedClient.portal_id,
                ImportedClient.id,
                ImportedClient.generation,
                ImportedClient.link_expires_at,
            )
        ).all()
        if lapsed:
            session.execute(
                insert(ClientEvent),
                [
                    {
                        "portal_id": row.portal_id,
                        "client_id": row.id,
                        "generation": row.generation,
                        "kind": EventKind.EXPIRED,
                        "at": row.link_expires_at,
                    }
                    for row in lapsed
                ],
            )
    return len(lapsed)
