"""SPF records (RFC 7208): reading them, asking whether they let an address send, and extending them.

`read` does all lookups. `Policy.judge` is the check_host of RFC 7208, 4 for what was read, but for macros: what depends
on the single mail cannot be known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network

from app.deliverability.domains import ascii_domain
from app.net.dns import Address, Dns, LookupFailed

MOST_LOOKUPS = 10
"""A receiver gives up on a record that needs more (RFC 7208, 4.6.4)."""
_MOST_READ = 2 * MOST_LOOKUPS
_MOST_HOSTS = 10
"""Of one MX mechanism (RFC 7208, 4.6.4)."""

_VERSION = re.compile(r"v=spf1(?: |$)", re.IGNORECASE)
_MECHANISMS = "all|include|a|mx|ptr|ip4|ip6|exists"
_MECHANISM = re.compile(rf"(?P<qualifier>[-+?~]?)(?P<name>{_MECHANISMS})(?P<rest>[:/]\S*)?", re.IGNORECASE)
_VALUE = re.compile(r":(?P<value>\S+)")
_HOSTS = re.compile(r"(?::(?P<value>[^\s/]+))?(?:/(?P<v4>\d{1,2}))?(?://(?P<v6>\d{1,3}))?")
_RESTS = {
    "all": re.compile(""),
    **dict.fromkeys(("include", "exists", "ip4", "ip6"), _VALUE),
    **dict.fromkeys(("a", "mx", "ptr"), _HOSTS),
}
"""What may follow the name of each mechanism (RFC 7208, 12)."""
_MODIFIER = re.compile(r"(?P<name>[a-z][\w.-]*)=(?P<value>\S*)", re.IGNORECASE | re.ASCII)


class Verdict(StrEnum):
    """What a record says of an address."""

    PASS = "pass"
    FAIL = "fail"
    """Also where it says nothing, so that a receiver is no wiser."""
    UNKNOWN = "unknown"
    """It depends on the single mail, or on what could not be looked up."""


class BrokenRecord(Exception):
    """A receiver ignores the record (permerror). `term` is the part at fault."""

    def __init__(self, term: str) -> None:
        super().__init__(term)
        self.term = term


@dataclass(frozen=True)
class Term:
    """One word of a record: a mechanism, or the modifier `redirect`."""

    text: str
    name: str
    value: str = ""
    qualifier: str = "+"
    bits: tuple[int, int] = (32, 128)
    """How much of an address `a` and `mx` compare: of IPv4, of IPv6."""

    @property
    def has_macro(self) -> bool:
        return "%" in self.value


@dataclass(frozen=True)
class Rule:
    """A term with what it led to."""

    term: Term
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    inner: Policy | None = None
    is_unknown: bool = False

    def matches(self, address: Address) -> bool | None:
        """Whether it speaks of an address. None if that cannot be known."""
        if self.is_unknown:
            return None
        if self.inner is not None:
            verdict = self.inner.judge(address)
            return None if verdict is Verdict.UNKNOWN else verdict is Verdict.PASS
        return self.term.name == "all" or any(address in network for network in self.networks)

    @property
    def lets_everyone_send(self) -> bool:
        return self.term.name == "all" or (self.inner is not None and self.inner.lets_everyone_send)


@dataclass
class Policy:
    """What a record says, with what it includes."""

    rules: list[Rule] = field(default_factory=list)
    included: set[str] = field(default_factory=set)
    """The domains whose records it includes or redirects to, at any depth."""

    def judge(self, address: Address) -> Verdict:
        """Whether the record lets this address send. The first rule that speaks of it decides."""
        is_known = True
        for rule in self.rules:
            matches = rule.matches(address)
            if matches is None:
                is_known = False
            elif matches and rule.term.qualifier == "+":
                return Verdict.PASS
            elif matches:
                break
        return Verdict.FAIL if is_known else Verdict.UNKNOWN

    @property
    def lets_everyone_send(self) -> bool:
        """Whether `+all` stands in it, or in what it includes."""
        return any(rule.lets_everyone_send for rule in self.rules if rule.term.qualifier == "+")


def records_among(texts: Sequence[str]) -> list[str]:
    """The SPF records among a domain's TXT records."""
    return [text.strip() for text in texts if _VERSION.match(text.strip())]


