"""A row of the Imported Clients table: a client and the state of its invitation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from app.clients.advice import Advice, Cause, advice_on, cause_of, reply_text
from app.core.i18n import lazy
from app.models import ImportedClient, MailState
from app.outbox.queue import tried_for

EXPIRES_SOON = timedelta(hours=48)
ON_ITS_WAY = (MailState.QUEUED, MailState.SENDING)
UNDELIVERED = (MailState.FAILED, MailState.BOUNCED)
"""The states of a mail that did not reach its recipient, refused at once or returned later."""


class DeliveryStatus(StrEnum):
    """The delivery status of an invitation: the first of these that applies."""

    JOINED = "joined"
    DECLINED = "declined"
    REGISTERED = "registered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    FAILED = "failed"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"


_DELIVERY_WORDS = {
    DeliveryStatus.JOINED: lazy("Joined"),
    DeliveryStatus.DECLINED: lazy("Declined by recipient"),
    DeliveryStatus.REGISTERED: lazy("Email not verified yet"),
    DeliveryStatus.BOUNCED: lazy("Bounced."),
    DeliveryStatus.EXPIRED: lazy("Link expired"),
    DeliveryStatus.FAILED: lazy("Couldn't be delivered."),
    DeliveryStatus.QUEUED: lazy("Waiting to be sent"),
    DeliveryStatus.SENDING: lazy("Sending"),
    DeliveryStatus.SENT: lazy("Accepted by mail server"),
}


@dataclass(frozen=True)
class ClientRow:
    """A client as the table shows it at the time `at`."""

    client: ImportedClient
    delivery: MailState
    delivery_note: str | None
    """The latest message of the mail server or its connection, or, while the server is paused, why it is paused."""
    at: datetime
    may_have_arrived: bool = True
    """For a failed or waiting mail: whether an attempt had an unknown outcome, so the recipient may have the mail."""
    next_attempt_at: datetime | None = None
    """For a waiting mail: when it is tried next."""
    attempts: int = 0
    access_ended_at: datetime | None = None
    """When the portal ended this client's access; of a pending client, that of somebody with its address."""

    @property
    def is_link_dead(self) -> bool:
        """Whether nobody can register with the link: it has expired, or the server refused its mail for good."""
        is_refused = self.delivery is MailState.FAILED and not self.may_have_arrived
        return self.is_link_expired or (is_refused and not self.client.is_registered_unverified)

    @property
    def is_link_expired(self) -> bool:
        return not self.client.is_registered_unverified and self.client.is_link_expired(self.at)

    @cached_property
    def delivery_status(self) -> DeliveryStatus:
        if self.client.is_joined:
            return DeliveryStatus.JOINED
        if self.client.is_declined:
            return DeliveryStatus.DECLINED
        if self.client.is_registered_unverified:
            return DeliveryStatus.REGISTERED
        # A mail that came back says more than the expiry of its link, which nobody got.
        if self.is_link_expired and self.delivery is not MailState.BOUNCED:
            return DeliveryStatus.EXPIRED
        return DeliveryStatus(self.delivery)

    @property
    def words(self) -> str:
        return str(_DELIVERY_WORDS[self.delivery_status])

    @cached_property
    def advice(self) -> Advice | None:
        """What to do about an email that failed or bounced. None for any other."""
        if self.delivery_status not in (DeliveryStatus.FAILED, DeliveryStatus.BOUNCED):
            return None
        return advice_on(self.client.email, self.delivery_note or "")

    @property
    def waits_for_room(self) -> bool:
        """Whether the mail waits because the recipient's mailbox is full."""
        return self.delivery is MailState.QUEUED and cause_of(self.delivery_note or "") is Cause.MAILBOX_FULL

    @property
    def note(self) -> str | None:
        """What the server or its connection said about the mail that waits, failed or bounced."""
        if not self.delivery_note or self.delivery not in (MailState.QUEUED, *UNDELIVERED):
            return None
        return reply_text(self.delivery_note, is_reply=self.delivery is MailState.BOUNCED)

    @property
    def waits_until(self) -> datetime | None:
        """When a waiting mail is tried next. None if that is now."""
        return self.next_attempt_at if self.next_attempt_at and self.next_attempt_at > self.at else None

    @property
    def tried_until(self) -> datetime | None:
        """When a waiting mail is given up."""
        return self.next_attempt_at + tried_for(self.attempts) if self.next_attempt_at else None

    @property
    def expires_soon(self) -> bool:
        expires_at = self.client.link_expires_at
        return expires_at is not None and self.at < expires_at <= self.at + EXPIRES_SOON

    @property
    def may_change_by_itself(self) -> bool:
        """Whether something can change without an admin: a mail is on its way, or the client can still join."""
        return not self.client.is_joined and (self.delivery in ON_ITS_WAY or not self.is_link_dead)
