"""Matches a report to one of our mails, and records what became of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from enum import StrEnum
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from app.bounces.report import Action, Report, read_report
from app.core.text import smtp_address
from app.db.transactions import transaction
from app.extensions import db
from app.invitations import history
from app.invitations.emails import tell_undelivered
from app.invitations.service import mark_declined
from app.models import ClientEvent, EventKind, ImportedClient, MailKind, MailState, OutboxMail
from app.observability import metrics
from app.outbox.bounce_address import read_token, tokens_in
from app.outbox.returned import is_returned, lock_mails_of, mark_returned, was_offered, words_about
from config import Settings

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What came of a message. `metrics.REPORT_OUTCOMES` has the same values."""

    NO_REPORT = "no_report"
    """It reports on no mail: a vacation reply, a letter, spam."""
    FORGED = "forged"
    """It came to a token that we never made."""
    UNKNOWN = "unknown"
    """It is about no mail of ours that is still known."""
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    DELAYED = "delayed"
    LATE = "late"
    """It is about somebody who has joined, so it is noted in the history and changes nothing else."""
    ACCOUNT = "account"
    """It is about a mail to an account or an admin, which no table shows."""
    OUTDATED = "outdated"
    """The client was invited again since, or removed, or the mail was never offered to a server."""
    REPEATED = "repeated"
    """The same was reported before."""
    GOOD = "good"
    """The mail was delivered or passed on, as the report says."""

    @property
    def is_about_our_mail(self) -> bool:
        """Whether a report on a mail of ours was read, so that it may be deleted from its mailbox."""
        return self not in {Outcome.NO_REPORT, Outcome.FORGED, Outcome.UNKNOWN}


def ingest(content: bytes) -> Outcome:
    """Read a message, and record what it reports. The message itself is kept nowhere: it may hold a working link.

    Writes one log line, without addresses. May be called again with the same message, which then changes nothing.
    """
    report = read_report(content)
    mail_id = None
    if report is None:
        outcome = Outcome.NO_REPORT
    else:
        mail_id, outcome = _mail_of(report)
        if mail_id is not None:
            outcome = _record(mail_id, report)
    metrics.report_read(outcome)
    log.info("report on a mail: %s", outcome, extra={"mail": mail_id, "octets": len(content)})
    return outcome


# Which mail


def _mail_of(report: Report) -> tuple[UUID | None, Outcome]:
    """The mail that a report is about, or what is wrong with it.

    The address that it came to decides: a server has that from us alone. Only without a token in it we believe what the
    report quotes.
    """
    settings: Settings = current_app.config["SETTINGS"]
    token = next((token for text in report.came_to for token in tokens_in(text, settings.mail_bounce_address)), None)
    if token is not None:
        mail_id = read_token(token)
        return mail_id, Outcome.FORGED if mail_id is None else Outcome.UNKNOWN
    return _by_message_id(report.message_ids), Outcome.UNKNOWN


def _by_message_id(quoted: Iterable[str]) -> UUID | None:
    for message_id in quoted:
        mail_id = UUID(message_id.partition("@")[0])
        ours = db.session.scalar(select(OutboxMail.message_id).where(OutboxMail.id == mail_id))
        if ours is not None and ours.lower() == f"<{message_id}>".lower():
            return mail_id
    return None


# What it changes


def _record(mail_id: UUID, report: Report) -> Outcome:
    with transaction() as session:
        of_client = session.execute(
            select(OutboxMail.portal_id, OutboxMail.client_id).where(OutboxMail.id == mail_id)
        ).first()
        if of_client is None:
            return Outcome.OUTDATED
        if of_client.client_id is None:
            return Outcome.ACCOUNT
        # The client first, and then its mails: see `transaction`.
        client = session.get(ImportedClient, tuple(of_client), populate_existing=True, with_for_update=True)
        mails = lock_mails_of(client) if client else ()
        mail = next((one for one in mails if one.id == mail_id and was_offered(one)), None)
        if client is None or mail is None:
            return Outcome.OUTDATED
        # What a reminder meets is told of its invitation too, whose mail is the one that the table shows.
        told = [one for one in mails if one is mail or one.kind is MailKind.INVITATION]
        if report.is_complaint:
            return _record_complaint(client, told)
        finding = report.about(mail.recipient, smtp_address(mail.recipient))
        if finding is None or finding.action is Action.OTHER:
            return Outcome.GOOD
        words = words_about(mail, finding.words)
        if finding.action is Action.DELAYED:
            return _record_delay(client, words)
        return _record_bounce(client, told, words)


def _record_bounce(client: ImportedClient, mails: Sequence[OutboxMail], words: str | None) -> Outcome:
    if _is_known(client, EventKind.MAIL_BOUNCED):
        return Outcome.REPEATED
    if client.is_joined:
        history.record(client, EventKind.MAIL_BOUNCED, detail=words)
        return Outcome.LATE
    if not _return(mails, MailState.BOUNCED, words):
        return Outcome.REPEATED
    tell_undelivered(client, EventKind.MAIL_BOUNCED, words)
    return Outcome.BOUNCED


def _record_complaint(client: ImportedClient, mails: Sequence[OutboxMail]) -> Outcome:
    if _is_known(client, EventKind.MAIL_COMPLAINED):
        return Outcome.REPEATED
    if client.is_joined:
        history.record(client, EventKind.MAIL_COMPLAINED)
        return Outcome.LATE
    _return(mails, MailState.COMPLAINED, None)
    mark_declined(client, EventKind.MAIL_COMPLAINED)
    return Outcome.COMPLAINED


def _record_delay(client: ImportedClient, words: str | None) -> Outcome:
    if _is_known(client, EventKind.MAIL_DELAYED):
        return Outcome.REPEATED
    history.record(client, EventKind.MAIL_DELAYED, detail=words)
    return Outcome.LATE if client.is_joined else Outcome.DELAYED


def _return(mails: Sequence[OutboxMail], state: MailState, words: str | None) -> bool:
    """Mark mails as returned. Returns False if a report was recorded for all of them before."""
    first = [mail for mail in mails if not is_returned(mail)]
    for mail in first:
        mark_returned(mail, state, words)
    return bool(first)


def _is_known(client: ImportedClient, kind: EventKind) -> bool:
    """Whether the same was reported on the current invitation. The client is locked, so nobody reports it meanwhile."""
    query = select(ClientEvent.id).where(
        ClientEvent.portal_id == client.portal_id,
        ClientEvent.client_id == client.id,
        ClientEvent.generation == client.generation,
        ClientEvent.kind == kind,
    )
    return db.session.scalar(query.limit(1)) is not None
