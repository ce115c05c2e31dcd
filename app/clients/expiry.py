"""Writing the moment an invitation's link lapsed into its client's history, once."""

from __future__ import annotations

from sqlalchemy import insert, update

from app.core.clock import now
from app.db.transactions import transaction
from app.models import ClientEvent, ClientStatus, EventKind, ImportedClient


def track_expiry() -> int:
    """Record every link that has lapsed since the last run; returns how many. The status stays Invite Sent.

    Marking and recording are one transaction, and only who marks a row records it: however many processes run this,
    each lapse is written once. A client that registered in time is waiting for verification, not expired.
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
