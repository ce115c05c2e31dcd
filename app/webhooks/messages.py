"""A delivery in HTTP: the body of an event, and the headers that prove who sent it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from standardwebhooks import Webhook

from app.models import WebhookDelivery, WebhookEvent

_NAME = "msg_"


def message_name(message_id: UUID) -> str:
    """The message's id in the header `webhook-id`."""
    return f"{_NAME}{message_id.hex}"


def read_message_name(text: str) -> UUID | None:
    """Read the id from a message's name, with or without its prefix. Returns None if it is not an id."""
    try:
        return UUID(text.strip().removeprefix(_NAME))
    except ValueError:
        return None


def body_of(delivery: WebhookDelivery) -> bytes:
    """The event as JSON. The same bytes on each attempt."""
    content = {"type": delivery.event, "timestamp": _moment(delivery.at), "data": _data(delivery)}
    return json.dumps(content, separators=(",", ":")).encode()


def headers_of(message_id: UUID, body: bytes, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """The headers of an attempt at a moment. There is one signature per secret, the current secret's first."""
    name, at = message_name(message_id), at.astimezone(UTC)
    signatures = [Webhook(secret).sign(name, at, body.decode()) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _data(delivery: WebhookDelivery) -> dict[str, object]:
    if delivery.event is WebhookEvent.TEST:
        return {"portal_id": delivery.portal_id}
    data: dict[str, object] = {
        "portal_id": delivery.portal_id,
        "client_id": None if delivery.client_id is None else str(delivery.client_id),
        "invitation": delivery.generation,
    }
    match delivery.event:
        case (
            WebhookEvent.CLIENT_INVITED
            | WebhookEvent.CLIENT_JOINED
            | WebhookEvent.CLIENT_ACCESS_ENDED
            | WebhookEvent.CLIENT_ACCESS_GIVEN_BACK
        ):
            data |= {"company_name": delivery.company_name, "email": delivery.email}
        case WebhookEvent.CLIENT_DELIVERY_FAILED:
            data |= {"reason": delivery.detail}
    return data


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
