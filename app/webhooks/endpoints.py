"""What an admin can do with a portal's endpoints and their deliveries. Each call is one transaction."""

from __future__ import annotations

import base64
import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit import service as audit
from app.audit.changes import difference
from app.audit.service import AuditKind
from app.core.clock import now
from app.core.encryption import encrypt, key_number
from app.core.errors import Conflict, DomainError, NotFound
from app.core.signals import webhook_queued
from app.db.bulk_insert import insert_all
from app.db.transactions import send_after_commit, transaction
from app.extensions import db
from app.models import Portal, WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookState
from app.models.types import db_now
from app.net.http import target_of
from app.webhooks.events import KEEP_TRYING, new_delivery

MOST_ENDPOINTS = 5
"""Per portal, because each event of a portal is written and delivered once for each endpoint."""
FORMER_SECRET_LIFETIME = timedelta(hours=24)
EVENTS = tuple(event for event in WebhookEvent if event is not WebhookEvent.TEST)
"""The events that an endpoint can subscribe to. The test event is sent only on request."""

_SECRET_BYTES = 32
_SHOWN = 50


class UrlTaken(DomainError):
    """Another endpoint of the portal has this address. Nothing was saved."""

    status = 422


@dataclass(frozen=True)
class EndpointLine:
    """An endpoint, with the number of its deliveries that wait and of those that were given up."""

    endpoint: WebhookEndpoint
    waiting: int
    given_up: int

    @property
    def is_secret_readable(self) -> bool:
        return key_number(self.endpoint.encrypted_secret) is not None

    @property
    def is_former_secret_used(self) -> bool:
        until = self.endpoint.former_secret_until
        return until is not None and now() < until


@dataclass(frozen=True)
class DeliveryLine:
    """A delivery as the page shows it."""

    delivery: WebhookDelivery
    url: str
    endpoint_is_on: bool

    @property
    def is_on_its_way(self) -> bool:
        """Whether the delivery's state will soon change by itself."""
        state = self.delivery.state
        return state is WebhookState.SENDING or (state is WebhookState.QUEUED and self.endpoint_is_on)


# Endpoints


def endpoints_of(portal_id: str) -> Sequence[EndpointLine]:
    """A portal's endpoints, oldest first."""
    found = db.session.scalars(
        select(WebhookEndpoint).where(WebhookEndpoint.portal_id == portal_id).order_by(WebhookEndpoint.id)
    ).all()
    open_states = (WebhookState.QUEUED, WebhookState.SENDING, WebhookState.GIVEN_UP)
    counts = {
        (row.endpoint_id, row.state): row.number
        for row in db.session.execute(
            select(WebhookDelivery.endpoint_id, WebhookDelivery.state, func.count().label("number"))
            .where(WebhookDelivery.portal_id == portal_id, WebhookDelivery.state.in_(open_states))
            .group_by(WebhookDelivery.endpoint_id, WebhookDelivery.state)
        )
    }
    return [
        EndpointLine(
            one,
            waiting=sum(counts.get((one.id, state), 0) for state in (WebhookState.QUEUED, WebhookState.SENDING)),
            given_up=counts.get((one.id, WebhookState.GIVEN_UP), 0),
        )
        for one in found
    ]


def endpoint_of(portal_id: str, endpoint_id: UUID) -> WebhookEndpoint:
    """One endpoint of a portal. Raises `NotFound`."""
    found = db.session.get(WebhookEndpoint, (portal_id, endpoint_id))
    if found is None:
        raise NotFound
    return found


def add_endpoint(portal_id: str, url: str, description: str, events: Collection[WebhookEvent]) -> str:
    """Add an endpoint and return its signing secret, which is never shown again.

    The address must have been checked before. Raises `UrlTaken`, and `Conflict` if the portal has `MOST_ENDPOINTS`
    already.
    """
    secret = _new_secret()
    with transaction() as session:
        # Locked, so that two admins at the same time cannot exceed the limit.
        session.get_one(Portal, portal_id, with_for_update={"key_share": True})
        number = select(func.count()).select_from(WebhookEndpoint).where(WebhookEndpoint.portal_id == portal_id)
        if (session.scalar(number) or 0) >= MOST_ENDPOINTS:
            raise Conflict(_("You've reached the limit of %(most)s endpoints. Delete one first.", most=MOST_ENDPOINTS))
        _refuse_taken_url(portal_id, url)
        session.add(
            WebhookEndpoint(
                portal_id=portal_id,
                url=url,
                description=description,
                events=_names(events),
                encrypted_secret=encrypt(secret),
            )
        )
        _save_url(session)
        _record(AuditKind.WEBHOOK_ADDED, portal_id, url, {"events": len(events)})
    return secret


