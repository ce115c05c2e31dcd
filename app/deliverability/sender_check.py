"""The sender check: what the DNS says of a sender's domain, and what should be set there. It only ever advises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask_babel import gettext as _

from app.deliverability.domains import ascii_domain, domain_of, is_server_of, mailbox_provider
from app.deliverability.findings import Finding, Status
from app.deliverability.other_records import check_dkim, check_dmarc, check_mx, strictly_read
from app.deliverability.spf_check import check_spf
from app.net.dns import Dns, LookupFailed


@dataclass(frozen=True)
class SenderCheck:
    """What was found of a sender's domain."""

    domain: str
    """In lower case and punycode."""
    findings: tuple[Finding, ...] = ()
    summary: Finding | None = None
    """One sentence in place of findings, for a domain whose records are not the sender's to set."""

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        return (self.summary,) if self.summary else self.findings


def check_sender(
    dns: Dns, sender: str, host: str, selector: str | None, envelope_sender: str | None = None
) -> SenderCheck:
    """Check the domain of a sender, such as 'Harbour Tours <tours@example.com>', whose mails go through `host`.

    `selector`: where the DKIM key is, None if it is not known. `envelope_sender`: the address that SPF is asked for
    (RFC 7208, 2.4), None if it is the sender's. Raises nothing: what could not be looked up says so.
    """
    domain, host = domain_of(sender), ascii_domain(host)
    summary = _summary(domain, host)
    if summary is not None:
        return SenderCheck(domain, summary=summary)
    # SPF comes last, because its record may use up the time.
    mx = _found("MX", domain, lambda: check_mx(dns, domain, host))
    dkim = _found("DKIM", domain, lambda: check_dkim(dns, domain, selector))
    dmarc = _found("DMARC", domain, lambda: check_dmarc(dns, domain))
    spf = _found("SPF", domain, lambda: check_spf(dns, domain_of(envelope_sender or sender), host))
    if spf.status is Status.BAD and dkim.status is not Status.GOOD:
        dmarc = strictly_read(dmarc, domain)
    return SenderCheck(domain, (spf, dkim, dmarc, mx))


def _summary(domain: str, host: str) -> Finding | None:
    if "." not in domain:
        sentence = _("%(domain)s is not an internet domain, so replies and bounces can't come back.", domain=domain)
        return Finding("Sender", Status.WARNING, sentence, domain)
    provider = mailbox_provider(domain)
    if provider is None:
        return None
    if is_server_of(provider, host):
        sentence = _("%(domain)s has the records it needs: its provider looks after them.", domain=domain)
        return Finding("Sender", Status.GOOD, sentence, domain)
    sentence = _(
        "%(domain)s doesn't let other mail servers send for its addresses, so many emails will not arrive. Use its own"
        " mail server, or a sender's address at a domain of your own.",
        domain=domain,
    )
    return Finding("Sender", Status.BAD, sentence, domain)


def _found(record: str, domain: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except LookupFailed:
        sentence = _("Could not look it up: the DNS gave no answer. Nothing is wrong because of that; try again later.")
        return Finding(record, Status.UNKNOWN, sentence, domain)
