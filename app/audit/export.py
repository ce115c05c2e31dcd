"""The audit trail as a CSV file, generated while it is sent."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator

from flask import Flask

from app.audit import service as audit
from app.audit.list_params import AuditView
from app.audit.queries import AuditLine, audit_page
from app.core.csv_cells import escape_formula
from app.db.transactions import transaction
from app.extensions import db
from app.models import AuditIdentity

FILE_NAME = "audit"

_BATCH = 500
_BOM = "\ufeff"  # without it Excel reads UTF-8 as another encoding
_COLUMNS = (
    "at",
    "event",
    "actor",
    "actor_id",
    "actor_name",
    "actor_email",
    "target_id",
    "target_name",
    "target_email",
    "network",
    "change",
)


def record_export(portal_id: str, view: AuditView) -> None:
    """Note in the audit trail that somebody takes it out."""
    with transaction():
        change = {"filtered": view.is_filtered}
        audit.record(portal_id, audit.AuditKind.EXPORTED, target=audit.thing(FILE_NAME), change=change)


def csv_chunks(app: Flask, portal_id: str, view: AuditView) -> Iterator[bytes]:
    """All lines that a view's filters match, newest first, as chunks of up to `_BATCH` lines.

    Each chunk reads its lines in its own application context and session, as the export of the clients does.
    """
    rest: AuditView | None = view.at()
    head = _BOM + _lines([_COLUMNS])
    while rest is not None:
        with app.app_context():
            page = audit_page(portal_id, rest, _BATCH)
            lines = _lines(_cells(line) for line in page.lines)
            db.session.rollback()
        yield (head + lines).encode()
        head, rest = "", page.older


def _lines(rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([escape_formula(cell) for cell in row] for row in rows)
    return out.getvalue()


def _cells(line: AuditLine) -> tuple[str, ...]:
    event = line.event
    return (
        event.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        event.kind,
        event.actor,
        *_identity(line.actor),
        *_identity(line.target),
        event.network or "",
        json.dumps(event.change, ensure_ascii=False) if event.change else "",
    )


def _identity(identity: AuditIdentity | None) -> tuple[str, str, str]:
    if identity is None:
        return "", "", ""
    return str(identity.user_id or identity.client_id or ""), identity.name or "", identity.email or ""
