"""What a report on a mail changes in the outbox: the mail had been taken by a server, and then it came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import select

from app.branding.policy import policies_of
from app.core.clock import now
from app.core.links import cut_token, token_in
from app.extensions import db
from app.models import ImportedClient, MailState, OutboxMail
from app.outbox.errors import REASON_LENGTH, fit_to_tell
from app.outbox.kinds import rules_of
from app.outbox.leased_email import LeasedEmail

_RETURNED = (MailState.BOUNCED, MailState.COMPLAINED)


def lock_mails_of(client: ImportedClient) -> Sequence[OutboxMail]:
    """Lock the mails of a locked client's current invitation: the invitation itself and its reminder."""
    query = select(OutboxMail).where(
        OutboxMail.portal_id == client.portal_id,
        OutboxMail.client_id == client.id,
        OutboxMail.generation == client.generation,
    )
    locked = query.order_by(OutboxMail.id).with_for_update().execution_options(populate_existing=True)
    return db.session.scalars(locked).all()


def was_offered(mail: OutboxMail) -> bool:
    """Whether a server has ever been offered a mail, so that a report on it can be true."""
    return mail.state is not MailState.QUEUED or mail.attempts > 0 or mail.unknown_outcomes > 0


def is_returned(mail: OutboxMail) -> bool:
    """Whether a report has been recorded for a mail."""
    return mail.state in _RETURNED


def mark_returned(mail: OutboxMail, state: MailState, words: str | None) -> None:
    """Record that a locked mail bounced or was complained about. `words`: the server's, fit to be told.

    A server may report within a second, before the worker has recorded that it took the mail, or after its answer to us
    was lost. Since only a server that took the mail can report on it, that it was sent is recorded first. The worker's
    own record then changes nothing, because the lease is over.
    """
    if mail.state is not MailState.SENT and not is_returned(mail):
        _mark_sent(mail, now())
    mail.state, mail.last_error = state, words


def _mark_sent(mail: OutboxMail, at: datetime) -> None:
    leased = LeasedEmail(**{field.name: getattr(mail, field.name) for field in fields(LeasedEmail)})
    mail.sent_at, mail.lease_id, mail.lease_until = at, None, None
    rules_of(mail.kind).on_sent([leased], at, policies_of([mail.portal_id]))


def words_about(mail: OutboxMail, words: str) -> str | None:
    """What a server says of a mail, fit to be kept and shown: without the mail's link, and at most 500 characters."""
    rules, told = rules_of(mail.kind), fit_to_tell(words)
    told = cut_token(told, token_in(rules.link(mail))) if rules.link_kind else told
    return told[:REASON_LENGTH] or None
