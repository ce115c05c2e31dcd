"""The list of imports of a portal: how the clients of each are doing, and what was refused before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TypeVarTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select
from sqlalchemy.orm import aliased

from app.clients.filters import MAIL_OF_CLIENT, Moments, needs_attention
from app.core.text import fold
from app.extensions import db
from app.models import ClientImport, ClientStatus, ImportedClient, OutboxMail, RejectedUpload, User
from app.models.types import UtcDateTime

PAGE_SIZE = 20

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Columns = TypeVarTuple("Columns")

_Actor = aliased(User)
_TakenBackBy = aliased(User)


@dataclass(frozen=True)
class ClientCounts:
    """How the clients of an import are doing. Each client counts once."""

    joined: int
    pending: int
    attention: int
    """Those of the pending that the filter tab Needs attention shows. They are not in `pending`."""
    removed: int

    @property
    def total(self) -> int:
        return self.there + self.removed

    def parts(self) -> Iterator[tuple[str, int, int]]:
        """The parts of a bar, without the empty ones: name, how many clients stand before it, and its own number."""
        start = 0
        for field in fields(self):
            number = getattr(self, field.name)
            if number:
                yield field.name, start, number
            start += number

    @property
    def there(self) -> int:
        """The clients that the table still has."""
        return self.joined + self.still_pending

    @property
    def still_pending(self) -> int:
        return self.pending + self.attention


@dataclass(frozen=True)
class ListedImport:
    client_import: ClientImport
    actor_name: str | None
    """Who imported the file. None if the account was deleted."""
    taken_back_by: str | None
    refused_before: int
    """How many uploads of the same admin were refused since their previous import."""
    counts: ClientCounts


@dataclass(frozen=True)
class ImportPage:
    """A page of the list, newest import first. `number` counts from 1; `found` is the number of matching imports."""

    imports: Sequence[ListedImport]
    number: int
    found: int

    @property
    def first(self) -> int:
        """The place of the page's first import among all that match, counted from 1."""
        return (self.number - 1) * PAGE_SIZE + 1

    @property
    def has_next(self) -> bool:
        return self.number * PAGE_SIZE < self.found


def import_page(portal_id: str, search: str = "", number: int = 1) -> ImportPage:
    """One page of a portal's imports, newest first. Beyond the last page, the last one.

    `search` keeps those whose file name, or the name of whose admin, contains it; the search ignores case.
    """
    found = db.session.scalar(_matching(select(func.count()).select_from(ClientImport), portal_id, search)) or 0
    last = max(1, -(-found // PAGE_SIZE))
    number = min(number, last)
    query = select(ClientImport, _Actor.name, _TakenBackBy.name, _refused_before().label("refused"))
    query = query.outerjoin(_TakenBackBy, _TakenBackBy.id == ClientImport.taken_back_by_id)
    query = _matching(query, portal_id, search).order_by(ClientImport.id.desc())
    rows = db.session.execute(query.limit(PAGE_SIZE).offset((number - 1) * PAGE_SIZE)).all()
    counts = _counts_of(portal_id, [client_import for client_import, *_rest in rows])
    imports = [ListedImport(one, actor, taker, refused, counts[one.id]) for one, actor, taker, refused in rows]
    return ImportPage(imports, number, found)


def counts_of(client_import: ClientImport) -> ClientCounts:
    """How the clients of one import are doing."""
    return _counts_of(client_import.portal_id, [client_import])[client_import.id]


@dataclass(frozen=True)
class RefusedSince:
    """Uploads that were refused and that no import of the same admin has followed."""

    number: int
    latest: RejectedUpload


def refused_since(portal_id: str) -> RefusedSince | None:
    """The uploads of a portal that were refused and that no import of the same admin has followed, if any."""
    # The latest import of each admin first: looking for one after each upload takes PostgreSQL seconds.
    last = (
        select(ClientImport.actor_id, func.max(ClientImport.created_at).label("at"))
        .where(ClientImport.portal_id == portal_id)
        .group_by(ClientImport.actor_id)
        .subquery()
    )
    latest = db.session.execute(
        select(RejectedUpload, func.count().over())
        .outerjoin(last, last.c.actor_id == RejectedUpload.actor_id)
        .where(RejectedUpload.portal_id == portal_id, or_(last.c.at.is_(None), RejectedUpload.at > last.c.at))
        .order_by(RejectedUpload.at.desc(), RejectedUpload.id.desc())
        .limit(1)
    ).first()
    return RefusedSince(latest[1], latest[0]) if latest else None


def _matching(query: Select[*Columns], portal_id: str, search: str) -> Select[*Columns]:
    query = query.outerjoin(_Actor, _Actor.id == ClientImport.actor_id).where(ClientImport.portal_id == portal_id)
    if not search:
        return query
    term = fold(search)
    in_file_name = ClientImport.file_name_folded.contains(term, autoescape=True)
    return query.where(or_(in_file_name, _Actor.name_folded.contains(term, autoescape=True)))


def _refused_before() -> ColumnElement[int]:
    earlier = aliased(ClientImport)
    previous = (
        select(func.max(earlier.created_at))
        .where(
            earlier.portal_id == ClientImport.portal_id,
            earlier.actor_id == ClientImport.actor_id,
            earlier.created_at < ClientImport.created_at,
        )
        .correlate(ClientImport)
        .scalar_subquery()
    )
    return (
        select(func.count())
        .select_from(RejectedUpload)
        .where(
            RejectedUpload.portal_id == ClientImport.portal_id,
            RejectedUpload.actor_id == ClientImport.actor_id,
            RejectedUpload.at <= ClientImport.created_at,
            RejectedUpload.at > func.coalesce(previous, literal(_LONG_AGO, UtcDateTime)),
        )
        .correlate(ClientImport)
        .scalar_subquery()
    )


def _counts_of(portal_id: str, imports: Sequence[ClientImport]) -> Mapping[UUID, ClientCounts]:
    """The counts of several imports of a portal, in one query."""
    has_joined = ImportedClient.status == ClientStatus.JOINED
    found = db.session.execute(
        select(
            ImportedClient.import_id,
            func.count().label("there"),
            func.count().filter(has_joined).label("joined"),
            func.count().filter(needs_attention(Moments.now())).label("attention"),
        )
        # A client that has joined is counted without its mail.
        .outerjoin(OutboxMail, and_(MAIL_OF_CLIENT, ~has_joined))
        .where(ImportedClient.portal_id == portal_id, ImportedClient.import_id.in_([one.id for one in imports]))
        .group_by(ImportedClient.import_id)
    )
    numbers = {import_id: (there, joined, attention) for import_id, there, joined, attention in found}
    return {one.id: _counts(one.row_count, *numbers.get(one.id, (0, 0, 0))) for one in imports}


def _counts(rows: int, there: int, joined: int, attention: int) -> ClientCounts:
    return ClientCounts(joined, pending=there - joined - attention, attention=attention, removed=rows - there)
