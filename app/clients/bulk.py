"""Bulk actions: resend and remove for a selection of clients, each as one transaction.

Clients that have joined are left out, but for those whose accounts were deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import ColumnElement, Row, select
from sqlalchemy.orm import Session

from app.audit import service as audit
from app.audit.service import AuditKind
from app.clients.list_params import TableView
from app.clients.list_queries import named_clients
from app.clients.removal import delete_clients
from app.clients.service import RESENDS_OF_ADMIN, just_resent, lock_resends
from app.core.errors import Conflict, DomainError, TooManyRequests
from app.core.i18n import number
from app.db import rate_limits
from app.db.transactions import transaction
from app.invitations import recipient_limit
from app.invitations.renewal import renew_invitations
from app.models import ClientStatus, EventKind, ImportedClient

MOST_AT_ONCE = 10_000
"""The most clients in one action. Their ids fit into one form, and others need not wait long for the database."""

_SHOWN = 5


class SelectionRefused(DomainError):
    """Nothing is selected, or too much. Nothing was done."""

    status = 422


@dataclass(frozen=True)
class Selection:
    """The clients that an admin is about to act on, for the confirmation dialog."""

    pending: Sequence[UUID]
    """The clients that will be acted on."""
    shown: Sequence[tuple[str, str]]
    """Company name and address of the first few of them."""
    joined: int
    """The number of clients left out because they have joined."""
    declined: int
    """The number of clients among `pending` whose recipient has declined."""

    @property
    def not_shown(self) -> int:
        return len(self.pending) - len(self.shown)


LockedClients = Sequence[Row[UUID, str, str, str | None, int, ClientStatus, bool, int | None]]
"""Id, company name, address, message, generation, status, `has_account` and account of clients."""


@dataclass(frozen=True)
class OverLimit:
    """Clients that have reached the hourly limit of invitation mails.

    `wait` is the longest time until the next mail.
    """

    names: Sequence[str]
    """Each client's company name and address."""
    wait: timedelta


@dataclass(frozen=True)
class Outcome:
    """The result of a bulk action, in numbers of clients.

    `done` were acted on, `joined` had joined and `over_limit` had reached their limit, so they were left out, and
    `gone` no longer exist.
    """

    done: int
    joined: int
    gone: int
    over_limit: OverLimit | None = None


def look_at(portal_id: str, which: TableView | Collection[UUID]) -> Selection:
    """The selection of a portal's clients: those with these ids, or all that a view matches.

    Raises `SelectionRefused` for none or too many, and `Conflict` if all of them have joined or no longer exist.
    """
    if not which:
        raise SelectionRefused(_("No client is selected. Select at least one first."))
    found = named_clients(portal_id, which, MOST_AT_ONCE + 1)
    if not found:
        raise Conflict(_("The selected clients no longer exist; someone may have removed them."))
    _refuse_too_many(len(found))
    pending = [client for client in found if not client.has_account]
    if not pending:
        raise Conflict(_("All selected clients have already joined, so they can't be re-invited or removed."))
    shown = [(client.company_name, client.email) for client in pending[:_SHOWN]]
    return Selection(
        [client.id for client in pending],
        shown,
        joined=len(found) - len(pending),
        declined=sum(client.is_declined for client in pending),
    )


def resend_clients(portal_id: str, client_ids: Collection[UUID], actor_id: int) -> Outcome:
    """Renew the invitation of each pending client and enqueue its mail. All their older links are dead then.

    A client that the same admin has just invited again counts as done. A client that has reached its limit of mails is
    left out. The action counts once towards the admin's limit. Raises `SelectionRefused`, `TooManyRequests`, and
    `Conflict` if no client is pending.
    """
    _refuse_too_many(len(client_ids))
    with transaction() as session:
        lock_resends(portal_id, actor_id)
        pending, outcome = _lock(session, portal_id, client_ids)
        repeated = just_resent(portal_id, [client.id for client in pending], actor_id)
        waits = recipient_limit.waits(portal_id, [client.email for client in pending if client.id not in repeated])
        if waits:
            outcome = _without(waits, pending, outcome)
        chosen = [client for client in pending if client.id not in repeated and client.email not in waits]
        if chosen:
            rate_limits.use(RESENDS_OF_ADMIN, f"{portal_id} {actor_id}")
            renew_invitations(portal_id, chosen, EventKind.RESENT, inviter_id=actor_id, actor_id=actor_id)
            audit.record(portal_id, AuditKind.CLIENTS_RESENT, change={"clients": len(chosen)})
    return outcome


