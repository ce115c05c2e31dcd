"""The finding about a domain's SPF record: does it let the mail server send, and which record would?

Nobody can know from here by which addresses a server's mails leave. So a record is good if it covers the server's own
addresses, or includes what the server's provider publishes for its customers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from app.deliverability import spf
from app.deliverability.findings import Finding, Status, proposed, shown
from app.deliverability.hosts import SendingHost, sending_host
from app.deliverability.spf import BrokenRecord, Policy, SpfReader, Verdict
from app.net.dns import Dns


def check_spf(dns: Dns, domain: str, host: str) -> Finding:
    """Judge the SPF record of a sender's domain for the mail server `host`. Raises LookupFailed."""
    records = spf.records_among(dns.texts(domain))
    server = sending_host(dns, host)
    if len(records) == 1:
        return _OneRecord(dns, domain, records[0], server).finding()
    if records:
        return _several(records, domain, server)
    sentence = _(
        "%(domain)s has no SPF record, so receivers can't tell whether %(host)s may send for it.",
        domain=domain,
        host=server.name,
    )
    proposal = f"v=spf1 {server.mechanism()} ~all"
    return Finding("SPF", Status.BAD, f"{sentence}{_advice(server, domain)}", domain, (), proposal)


def _several(records: Sequence[str], domain: str, server: SendingHost) -> Finding:
    sentence = _(
        "%(domain)s has %(number)s SPF records, so receivers ignore all of them. Replace them with a single one.",
        domain=domain,
        number=len(records),
    )
    proposal = _extended(spf.merged(records), server.mechanism())
    return Finding("SPF", Status.BAD, sentence, domain, shown(records), proposed(proposal))


def _extended(record: str, mechanism: str) -> str:
    is_there = set(mechanism.split()) <= set(record.split())
    return record if is_there else spf.extended(record, mechanism)


def _advice(server: SendingHost, domain: str) -> str:
    """A further sentence, where the proposal cannot be the whole truth."""
    if server.include:
        return ""
    if not server.addresses:
        return " " + _("Replace ADDRESS with the public IP address that it sends from.")
    if server.is_foreign_to(domain):
        return " " + _("If its provider names another entry for SPF, use that one.")
    return ""


@dataclass
class _OneRecord:
    """The usual case: one record, as it should be."""

    dns: Dns
    domain: str
    record: str
    server: SendingHost

    def finding(self) -> Finding:
        reader = SpfReader(self.dns)
        try:
            policy = reader.read(self.record, self.domain)
        except BrokenRecord as error:
            return self._broken(error.term)
        if policy.lets_everyone_send:
            return self._open_to_everyone()
        if self.server.is_included(self.domain, policy.included):
            return self._covered(reader.lookups)
        return self._by_addresses(policy, reader.lookups)

    def _by_addresses(self, policy: Policy, lookups: int) -> Finding:
        if not self.server.addresses:
            sentence = _(
                "The public address of %(host)s is not known here. Make sure that the record covers it.",
                host=self.server.name,
            )
            return self._as(Status.UNKNOWN, sentence)
        verdicts = {policy.judge(address) for address in self.server.addresses}
        if verdicts == {Verdict.PASS}:
            return self._covered(lookups)
        if Verdict.UNKNOWN in verdicts and lookups > spf.MOST_LOOKUPS:
            return self._too_many_lookups()
        if Verdict.UNKNOWN in verdicts:
            sentence = _(
                "Whether the record covers %(host)s can't be told from here: parts of it depend on the single email, or"
                " could not be looked up. Ask whoever runs the mail server.",
                host=self.server.name,
            )
            return self._as(Status.UNKNOWN, sentence)
        return self._not_covered(Verdict.PASS in verdicts, lookups)

    def _not_covered(self, is_partly: bool, lookups: int) -> Finding:
        host = self.server.name
        if is_partly:
            sentence = _("The record covers only some of the addresses of %(host)s.", host=host)
        else:
            sentence = _("The record doesn't cover %(host)s, so its emails may be treated as spam.", host=host)
        mechanism = self.server.mechanism(without_lookup=lookups >= spf.MOST_LOOKUPS)
        return self._as(
            Status.WARNING if is_partly else Status.BAD,
            f"{sentence}{_advice(self.server, self.domain)}",
            spf.extended(self.record, mechanism),
        )

    def _covered(self, lookups: int) -> Finding:
        if lookups > spf.MOST_LOOKUPS:
            return self._too_many_lookups()
        return self._as(Status.GOOD, _("The record lets %(host)s send for this domain.", host=self.server.name))

    def _too_many_lookups(self) -> Finding:
        sentence = _(
            "The record needs more than %(most)s DNS lookups, so receivers may ignore it. Remove includes that are no"
            " longer needed, or replace them with the addresses (ip4:, ip6:) they stand for.",
            most=spf.MOST_LOOKUPS,
        )
        return self._as(Status.WARNING, sentence)

    def _broken(self, term: str) -> Finding:
        (word,) = shown([term])
        sentence = _("Receivers ignore the record because of “%(word)s”. Correct or remove that part.", word=word)
        own = term in self.record.split()
        proposal = _extended(spf.without(self.record, term), self.server.mechanism()) if own else ""
        return self._as(Status.BAD, sentence, proposal)

    def _open_to_everyone(self) -> Finding:
        own = spf.with_soft_end(self.record)
        proposal = _extended(own, self.server.mechanism()) if own != self.record else ""
        return self._as(Status.BAD, _("“+all” lets everyone send as %(domain)s.", domain=self.domain), proposal)

    def _as(self, status: Status, sentence: str, proposal: str = "") -> Finding:
        return Finding("SPF", status, sentence, self.domain, shown([self.record]), proposed(proposal))
