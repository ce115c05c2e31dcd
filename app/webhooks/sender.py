"""One attempt to deliver an event. Uses no database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from ipaddress import IPv4Network, IPv6Network

from app.core.clock import now
from app.core.encryption import DecryptionFailed, decrypt
from app.core.stored_texts import stored
from app.models import WebhookDelivery, WebhookEndpoint
from app.net.dialer import AddressRule, PublicOrIn, is_in
from app.net.http import Answer, Unreachable, send, target_of
from app.webhooks.messages import body_of, headers_of
from app.webhooks.queue import Outcome, Verdict
from config import Settings

Networks = Collection[IPv4Network | IPv6Network]

_OTHER_KEY = stored("The signing secret can't be read because this service's key has changed. Rotate the secret.")
_ANSWERED = stored("It answered %(status)s.")
_GONE = 410
_BUSY = frozenset({429, 502, 503, 504})
"""These say that the whole endpoint is busy. They come from the endpoint or from a proxy before it."""


def rule_for(url: str, allowed: Networks) -> AddressRule:
    """Where an endpoint may be: at a public address with TLS, or in the networks that the operator allows."""
    return PublicOrIn(tuple(allowed)) if target_of(url).is_tls else partial(is_in, networks=allowed)


def attempt(delivery: WebhookDelivery, endpoint: WebhookEndpoint, settings: Settings) -> Outcome:
    """Offer an event to its endpoint once. Returns within the `patience` of the settings' timings."""
    at = now()
    body = body_of(delivery)
    try:
        headers = headers_of(delivery.message_id, body, secrets_of(endpoint, at), at)
    except DecryptionFailed:
        sentence = _OTHER_KEY
        return Outcome(Verdict.AWAY, sentence, url=endpoint.url)
    try:
        answer = send(
            "POST",
            endpoint.url,
            headers=headers,
            body=body,
            permits=rule_for(endpoint.url, settings.webhook_allowed_networks),
            seconds=settings.timings.patience,
            max_answer=None,
        )
    except Unreachable as error:
        verdict = Verdict.UNANSWERED if error.was_connected else Verdict.AWAY
        return Outcome(verdict, error.reason, url=endpoint.url)
    return _outcome(answer, endpoint.url)


def secrets_of(endpoint: WebhookEndpoint, at: datetime) -> Sequence[str]:
    """The secrets that sign at a moment, the current one first. Raises `DecryptionFailed` if that one is unreadable."""
    secrets = [decrypt(endpoint.encrypted_secret)]
    until = endpoint.former_secret_until
    if endpoint.former_encrypted_secret is not None and until is not None and at < until:
        # The secret may have been replaced precisely because it was unreadable.
        with suppress(DecryptionFailed):
            secrets.append(decrypt(endpoint.former_encrypted_secret))
    return secrets


def _outcome(answer: Answer, url: str) -> Outcome:
    sentence = _ANSWERED % {"status": answer.status}
    if answer.status in _BUSY:
        wish = answer.headers.get("retry-after", "")
        seconds = float(wish) if wish.isdecimal() and len(wish) < 10 else 0.0
        return Outcome(Verdict.UNANSWERED, sentence, seconds, url)
    if answer.status == _GONE:
        return Outcome(Verdict.GONE, sentence, url=url)
    return Outcome(Verdict.DELIVERED if 200 <= answer.status < 300 else Verdict.REFUSED, sentence, url=url)