def change_endpoint(
    portal_id: str, endpoint_id: UUID, url: str, description: str, events: Collection[WebhookEvent]
) -> None:
    """Change an endpoint. Waiting deliveries go to its new address at once. Raises `NotFound`, `UrlTaken`."""
    with transaction() as session:
        endpoint = _locked(portal_id, endpoint_id)
        if endpoint.url != url:
            _refuse_taken_url(portal_id, url)
        before = _compared(endpoint)
        endpoint.url = url
        endpoint.description = description
        endpoint.events = _names(events)
        _wake(endpoint)
        _save_url(session)
        if changed := difference(before, _compared(endpoint)):
            _record(AuditKind.WEBHOOK_CHANGED, portal_id, url, changed)
        send_after_commit(session, webhook_queued)


def switch_endpoint(portal_id: str, endpoint_id: UUID, *, on: bool) -> None:
    """Switch an endpoint on or off. On: what waits is sent. Off: no events are written for it. Raises `NotFound`."""
    with transaction() as session:
        endpoint = _locked(portal_id, endpoint_id)
        if endpoint.is_on is not on:
            _record(AuditKind.WEBHOOK_CHANGED, portal_id, endpoint.url, {"is_on": [endpoint.is_on, on]})
        endpoint.is_on = on
        endpoint.gone_at = None
        _wake(endpoint)
        send_after_commit(session, webhook_queued)


def rotate_secret(portal_id: str, endpoint_id: UUID, secret_number: int) -> str:
    """Give an endpoint a new signing secret and return it. The old one also signs for another 24 hours.

    `secret_number` is the number of the secret to replace. Raises `NotFound`, and `Conflict` if it was replaced
    already.
    """
    secret = _new_secret()
    with transaction() as session:
        endpoint = _locked(portal_id, endpoint_id)
        if endpoint.secret_number != secret_number:
            raise Conflict(_("The secret was rotated in the meantime. Nothing was changed."))
        # A secret that no key opens cannot sign any more.
        is_readable = key_number(endpoint.encrypted_secret) is not None
        endpoint.former_encrypted_secret = endpoint.encrypted_secret if is_readable else None
        endpoint.former_secret_until = now() + FORMER_SECRET_LIFETIME if is_readable else None
        endpoint.encrypted_secret = encrypt(secret)
        endpoint.secret_number += 1
        _wake(endpoint)
        _record(AuditKind.WEBHOOK_SECRET_ROTATED, portal_id, endpoint.url)
        send_after_commit(session, webhook_queued)
    return secret


def delete_endpoint(portal_id: str, endpoint_id: UUID) -> None:
    """Delete an endpoint with all its deliveries. Raises `NotFound`."""
    with transaction() as session:
        endpoint = _locked(portal_id, endpoint_id, for_deletion=True)
        # Locked in the order of their ids, as everywhere. The cascade alone would lock them in any order.
        theirs = (
            select(WebhookDelivery.id)
            .where(WebhookDelivery.endpoint_id == endpoint_id)
            .order_by(WebhookDelivery.id)
            .with_for_update()
        )
        session.execute(
            delete(WebhookDelivery).where(WebhookDelivery.id.in_(theirs)).execution_options(synchronize_session=False)
        )
        url = endpoint.url
        session.delete(endpoint)
        _record(AuditKind.WEBHOOK_REMOVED, portal_id, url)


# Deliveries


def newest_deliveries(portal_id: str) -> Sequence[DeliveryLine]:
    """A portal's newest deliveries that were made or are still to be made, newest first."""
    states = (WebhookState.QUEUED, WebhookState.SENDING, WebhookState.DELIVERED)
    # Read the newest of each state, which the index gives quickly, and keep the newest of all.
    found = [line for state in states for line in _lines(portal_id, state)]
    return sorted(found, key=lambda line: line.delivery.id, reverse=True)[:_SHOWN]


def given_up_deliveries(portal_id: str) -> Sequence[DeliveryLine]:
    """A portal's newest deliveries that were given up, newest first."""
    return _lines(portal_id, WebhookState.GIVEN_UP)


def send_test(portal_id: str, endpoint_id: UUID) -> None:
    """Write a test event for one endpoint, even if not subscribed. Raises `NotFound`, `Conflict` if it is off."""
    with transaction() as session:
        endpoint = _locked(portal_id, endpoint_id)
        if not endpoint.is_on:
            raise Conflict(_("This endpoint is switched off. Switch it on first."))
        due_at = session.scalars(select(db_now())).one()
        row = new_delivery(portal_id, endpoint_id, WebhookEvent.TEST, now(), due_at)
        insert_all(session, WebhookDelivery, [row])
        _probe_soon(endpoint)
        _record(AuditKind.WEBHOOK_TESTED, portal_id, endpoint.url)
        send_after_commit(session, webhook_queued)


def send_again(portal_id: str, message_id: UUID) -> None:
    """Send a delivery again that was delivered or given up, under the same id.

    Raises `NotFound`, and `Conflict` if it is on its way already.
    """
    with transaction() as session:
        query = select(WebhookDelivery).where(
            WebhookDelivery.message_id == message_id, WebhookDelivery.portal_id == portal_id
        )
        delivery = session.scalars(query).one_or_none()
        if delivery is None:
            raise NotFound
        # Locked before the delivery, as everywhere.
        endpoint = _locked(portal_id, delivery.endpoint_id)
        if not queue_again([delivery.id]):
            raise Conflict(_("This event is already being sent."))
        _probe_soon(endpoint)


