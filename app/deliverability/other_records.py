"""The findings about the other records of a sender's domain: DKIM, DMARC and MX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from flask_babel import gettext as _

from app.deliverability.domains import organisational_domain
from app.deliverability.findings import Finding, Status, proposed, shown, tags_of
from app.net.dns import Dns

_DMARC = re.compile(r"v\s*=\s*DMARC1\s*(;|$)")
_POLICIES = {"none", "quarantine", "reject"}
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


def check_dmarc(dns: Dns, domain: str) -> Finding:
    """Look for the DMARC record of a domain, else of its organisational domain (RFC 7489, 6.6.3).

    Raises LookupFailed.
    """
    for owner in dict.fromkeys([domain, organisational_domain(domain)]):
        name = f"_dmarc.{owner}"
        records = [text for text in dns.texts(name) if _DMARC.match(text.strip())]
        if records:
            return _judged_dmarc(records, name, domain)
    sentence = _(
        "%(domain)s has no DMARC record, which large mailbox providers expect. Reports go to the address in rua: name a"
        " mailbox that you read.",
        domain=domain,
    )
    proposal = f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}"
    return Finding("DMARC", Status.BAD, sentence, f"_dmarc.{domain}", (), proposal)


def _judged_dmarc(records: Sequence[str], name: str, domain: str) -> Finding:
    def found(status: Status, sentence: str, proposal: str = "") -> Finding:
        return Finding("DMARC", status, sentence, name, shown(records), proposed(proposal))

    if len(records) > 1:
        number = len(records)
        return found(
            Status.BAD,
            _("There are %(number)s DMARC records, so receivers ignore all of them. Keep one.", number=number),
            records[0],
        )
    if _policy_of(records[0], name, domain) not in _POLICIES:
        sentence = _("The record has no valid policy (p=none, quarantine or reject).")
        return found(Status.BAD, sentence, _with_policy(records[0]))
    return found(Status.GOOD, _("The record is there. Keep it as it is."))


def strictly_read(dmarc: Finding, domain: str) -> Finding:
    """What a good record means while neither SPF nor DKIM is right: emails are refused, unless it says `none`."""
    if dmarc.status is not Status.GOOD or _policy_of(dmarc.found[0], dmarc.name, domain) == "none":
        return dmarc
    sentence = _(
        "The record tells receivers to reject emails, or treat them as spam, if neither SPF nor DKIM is right. Fix"
        " these first."
    )
    return replace(dmarc, status=Status.WARNING, sentence=sentence)


def _policy_of(record: str, name: str, domain: str) -> str:
    """What a record at `name` tells receivers to do. For a domain below it, `sp` comes before `p` (RFC 7489, 6.3)."""
    tags = tags_of(record)
    policy = tags.get("p", "")
    return (policy if name == f"_dmarc.{domain}" else tags.get("sp", policy)).lower()


def _with_policy(record: str) -> str:
    """A record with a policy that receivers understand, and all else as it is."""
    policy = tags_of(record).get("p", "")
    parts = [part.strip() for part in record.split(";")[1:] if part.strip()]
    kept = [part for part in parts if not ({"p", "sp"} & tags_of(part).keys())]
    return "; ".join(["v=DMARC1", f"p={policy if policy.lower() in _POLICIES else 'none'}", *kept])


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
