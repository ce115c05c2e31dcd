"""A portal's webhooks from both sides: the receiver on loopback, and what we know of what it was to be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import select, update
from standardwebhooks import Webhook

from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import WebhookDelivery, WebhookEndpoint, WebhookState
from app.models.types import db_now
from app.webhooks import queue
from app.webhooks.endpoints import EVENTS, add_endpoint
from tests.conftest import HARBOUR
from tests.support.scripted_http import Act, Reply, Request, ScriptedHttp


@dataclass(frozen=True)
class ReceivedEvent:
    """One request, after it was found genuine."""

    id: str
    type: str
    data: dict[str, Any]

    @property
    def client_id(self) -> UUID:
        return UUID(self.data["client_id"])


class Receiver(ScriptedHttp):
    """What a portal has at its address; answers 204 unless `answer` says otherwise of an event.

    Every request has to be genuine, by the library that receivers use.
    """

    def __init__(self) -> None:
        super().__init__(self._hear)
        self.secret = ""
        self.answer: Callable[[ReceivedEvent], Act] = lambda _event: Reply()
        self.fakes: list[Exception] = []
        self.events: list[ReceivedEvent] = []

    def _hear(self, request: Request) -> Act:
        try:
            told = genuine(request, self.secret)
        except Exception as error:
            self.fakes.append(error)
            return Reply(401)
        self.events.append(told)
        return self.answer(told)

    @property
    def types(self) -> list[str]:
        return [one.type for one in self.events]

    def of(self, client_id: UUID) -> list[ReceivedEvent]:
        return [one for one in self.events if one.data.get("client_id") == str(client_id)]


def genuine(request: Request, secret: str) -> ReceivedEvent:
    """What a request tells, if it is signed with the secret. Raises `WebhookVerificationError`."""
    content = Webhook(secret).verify(request.body, dict(request.headers))
    assert request.headers["content-type"] == "application/json"
    assert content == json.loads(request.body)
    assert list(content) == ["type", "timestamp", "data"]
    return ReceivedEvent(request.headers["webhook-id"], content["type"], content["data"])


class Webhooks:
    """The deliveries of an app, and time that passes for them."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def add(self, receiver: Receiver, portal_id: str = HARBOUR, *, events: Any = EVENTS) -> UUID:
        """Have a portal tell a receiver; the endpoint's id."""
        with self.app.app_context():
            receiver.secret = add_endpoint(portal_id, receiver.url, "", events)
            return self.endpoint(receiver.url).id

    def flush(self) -> None:
        run_job(self.app, "flush-webhooks")

    def endpoint(self, url: str) -> WebhookEndpoint:
        with self.app.app_context():
            return db.session.scalars(select(WebhookEndpoint).where(WebhookEndpoint.url == url)).one()

    def deliveries(self) -> list[WebhookDelivery]:
        with self.app.app_context():
            return list(db.session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)).all())

    def states(self) -> list[str]:
        return [one.state.value for one in self.deliveries()]

    def claim(self) -> list[WebhookDelivery]:
        """Lease what is due, as a worker does that is about to deliver it."""
        with self.app.app_context(), transaction():
            queue.release_stalled()
            return [one for endpoint in queue.due_endpoints() for one in queue.fetch(endpoint, 10)]

    def settle(self, delivery: WebhookDelivery, verdict: queue.Verdict) -> None:
        with self.app.app_context(), transaction():
            queue.record_results([(delivery, queue.Outcome(verdict, "So it was."))])

    def end_pauses(self) -> None:
        """Let the time come for each next attempt, by the database's clock. What was due already stays before it."""
        is_later = (WebhookDelivery.state == WebhookState.QUEUED, WebhookDelivery.due_at > db_now())
        self._write(update(WebhookDelivery).where(*is_later), due_at=db_now())
        self._write(update(WebhookEndpoint).where(WebhookEndpoint.paused_until.is_not(None)), paused_until=db_now(-1))

    def end_leases(self) -> None:
        self._write(update(WebhookDelivery).where(WebhookDelivery.lease_id.is_not(None)), lease_until=db_now(-1))

    def let_three_days_pass(self) -> None:
        self._write(update(WebhookDelivery), give_up_at=db_now(-1))
        self.end_pauses()

    def change_endpoints(self, **values: object) -> None:
        self._write(update(WebhookEndpoint), **values)

    def _write(self, statement: Any, **values: object) -> None:
        with self.app.app_context(), transaction() as session:
            session.execute(statement.values(**values).execution_options(synchronize_session=False))