def remove_clients(portal_id: str, client_ids: Collection[UUID], actor_id: int) -> Outcome:
    """Delete each pending client for good: see `delete_clients`.

    Raises `SelectionRefused`, and `Conflict` if no client is pending.
    """
    _refuse_too_many(len(client_ids))
    with transaction() as session:
        pending, outcome = _lock(session, portal_id, client_ids)
        delete_clients(portal_id, pending, actor_id=actor_id)
        audit.record(portal_id, AuditKind.CLIENTS_REMOVED, change={"clients": len(pending)})
    return outcome


def lock_clients(session: Session, portal_id: str, which: ColumnElement[bool]) -> LockedClients:
    """Lock the clients of a portal that a condition matches, in the caller's transaction."""
    return session.execute(
        select(
            ImportedClient.id,
            ImportedClient.company_name,
            ImportedClient.email,
            ImportedClient.message,
            ImportedClient.generation,
            ImportedClient.status,
            ImportedClient.has_account,
            ImportedClient.user_id,
        )
        .where(ImportedClient.portal_id == portal_id, which)
        # Rows are locked in one order, so that two admins' actions cannot deadlock.
        .order_by(ImportedClient.id)
        .with_for_update()
    ).all()


def _without(waits: Mapping[str, timedelta], pending: LockedClients, outcome: Outcome) -> Outcome:
    """The outcome without the clients over their limit. Raises `TooManyRequests` if no other client is pending."""
    refused = [client for client in pending if client.email in waits]
    over_limit = OverLimit([f"{client.company_name} ({client.email})" for client in refused], max(waits.values()))
    outcome = replace(outcome, done=len(pending) - len(refused), over_limit=over_limit)
    if not outcome.done:
        raise TooManyRequests(" ".join([_("Nothing was sent."), *left_out(outcome)]), over_limit.wait)
    return outcome


def _lock(session: Session, portal_id: str, client_ids: Collection[UUID]) -> tuple[LockedClients, Outcome]:
    """Lock the clients. Returns those that are pending, and the outcome. Raises `Conflict` if none is pending."""
    found = lock_clients(session, portal_id, ImportedClient.id.in_(client_ids))
    pending = [client for client in found if not client.has_account]
    outcome = Outcome(len(pending), joined=len(found) - len(pending), gone=len(client_ids) - len(found))
    if not pending:
        raise Conflict(" ".join([_("Nothing was changed."), *left_out(outcome)]))
    return pending, outcome


def left_out(outcome: Outcome) -> list[str]:
    """Sentences about the clients that were left out."""
    sentences = []
    if outcome.joined:
        sentences.append(
            ngettext(
                "%(num)s client had already joined and was skipped.",
                "%(num)s clients had already joined and were skipped.",
                outcome.joined,
            )
        )
    if outcome.gone:
        sentences.append(ngettext("%(num)s client no longer exists.", "%(num)s clients no longer exist.", outcome.gone))
    if outcome.over_limit:
        sentences.append(
            _(
                "Skipped because the address has reached the limit of %(limit)s invitation emails an hour: %(names)s."
                " Please try again in %(minutes)s min.",
                limit=recipient_limit.MAILS_TO_RECIPIENT.times,
                names=_some(outcome.over_limit.names),
                minutes=rate_limits.minutes_of(outcome.over_limit.wait),
            )
        )
    return sentences


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} {ngettext('and %(num)s more', 'and %(num)s more', more)}" if more > 0 else shown


def _refuse_too_many(chosen: int) -> None:
    if chosen > MOST_AT_ONCE:
        raise SelectionRefused(
            _(
                "You can change at most %(most)s clients at a time. Nothing was changed; narrow the filter.",
                most=number(MOST_AT_ONCE),
            )
        )
