"""Whether an open page still shows the current table, decided by one cheap query before anything is rendered.

A page polls with the fingerprint of what it shows: when it was rendered, the portal's revision at that time, and a hash
of the HTML. While the revision stays the same, nothing can have changed: whatever people do, and most of what happens
by itself, writes an event in the same transaction. So the revision consists of the newest event and of what changes
without an event: the last link that expired, the attempts of mails on their way, and the pauses of mail servers.

There is no revision where one query cannot decide: with many mails on their way, and shortly after an event, because
PostgreSQL may commit an older event later. Then the table is rendered and its HTML is compared. After `HOLDS_SECONDS`
the table is sent again in any case. So "5 minutes ago" advances, and no change stays unseen for longer.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import cache

from sqlalchemy import Select, bindparam, func, select

from app.clients.rows import EXPIRES_SOON, ON_ITS_WAY
from app.core.clock import now
from app.extensions import db
from app.models import ClientEvent, ClientStatus, ImportedClient, MailServerState, OutboxMail
from app.models.types import UtcDateTime

HOLDS_SECONDS = 60
_SETTLED_AFTER = timedelta(seconds=2)
_MOST_MAILS = 200
"""With more mails on their way, looking at them would take as long as rendering the table."""


def revision_of(portal_id: str, *beside: object) -> str:
    """The revision: a short hash that differs whenever the portal's table may show something else.

    `beside` is whatever else decides what the asking person sees. Returns "" if no revision can be given.
    """
    at = now()
    found = db.session.execute(_query(), {"portal_id": portal_id, "at": at, "soon": at + EXPIRES_SOON}).one()
    is_settled = found.newest_at is None or at - found.newest_at > _SETTLED_AFTER
    return _digest(repr((tuple(found), beside))) if is_settled and found.mails <= _MOST_MAILS else ""


def is_current(seen: str, revision: str) -> bool:
    """Whether a page with the fingerprint `seen` shows the current table. False for a text that is no fingerprint."""
    made_at, seen_revision, _shown = [*seen.split(".", 2), "", ""][:3]
    if not revision or revision != seen_revision or not made_at.isdecimal():
        return False
    return 0 <= now().timestamp() - int(made_at[:12]) < HOLDS_SECONDS


def fingerprint(revision: str, html: str) -> str:
    """The fingerprint of a table that was rendered at this revision."""
    made_at = str(int(now().timestamp())) if revision else ""
    return f"{made_at}.{revision}.{_digest(html)}"


@cache
def _query() -> Select[*tuple[object, ...]]:
    """Built once, because building it takes longer than running it: each part is a single index lookup."""
    portal_id = bindparam("portal_id", type_=ClientEvent.portal_id.type)
    event = select(ClientEvent).where(ClientEvent.portal_id == portal_id).order_by(ClientEvent.id.desc()).limit(1)
    waiting = OutboxMail.portal_id == portal_id, OutboxMail.state.in_(ON_ITS_WAY)
    mail = OutboxMail.attempts, OutboxMail.refusals, OutboxMail.due_at, OutboxMail.lease_until
    mails = select(*mail).where(*waiting).limit(_MOST_MAILS + 1).subquery()
    paused = MailServerState.server.in_([portal_id, ""])
    lapse = select(func.max(ImportedClient.link_expires_at)).where(
        ImportedClient.portal_id == portal_id, ImportedClient.status == ClientStatus.INVITE_SENT
    )

    lapsed, soon = (ImportedClient.link_expires_at <= bindparam(name, type_=UtcDateTime()) for name in ("at", "soon"))
    return select(
        event.with_only_columns(ClientEvent.id).scalar_subquery(),
        event.with_only_columns(ClientEvent.at).scalar_subquery().label("newest_at"),
        lapse.where(lapsed).scalar_subquery(),
        lapse.where(soon).scalar_subquery(),
        func.count().label("mails"),
        func.count(mails.c.lease_until),
        func.max(mails.c.lease_until),
        func.sum(mails.c.attempts),
        func.sum(mails.c.refusals),
        func.max(mails.c.due_at),
        *(
            select(func.max(pause)).where(paused).scalar_subquery()
            for pause in (MailServerState.paused_since, MailServerState.paused_until)
        ),
        select(func.sum(MailServerState.faults)).where(paused).scalar_subquery(),
    ).select_from(mails)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
