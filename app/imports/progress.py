"""The progress of imports: how many of their mails have been sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select

from app.clients.filters import MAIL_OF_CLIENT
from app.clients.rows import UNDELIVERED
from app.core.clock import now
from app.core.errors import NotFound
from app.db.transactions import transaction
from app.extensions import db
from app.imports.warnings import RowWarning, find_warnings
from app.models import ClientImport, ImportedClient, MailState, OutboxMail

_SHOWN_FOR = timedelta(hours=24)
_SHOWN_AT_MOST = 3


@dataclass(frozen=True)
class ImportProgress:
    """An import, with the number of its invitations in each state. Removed clients are not counted."""

    client_import: ClientImport
    sent: int
    failed: int
    waiting: int

    @property
    def total(self) -> int:
        return self.sent + self.failed + self.waiting

    @property
    def is_over(self) -> bool:
        return self.waiting == 0


def find_import(portal_id: str, import_id: UUID) -> ImportProgress | None:
    """One import of a portal, or None if the portal has no such import."""
    client_import = db.session.get(ClientImport, (portal_id, import_id))
    return _progress(client_import) if client_import else None


def recent_imports(portal_id: str) -> Sequence[ImportProgress]:
    """The imports of the last day to show above the table, newest first.

    Those are left out that somebody has dismissed or taken back.
    """
    newest = db.session.scalars(
        select(ClientImport)
        .where(
            ClientImport.portal_id == portal_id,
            ClientImport.created_at > now() - _SHOWN_FOR,
            ClientImport.dismissed_at.is_(None),
            ClientImport.taken_back_at.is_(None),
        )
        .order_by(ClientImport.id.desc())
        .limit(_SHOWN_AT_MOST)
    )
    return list(map(_progress, newest))


def dismiss_import(portal_id: str, import_id: UUID) -> None:
    """Show an import no longer above the table, for everyone in the portal. Raises NotFound if there is no such one."""
    with transaction() as session:
        client_import = session.get(ClientImport, (portal_id, import_id))
        if client_import is None:
            raise NotFound
        client_import.dismissed_at = now()


def warnings_of(portal_id: str, import_id: UUID) -> list[RowWarning]:
    """The warnings about the clients of an import."""
    clients = db.session.execute(
        select(ImportedClient.company_name, ImportedClient.email)
        .where(ImportedClient.portal_id == portal_id, ImportedClient.import_id == import_id)
        .order_by(ImportedClient.id.desc())
    )
    return find_warnings((name, email) for name, email in clients)


def _progress(client_import: ClientImport) -> ImportProgress:
    states = db.session.execute(
        select(OutboxMail.state, func.count())
        .select_from(ImportedClient)
        .outerjoin(OutboxMail, MAIL_OF_CLIENT)
        .where(ImportedClient.portal_id == client_import.portal_id, ImportedClient.import_id == client_import.id)
        .group_by(OutboxMail.state)
    )
    counts = {state: int(count) for state, count in states}
    failed = sum(counts.pop(state, 0) for state in UNDELIVERED)
    waiting = counts.pop(MailState.QUEUED, 0) + counts.pop(MailState.SENDING, 0)
    # The rest counts as sent: the mail is sent, or pruned long after sending, or the client joined before it was sent.
    return ImportProgress(client_import, sent=sum(counts.values()), failed=failed, waiting=waiting)
