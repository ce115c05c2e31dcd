"""The findings about the other records of a sender's domain: DKIM, DMARC and MX."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask_babel import gettext as _

from app.deliverability.domains import organisational_domain
from app.deliverability.findings import Finding, Status, proposed, shown, tags_of
from app.net.dns import Dns

_DMARC = re.compile(r"v\s*=\s*DMARC1\s*(;|$)")
_KEY = re.compile(r"[A-Za-z0-9+/=\s]+")


def check_dkim(dns: Dns, domain: str, selector: str | None) -> Finding:
    """Look for the public key by which receivers check the mail server's signatures (RFC 6376, 3.6).

    `selector` is the name under which it stands; None if nobody has told it. Raises LookupFailed.
    """
    if not selector:
        sentence = _("Not checked: enter the DKIM selector that the mail server signs with, and save.")
        return Finding("DKIM", Status.UNKNOWN, sentence, f"…._domainkey.{domain}")
    name = f"{selector}._domainkey.{domain}"
    records = dns.texts(name)
    keys = [tags["p"] for record in records if "p" in (tags := tags_of(record))]
    if any(_KEY.fullmatch(key) for key in keys):
        return Finding("DKIM", Status.GOOD, _("There is a key for the selector %(name)s.", name=selector), name)
    if not records:
        sentence = _("There is no key for this selector. Set the one that your mail server's provider gives you.")
    elif keys and not any(keys):
        sentence = _("This key was revoked: it is empty. Use another selector, or set the key again.")
    else:
        sentence = _("The record there is not a DKIM key. Replace it with the one that your provider gives you.")
    return Finding("DKIM", Status.BAD, sentence, name, shown(records), "v=DKIM1; p=KEY")


def check_dmarc(dns: Dns, domain: str, *, would_fail: bool) -> Finding:
    """Look for the DMARC record of a domain, else of its organisational domain (RFC 7489, 6.6.3).

    `would_fail`: whether neither SPF nor DKIM is right, as far as is known. Raises LookupFailed.
    """
    for owner in dict.fromkeys([domain, organisational_domain(domain)]):
        name = f"_dmarc.{owner}"
        records = [text for text in dns.texts(name) if _DMARC.match(text.strip())]
        if records:
            return _judged_dmarc(records, name, is_inherited=owner != domain, would_fail=would_fail)
    sentence = _(
        "%(domain)s has no DMARC record, which large mailbox providers expect. Reports go to the address in rua: name a"
        " mailbox that you read.",
        domain=domain,
    )
    proposal = f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}"
    return Finding("DMARC", Status.BAD, sentence, f"_dmarc.{domain}", (), proposal)


def _judged_dmarc(records: Sequence[str], name: str, *, is_inherited: bool, would_fail: bool) -> Finding:
    def found(status: Status, sentence: str, proposal: str = "") -> Finding:
        return Finding("DMARC", status, sentence, name, shown(records), proposed(proposal))

    if len(records) > 1:
        number = len(records)
        return found(
            Status.BAD,
            _("There are %(number)s DMARC records, so receivers ignore all of them. Keep one.", number=number),
            records[0],
        )
    tags = tags_of(records[0])
    policy = (tags.get("sp", tags.get("p", "")) if is_inherited else tags.get("p", "")).lower()
    if policy not in {"none", "quarantine", "reject"}:
        others = [part.strip() for part in records[0].split(";")[1:] if part.strip()]
        kept = [part for part in others if part.partition("=")[0].strip().lower() != "p"]
        proposal = "; ".join(["v=DMARC1", "p=none", *kept])
        return found(Status.BAD, _("The record has no valid policy (p=none, quarantine or reject)."), proposal)
    if policy != "none" and would_fail:
        sentence = _(
            "The record tells receivers to reject emails, or treat them as spam, if neither SPF nor DKIM is right. See"
            " to these first."
        )
        return found(Status.WARNING, sentence)
    return found(Status.GOOD, _("The record is there. Keep it as it is."))


def check_mx(dns: Dns, domain: str, host: str) -> Finding:
    """Look for the servers that take a domain's mail, replies and bounces among them (RFC 5321, 5.1; RFC 7505).

    `host` is the server that sends. Raises LookupFailed.
    """
    exchangers = dns.mail_exchangers(domain)
    records = shown([f"{one.preference} {one.host or '.'}" for one in exchangers])
    if any(one.host for one in exchangers):
        return Finding("MX", Status.GOOD, _("Replies and bounces can reach this domain."), domain, records)
    is_own = organisational_domain(host) == organisational_domain(domain)
    proposal = f"10 {host}." if is_own else f"10 mail.{domain}."
    if exchangers:
        sentence = _("The domain says that it receives no email, so replies and bounces can't come back.")
        return Finding("MX", Status.BAD, sentence, domain, records, proposal)
    if dns.addresses(domain):
        sentence = _("There is no MX record, so replies and bounces go to %(domain)s itself.", domain=domain)
        return Finding("MX", Status.WARNING, sentence, domain, (), proposal)
    sentence = _(
        "There is no MX record, so replies and bounces can't come back. Name the server that receives email for"
        " %(domain)s.",
        domain=domain,
    )
    return Finding("MX", Status.BAD, sentence, domain, (), proposal)
