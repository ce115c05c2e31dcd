from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.ids import new_id
from app.extensions import Base
from app.models.leased import Leased
from app.models.types import UtcDateTime, one_of, text_enum

_LEASED = text("lease_until IS NOT NULL")


class WebhookEvent(StrEnum):
    """The events that a portal's endpoints can receive."""

    CLIENT_INVITED = "client.invited"
    CLIENT_DELIVERY_FAILED = "client.delivery_failed"
    CLIENT_JOINED = "client.joined"
    CLIENT_ACCESS_ENDED = "client.access_ended"
    CLIENT_ACCESS_GIVEN_BACK = "client.access_given_back"
    CLIENT_REMOVED = "client.removed"
    TEST = "webhook.test"


class WebhookState(StrEnum):
    """queued -> sending -> delivered | given_up; sending -> queued again for a later attempt."""

    QUEUED = "queued"
    SENDING = "sending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class WebhookEndpoint(Base):
    """An address of another system that receives a portal's events. Pauses are measured by the database's clock."""

    __tablename__ = "webhook_endpoint"
    __table_args__ = (UniqueConstraint("portal_id", "url"),)

    portal_id: Mapped[str] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    url: Mapped[str] = mapped_column(String(2000))
    description: Mapped[str] = mapped_column(String(200), default="")
    events: Mapped[list[str]] = mapped_column(JSON)
    """The names of the events that it receives."""
    is_on: Mapped[bool] = mapped_column(default=True)
    """While it is off, no deliveries are written for it, and those that wait go on waiting."""
    gone_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it was switched off because it answered that it is gone for good (410)."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    encrypted_secret: Mapped[str] = mapped_column(String(500))
    """As `app.core.encryption.encrypt` made it. The database never holds the secret in clear text."""
    secret_number: Mapped[int] = mapped_column(default=1)
    """Counts the secrets, so that sending a page twice does not replace the secret twice."""
    former_encrypted_secret: Mapped[str | None] = mapped_column(String(500))
    """Deliveries are also signed with this one until `former_secret_until`."""
    former_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)

    paused_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """If set, the endpoint is away. From this moment on one worker may try it with one delivery."""
    paused_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pause_reason: Mapped[str | None] = mapped_column(String(500))


class WebhookDelivery(Leased, Base):
    """One event for one endpoint, written in the transaction of the event itself.

    The client's name and address are columns of their own, so that they can be emptied when the client is removed. The
    delivery outlives the client, so it has no foreign key to it.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        ForeignKeyConstraint(
            ["portal_id", "endpoint_id"], ["webhook_endpoint.portal_id", "webhook_endpoint.id"], ondelete="CASCADE"
        ),
        UniqueConstraint("message_id"),
        one_of("event", WebhookEvent),
        one_of("state", WebhookState),
        # For the next deliveries of an endpoint; for whether a client's earlier events are delivered; for the page.
        Index(None, "endpoint_id", "state", "due_at", "id"),
        Index(None, "client_id", "endpoint_id", "id"),
        Index(None, "portal_id", "state", "id"),
        Index(None, "lease_until", sqlite_where=_LEASED, postgresql_where=_LEASED),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    """In the order of a client's events, because a transaction that writes an event holds the client's row."""
    message_id: Mapped[UUID] = mapped_column(default=new_id)
    """Identifies the delivery to the receiver. The same on every attempt and every replay."""
    portal_id: Mapped[str] = mapped_column(String(32))
    endpoint_id: Mapped[UUID]
    event: Mapped[WebhookEvent] = mapped_column(text_enum(WebhookEvent))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    """When it happened."""
    client_id: Mapped[UUID | None]
    generation: Mapped[int | None]
    """The invitation that the event belongs to."""
    company_name: Mapped[str | None] = mapped_column(String(100))
    email: Mapped[str | None] = mapped_column(String(254))
    detail: Mapped[str | None] = mapped_column(String(500))
    """Why a mail was not delivered, in the mail server's words."""

    state: Mapped[WebhookState] = mapped_column(text_enum(WebhookState), default=WebhookState.QUEUED)
    give_up_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """If an attempt fails after this moment, it is the last one."""
    last_answer: Mapped[str | None] = mapped_column(String(500))
    """The result of the last attempt, as a sentence."""
    last_tried_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
