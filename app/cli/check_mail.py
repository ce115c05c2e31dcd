"""Checks of `flask check`: the deployment's mail server, and the DNS records of its sender."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parseaddr

from flask import current_app

from app.bounces.mailbox import MailboxAway, mailbox_state, try_out
from app.core.checks import CheckResult, Level, fail, ok, warn
from app.core.redaction import redact
from app.deliverability.domains import ascii_domain, domain_of, organisational_domain
from app.deliverability.findings import Finding, Status
from app.deliverability.sender_check import check_sender
from app.net.dns import Dns
from app.outbox.errors import DeliveryError
from app.outbox.routing import deployment_route
from app.outbox.smtp import SmtpConnection
from config import Settings

_WAIT_SECONDS = 5.0
_DEADLINE_SECONDS = 8.0


def mail_server() -> CheckResult:
    """Whether MAIL_SERVER can be connected to and signed in at. Sends nothing."""
    settings = _settings()
    route = deployment_route(settings)
    if route is None:
        return warn("MAIL_SERVER is not set: account emails wait, and so do those of portals without their own server.")
    connection = SmtpConnection(
        route.server, timeout=_WAIT_SECONDS, deadline=_DEADLINE_SECONDS, local_hostname=settings.public_host
    )
    with connection:
        try:
            connection.try_out()
        except DeliveryError as error:
            return fail(redact(error.reason))
    signed_in = " and signed in" if route.server.username else ""
    return ok(f"Connected to {route.server.host}:{route.server.port}{signed_in}.")


def sender() -> CheckResult:
    """Whether the DNS lets MAIL_SERVER send for MAIL_DEFAULT_SENDER. Never fails: it only advises."""
    settings = _settings()
    if settings.mail is None:
        return ok("Nothing to check without a mail server.")
    asked = settings.mail_default_sender, settings.mail.server, None, settings.mail_bounce_address
    check = check_sender(Dns(settings.dns_resolvers), *asked)
    # Who runs the mail server knows whether it signs: the selector is not a setting.
    found = [one for one in check.all_findings if one.record != "DKIM"]
    open_ones = [one for one in found if one.status is not Status.GOOD]
    statuses = {one.status for one in found}
    is_fine = not statuses & {Status.BAD, Status.WARNING} and statuses != {Status.UNKNOWN}
    sentence = _sentences(open_ones) or f"SPF, DMARC and MX of {check.domain} are right."
    return CheckResult(Level.OK if is_fine else Level.WARN, sentence)


def _sentences(findings: Sequence[Finding]) -> str:
    """What is to be said of several records, the same sentence once for all that it is said of."""
    records: dict[str, list[str]] = {}
    for one in findings:
        proposal = f" Set at {one.name}: {one.proposal}" if one.proposal else ""
        records.setdefault(f"{one.sentence}{proposal}", []).append(one.record)
    return " ".join(f"{', '.join(names)}: {sentence}" for sentence, names in records.items())


def bounce_address() -> CheckResult:
    """SPF counts for DMARC only if the envelope sender has the From's organisational domain (RFC 7489, 3.1.2)."""
    settings = _settings()
    address = settings.mail_bounce_address
    if not address:
        return ok("None is set: reports of undelivered email go to the sender's address.")
    bounces = ascii_domain(parseaddr(address)[1].rpartition("@")[2])
    domain = domain_of(settings.mail_default_sender)
    if organisational_domain(bounces) == organisational_domain(domain):
        return ok(f"{bounces} belongs to the sender's domain.")
    return warn(
        f"Bounces go to {bounces}, emails come from {domain}: SPF then doesn't count for DMARC. Use an address of the"
        " sender's domain, or have the mail server sign with DKIM."
    )


def bounce_mailbox() -> CheckResult:
    """Whether BOUNCE_MAILBOX_URL can be opened now, and since when the job could not read it."""
    if _settings().bounce_mailbox is None:
        return ok("None is set: no reports are read from a mailbox.")
    try:
        try_out()
    except MailboxAway as error:
        state = mailbox_state()
        since = f" Not read since {state.failing_since:%Y-%m-%d %H:%M} UTC." if state and state.failing_since else ""
        return fail(f"{redact(str(error))}{since}")
    return ok("It can be opened.")


def _settings() -> Settings:
    settings: Settings = current_app.config["SETTINGS"]
    return settings
