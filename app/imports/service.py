"""Checks a file against the table, and imports it in one transaction: all rows and all mails, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit import service as audit
from app.audit.service import AuditKind
from app.clients.service import ADDS_OF_ADMIN
from app.core.clock import now
from app.core.errors import Conflict
from app.core.ids import new_id
from app.core.text import fold
from app.db import rate_limits
from app.db.bulk_insert import insert_all, refresh_statistics
from app.db.transactions import transaction
from app.extensions import db
from app.imports.client_list import ClientList, ClientRow, duplicate_in_table, duplicate_joined, too_many_mails
from app.imports.list_errors import ListError
from app.imports.reader import read_file
from app.imports.workbook import is_workbook
from app.invitations import history, recipient_limit
from app.invitations.emails import Invitee, message_params, queue_invitations
from app.invitations.removed import address_digests
from app.models import ClientImport, ClientStatus, EventKind, ImportedClient, Portal, User
from app.models.types import in_list

_FILE_NAME_LENGTH = 255
_ATTEMPTS = 3


def read_upload(data: bytes) -> ClientList:
    """Read a file, as `read_file` does. While a workbook is read, nobody waits for our connection to the database."""
    if is_workbook(data):
        db.session.rollback()
    return read_file(data)


@dataclass(frozen=True)
class Imported:
    """What came of an import: the rows that were added, and how many were left out as their address is in the table.

    `import_id` is None if no row was left. Then nothing was written.
    """

    import_id: UUID | None
    rows: Sequence[ClientRow]
    left_out: int


def check_file(portal_id: str, data: bytes) -> ClientList:
    """All errors of a file, by itself and against its portal. Writes nothing."""
    return checked_against_portal(portal_id, read_upload(data))


def checked_against_portal(portal_id: str, file: ClientList, *, skip_existing: bool = False) -> ClientList:
    """The same file, with an added error for each row that only the portal knows to be wrong.

    `skip_existing`: rows whose address is in the table are left out, and are no error.
    """
    checked = file.with_errors(_errors_of_portal(portal_id, file.rows))
    if not skip_existing:
        return checked
    return replace(checked, errors=tuple(error for error in checked.errors if not error.is_in_table))


def import_clients(
    portal_id: str,
    actor_id: int,
    file_name: str,
    rows: Sequence[ClientRow],
    *,
    skip_existing: bool = False,
    message: str | None = None,
) -> Imported | list[ListError]:
    """Add all rows of a file without errors of its own, and enqueue their invitations, with this message.

    If addresses are already in the table or have reached their limit of invitation mails, nothing is imported and the
    errors of their rows are returned. `skip_existing`: rows whose address is in the table are left out instead.
    `message` is in its clean form (`app.core.text`). The import counts once towards the admin's limit. Raises
    `TooManyRequests`, and `Conflict` if others keep adding the same addresses.
    """
    for _attempt in range(_ATTEMPTS):
        try:
            with transaction() as session:
                rate_limits.lock(ADDS_OF_ADMIN, f"{portal_id} {actor_id}")
                recipient_limit.lock(portal_id)
                errors = _errors_of_portal(portal_id, rows)
                left_out = {error.line for error in errors if skip_existing and error.is_in_table}
                refused = [error for error in errors if error.line not in left_out]
                if refused:
                    return refused
                new = [row for row in rows if row.line not in left_out]
                if not new:
                    return Imported(None, new, len(left_out))
                rate_limits.use(ADDS_OF_ADMIN, f"{portal_id} {actor_id}")
                import_id = _write(session, portal_id, actor_id, file_name, new, message)
                return Imported(import_id, new, len(left_out))
        except IntegrityError:
            # Another transaction added one of the addresses between our check and our write. It has committed, so the
            # next attempt finds the address, and reports its row or leaves it out.
            continue
    raise Conflict(_("Other people are adding clients right now. Nothing was imported; please try again."))


def _errors_of_portal(portal_id: str, rows: Sequence[ClientRow]) -> list[ListError]:
    """The errors of rows whose address is in the table (found in two queries) or has reached its limit of mails."""
    if not rows:
        return []
    emails = [row.email for row in rows]
    known: dict[str | None, bool] = {}
    # The invited addresses come last: a client that was invited at an address goes before one that has it now.
    for address in (ImportedClient.account_email.expression, ImportedClient.email.expression):
        having = select(address, ImportedClient.has_account).where(
            ImportedClient.portal_id == portal_id, in_list(address, "emails")
        )
        found = db.session.execute(having, {"emails": emails})
        known |= {email: has_account for email, has_account in found}  # noqa: C416 (a row is no pair to mypy)
    waits = recipient_limit.waits(portal_id, emails)
    errors = []
    for row in rows:
        if row.email in known:
            errors.append(duplicate_joined(row) if known[row.email] else duplicate_in_table(row))
        elif wait := waits.get(row.email):
            times, minutes = recipient_limit.MAILS_TO_RECIPIENT.times, rate_limits.minutes_of(wait)
            errors.append(too_many_mails(row, times, minutes))
    return errors


def _write(
    session: Session, portal_id: str, actor_id: int, file_name: str, rows: Sequence[ClientRow], message: str | None
) -> UUID:
    portal = session.get_one(Portal, portal_id)
    actor = session.get_one(User, actor_id)
    at = now()
    client_import = ClientImport(
        portal_id=portal_id,
        actor_id=actor_id,
        file_name=_printable(file_name)[:_FILE_NAME_LENGTH],
        row_count=len(rows),
        created_at=at,
    )
    session.add(client_import)
    session.flush()
    # The table shows the newest id first, and the file's first row should come first.
    ids = sorted((new_id() for _ in rows), reverse=True)
    # Inserted in the order of addresses, so that two imports with the same addresses cannot deadlock.
    clients = sorted(zip(ids, rows, strict=True), key=lambda client: client[1].email)
    digests = address_digests(portal_id, (row.email for _id, row in clients))
    insert_all(
        session,
        ImportedClient,
        [
            {
                "portal_id": portal_id,
                "id": client_id,
                "generation": 1,
                "import_id": client_import.id,
                "company_name": row.company_name,
                "company_name_folded": fold(row.company_name),
                "email": row.email,
                "address_digest": digest,
                "status": ClientStatus.INVITE_SENT,
                "invited_by_id": actor_id,
                "message": message,
                "created_at": at,
                "email_last_sent_at": at,
            }
            for (client_id, row), digest in zip(clients, digests, strict=True)
        ],
    )
    refresh_statistics(session, ImportedClient)
    more = message_params(message)
    invitees = [Invitee(client_id, 1, row.company_name, row.email, more) for client_id, row in clients]
    history.record_all(portal_id, ids, EventKind.INVITED, at, actor_id=actor_id, detail=message)
    queue_invitations(portal, actor, invitees, at)
    audit.record(portal_id, AuditKind.IMPORT_MADE, change={"clients": len(rows)})
    return client_import.id


def _printable(file_name: str) -> str:
    """The printable characters of a file name, which may be any text: PostgreSQL, for example, stores no NUL."""
    return "".join(character for character in file_name if character.isprintable())