def send_given_up(portal_id: str) -> int:
    """Send all given-up deliveries of a portal again. Returns how many."""
    with transaction() as session:
        # Locked before the deliveries and in the order of their ids, as everywhere.
        endpoints = session.scalars(
            select(WebhookEndpoint)
            .where(WebhookEndpoint.portal_id == portal_id)
            .order_by(WebhookEndpoint.id)
            .with_for_update(key_share=True)
        ).all()
        query = select(WebhookDelivery.id).where(
            WebhookDelivery.portal_id == portal_id, WebhookDelivery.state == WebhookState.GIVEN_UP
        )
        queued = queue_again(session.scalars(query).all())
        for endpoint in endpoints:
            _probe_soon(endpoint)
    return queued


def queue_again(ids: Sequence[int]) -> int:
    """Queue again, as if new, those that were delivered or given up. In the caller's transaction. Returns how many."""
    settled = (
        select(WebhookDelivery.id)
        .where(WebhookDelivery.id.in_(ids), WebhookDelivery.state.in_((WebhookState.DELIVERED, WebhookState.GIVEN_UP)))
        .order_by(WebhookDelivery.id)
        .with_for_update()
    )
    portals = db.session.scalars(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(settled))
        .values(
            state=WebhookState.QUEUED,
            attempts=0,
            due_at=db_now(),
            give_up_at=db_now(KEEP_TRYING.total_seconds()),
            last_answer=None,
            delivered_at=None,
        )
        .returning(WebhookDelivery.portal_id)
        .execution_options(synchronize_session=False)
    ).all()
    for portal_id, events in sorted(Counter(portals).items()):
        audit.record(portal_id, AuditKind.WEBHOOKS_RETRIED, change={"events": events})
    send_after_commit(db.session(), webhook_queued)
    return len(portals)


def _lines(portal_id: str, state: WebhookState) -> Sequence[DeliveryLine]:
    found = db.session.execute(
        select(WebhookDelivery, WebhookEndpoint.url, WebhookEndpoint.is_on)
        .join(
            WebhookEndpoint,
            (WebhookEndpoint.portal_id == WebhookDelivery.portal_id)
            & (WebhookEndpoint.id == WebhookDelivery.endpoint_id),
        )
        .where(WebhookDelivery.portal_id == portal_id, WebhookDelivery.state == state)
        .order_by(WebhookDelivery.id.desc())
        .limit(_SHOWN)
    )
    return [DeliveryLine(delivery, url, is_on) for delivery, url, is_on in found]


def _locked(portal_id: str, endpoint_id: UUID, *, for_deletion: bool = False) -> WebhookEndpoint:
    # A change does not wait for transactions that write events for the endpoint; a deletion does.
    lock: dict[str, bool] = {} if for_deletion else {"key_share": True}
    endpoint = db.session.get(WebhookEndpoint, (portal_id, endpoint_id), with_for_update=lock or True)
    if endpoint is None:
        raise NotFound
    return endpoint


def _refuse_taken_url(portal_id: str, url: str) -> None:
    query = select(WebhookEndpoint.id).where(WebhookEndpoint.portal_id == portal_id, WebhookEndpoint.url == url)
    if db.session.scalar(query) is not None:
        raise _url_taken()


def _save_url(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError:
        # Another admin has just given this address to another endpoint. The unique constraint decides.
        raise _url_taken() from None


def _url_taken() -> UrlTaken:
    return UrlTaken(_("Another endpoint already has this URL."))


def _names(events: Collection[WebhookEvent]) -> list[str]:
    return [event.value for event in EVENTS if event in events]


def _compared(endpoint: WebhookEndpoint) -> dict[str, object]:
    """What the audit trail compares: plain values, as the row changes."""
    subscribed = {f"on_{event.name.lower()}": event.value in endpoint.events for event in EVENTS}
    return {"url": endpoint.url, "description": endpoint.description, **subscribed}


def _record(kind: AuditKind, portal_id: str, url: str, change: Mapping[str, object] = MappingProxyType({})) -> None:
    # Only the host: the path may hold a secret of the other system.
    audit.record(portal_id, kind, target=audit.thing(target_of(url).host), change=change)


def _wake(endpoint: WebhookEndpoint) -> None:
    """End a pause, because it was for the endpoint as it was before."""
    endpoint.paused_until = endpoint.paused_since = endpoint.pause_reason = None


def _probe_soon(endpoint: WebhookEndpoint) -> None:
    """End the wait of a pause now, because somebody is watching the page. The next delivery tries the endpoint."""
    if endpoint.paused_until is not None:
        endpoint.paused_until = db.session.scalars(select(db_now())).one()


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