def terms_of(record: str) -> list[Term]:
    """The terms of a record, in their order, without modifiers that say nothing of addresses. Raises BrokenRecord."""
    terms = [_term(word) for word in record.split()[1:]]
    found = [term for term in terms if term is not None]
    redirects = [term for term in found if term.name == "redirect"]
    if len(redirects) > 1:
        raise BrokenRecord(redirects[1].text)
    # It counts only where no mechanism matches, wherever it stands, and not at all beside `all` (RFC 7208, 6.1).
    mechanisms = [term for term in found if term.name != "redirect"]
    return mechanisms if any(term.name == "all" for term in mechanisms) else mechanisms + redirects


def _term(word: str) -> Term | None:
    if modifier := _MODIFIER.fullmatch(word):
        name, value = modifier["name"].lower(), modifier["value"]
        return Term(word, name, value) if name == "redirect" else None
    found = _MECHANISM.fullmatch(word)
    rest = _RESTS[found["name"].lower()].fullmatch(found["rest"] or "") if found else None
    if found is None or rest is None:
        raise BrokenRecord(word)
    parts = rest.groupdict()
    bits = int(parts.get("v4") or 32), int(parts.get("v6") or 128)
    if bits[0] > 32 or bits[1] > 128:
        raise BrokenRecord(word)
    return Term(word, found["name"].lower(), parts.get("value") or "", found["qualifier"] or "+", bits)


def extended(record: str, addition: str) -> str:
    """A record with one more mechanism, before whatever decides about all the rest."""
    words = record.split()
    last = next((n for n, word in enumerate(words) if _is_all(word)), len(words))
    if last == len(words):
        last = next((n for n, word in enumerate(words) if word.lower().startswith("redirect=")), len(words))
    return " ".join([*words[:last], addition, *words[last:]])


def merged(records: Sequence[str]) -> str:
    """One record that says what several say, each mechanism once. Where they end differently, it ends in `~all`."""
    words = [word for record in records for word in record.split()[1:]]
    ends = [word for word in words if _is_all(word)]
    kept = dict.fromkeys(word for word in words if word not in ends and not word.lower().startswith("redirect="))
    return " ".join(["v=spf1", *kept, ends[0] if len(set(ends)) == 1 else "~all"])


def without(record: str, word: str) -> str:
    """A record without one of its words."""
    return " ".join(one for one in record.split() if one != word)


def with_soft_end(record: str) -> str:
    """A record that lets not everyone send: `~all` in place of `+all`."""
    return " ".join("~all" if word.lower() in {"all", "+all"} else word for word in record.split())


def _is_all(word: str) -> bool:
    return word.lstrip("+-~?").lower() == "all"


class SpfReader:
    """Reads a record and all that it includes. `lookups` counts what a receiver would have to look up."""

    def __init__(self, dns: Dns) -> None:
        self._dns = dns
        self.lookups = 0

    def read(self, record: str, domain: str) -> Policy:
        """Raises BrokenRecord, also for an included domain without a record (RFC 7208, 5.2)."""
        policy = Policy()
        for term in terms_of(record):
            policy.rules.append(self._rule(term, domain, policy))
        return policy

    def _rule(self, term: Term, domain: str, policy: Policy) -> Rule:
        if term.name in {"all", "ip4", "ip6"}:
            return Rule(term, networks=_networks(term))
        self.lookups += 1
        if self.lookups > _MOST_READ or term.has_macro or term.name in {"ptr", "exists"}:
            return Rule(term, is_unknown=True)
        try:
            if term.name in {"include", "redirect"}:
                return Rule(term, inner=self._included(term, policy))
            return Rule(term, networks=self._hosts(term, ascii_domain(term.value or domain)))
        except LookupFailed:
            return Rule(term, is_unknown=True)

    def _included(self, term: Term, policy: Policy) -> Policy:
        domain = ascii_domain(term.value)
        policy.included.add(domain)
        records = records_among(self._dns.texts(domain))
        if len(records) != 1:
            raise BrokenRecord(term.text)
        inner = self.read(records[0], domain)
        policy.included |= inner.included
        return inner

    def _hosts(self, term: Term, domain: str) -> tuple[IPv4Network | IPv6Network, ...]:
        hosts = [domain]
        if term.name == "mx":
            hosts = [one.host for one in self._dns.mail_exchangers(domain) if one.host][:_MOST_HOSTS]
        addresses = [address for host in hosts for address in self._dns.addresses(host)]
        return tuple(ip_network((one, term.bits[one.version == 6]), strict=False) for one in addresses)


def _networks(term: Term) -> tuple[IPv4Network | IPv6Network, ...]:
    if term.name == "all":
        return ()
    try:
        network = ip_network(term.value, strict=False)
    except ValueError:
        raise BrokenRecord(term.text) from None
    if network.version != int(term.name[2]):
        raise BrokenRecord(term.text)
    return (network,)
