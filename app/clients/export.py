"""The export: the table as a CSV file, generated while it is sent."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from flask import Flask

from app.audit import service as audit
from app.audit.service import AuditKind
from app.clients.list_params import TableView
from app.clients.list_queries import client_page
from app.clients.rows import ClientRow
from app.core.csv_cells import EXPORT_COLUMNS, escape_formula
from app.db.transactions import transaction

FILE_NAME = "imported-clients"

_BATCH = 500
_BOM = "\ufeff"  # without it Excel reads UTF-8 as another encoding


def record_export(portal_id: str, view: TableView) -> None:
    """Note in the audit trail that somebody takes the clients of a view out."""
    with transaction():
        change = {"filtered": view.is_filtered}
        audit.record(portal_id, AuditKind.EXPORTED, target=audit.thing(FILE_NAME), change=change)


def csv_chunks(app: Flask, portal_id: str, view: TableView) -> Iterator[bytes]:
    """A CSV file of all clients of a view, in the view's order, as chunks of up to `_BATCH` rows.

    Each chunk reads its rows in its own application context and session. So a slow download holds no connection and no
    transaction, and an aborted one leaves nothing behind. Changes during the download show in the chunks read later.
    """
    rest: TableView | None = replace(view, size=_BATCH, cursor=None)
    head = _BOM + _lines([EXPORT_COLUMNS])
    while rest is not None:
        with app.app_context():
            page = client_page(portal_id, rest)
            lines = _lines(_cells(row) for row in page.rows)
        yield (head + lines).encode()
        head, rest = "", page.next


def _lines(rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([escape_formula(cell) for cell in row] for row in rows)
    return out.getvalue()


def _cells(row: ClientRow) -> tuple[str, ...]:
    client = row.client
    return (
        client.company_name,
        client.email,
        client.status,
        _moment(client.email_last_sent_at),
        row.delivery_status,
        row.delivery_note or "",
        _moment(client.link_expires_at),
        _moment(client.registered_at),
        _moment(client.joined_at),
    )


def _moment(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""
