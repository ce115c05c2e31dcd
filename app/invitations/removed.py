"""Whether the address of a removed client was invited again, without keeping the address.

A link names its client by an id, and a removal deletes the client's row. So the event of the removal keeps a digest of
the address, and each row holds the digest of its own, for one to be found by the other. It is an HMAC of the portal and
the address, with a key that comes from SECRET_KEY: the database alone tells nobody a removed address, and the same
address has another digest in another portal. Only a genuine link of the removed client makes us look. After a change of
SECRET_KEY the digests of before match no new row, and such links say "withdrawn" again. An erasure of an address
empties its digests too (`app.clients.erasure`).
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Protocol
from uuid import UUID

from sqlalchemy import and_, select, update

from app.core.links import signing_keys
from app.db.bulk_insert import insert_all
from app.extensions import db
from app.models import ClientEvent, EventKind, ImportedClient

_PURPOSE = b"imported-clients: address digest"


class Removed(Protocol):
    """A client that is about to be removed: its row, or an object with these values."""

    @property
    def id(self) -> UUID: ...
    @property
    def email(self) -> str: ...
    @property
    def generation(self) -> int: ...


def address_digest(portal_id: str, email: str) -> str:
    """The digest of a clean address in a portal: 128 bits in hexadecimal."""
    [digest] = address_digests(portal_id, [email])
    return digest


def address_digests(portal_id: str, emails: Iterable[str]) -> list[str]:
    """The digests of many clean addresses in a portal, in their order."""
    key = signing_keys()[0]
    return [_digest(key, portal_id, email) for email in emails]


def _digest(key: str, portal_id: str, email: str) -> str:
    return hmac.digest(_own_key(key), f"{portal_id} {email}".encode(), "sha256").hex()[:32]


@lru_cache(maxsize=8)
def _own_key(secret_key: str) -> bytes:
    """The key of the digests, so that a digest is worth nothing for another purpose."""
    return hmac.digest(secret_key.encode(), _PURPOSE, "sha256")


def record_removals(portal_id: str, clients: Sequence[Removed], at: datetime, *, actor_id: int | None) -> None:
    """Add the event of the removal for each client, in the caller's transaction."""
    digests = address_digests(portal_id, (client.email for client in clients))
    events = [
        {
            "portal_id": portal_id,
            "client_id": client.id,
            "kind": EventKind.REMOVED,
            "generation": client.generation,
            "at": at,
            "actor_id": actor_id,
            "address_digest": digest,
        }
        for client, digest in zip(clients, digests, strict=True)
    ]
    insert_all(db.session(), ClientEvent, events)


def client_at_address_of(portal_id: str, removed_id: UUID) -> ImportedClient | None:
    """The client that has the address which a removed client had, or None.

    No index helps, since only old links of removed clients ask: it goes through the portal's rows in the database.
    """
    has_its_address = and_(
        ImportedClient.portal_id == ClientEvent.portal_id, ImportedClient.address_digest == ClientEvent.address_digest
    )
    return db.session.scalar(
        select(ImportedClient)
        .join(ClientEvent, has_its_address)
        .where(
            ClientEvent.portal_id == portal_id,
            ClientEvent.client_id == removed_id,
            ClientEvent.kind == EventKind.REMOVED,
        )
    )


def removed_with(portal_id: str, emails: Collection[str]) -> set[UUID]:
    """The ids of the removed clients that had one of these addresses, also from before a change of SECRET_KEY.

    A key that is no longer among the fallbacks tells nothing, as it tells nobody else.
    """
    digests = [_digest(key, portal_id, email) for key in signing_keys() for email in emails]
    found = select(ClientEvent.client_id).where(
        ClientEvent.portal_id == portal_id,
        ClientEvent.kind == EventKind.REMOVED,
        ClientEvent.address_digest.in_(digests),
    )
    return set(db.session.scalars(found))


def forget_digests(portal_id: str, client_ids: Collection[UUID]) -> None:
    """Empty the digests of removed clients, in the caller's transaction. That they were removed remains."""
    db.session.execute(
        update(ClientEvent)
        .where(ClientEvent.portal_id == portal_id, ClientEvent.client_id.in_(client_ids))
        .values(address_digest=None)
    )
