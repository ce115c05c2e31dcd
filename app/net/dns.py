"""Questions to the DNS, bounded in time and in number. An answer is a list of records, which may be empty.

Whoever controls a domain chooses what its records say, so texts come back as plain ASCII without control characters.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

Address = IPv4Address | IPv6Address
NameServer = tuple[str, int]
"""The IP address and the port of a DNS resolver."""

_ONE_QUESTION_SECONDS = 2.0
_ONE_TRY_SECONDS = 1.0
_MOST_RECORDS = 50
_MOST_CHARACTERS = 4096


class LookupFailed(Exception):
    """The DNS gave no answer in time, or none that can be used. Nothing is known of the records."""


@dataclass(frozen=True)
class MailExchanger:
    """One MX record (RFC 5321, 5.1). `host` is "" where the domain says that it takes no mail (RFC 7505)."""

    preference: int
    host: str


class Dns:
    """Asks the DNS for somebody who waits: all questions together take `seconds`, and there are at most `most`.

    `servers`: the resolvers to ask, those of the system if there are none. For one thread.
    """

    def __init__(self, servers: Sequence[NameServer] = (), *, seconds: float = 5.0, most: int = 80) -> None:
        self._servers = servers
        self._end = time.monotonic() + seconds
        self._left = most
        self._resolver: dns.resolver.Resolver | None = None

    def texts(self, name: str) -> list[str]:
        """The TXT records of a name, each with its parts joined (RFC 7208, 3.3), in an order that stays the same.

        Raises LookupFailed.
        """
        answers = self._ask(name, dns.rdatatype.TXT)
        return sorted(_printable(b"".join(record.strings)) for record in answers)

    def mail_exchangers(self, name: str) -> list[MailExchanger]:
        """The MX records of a domain, the preferred one first. Raises LookupFailed."""
        answers = self._ask(name, dns.rdatatype.MX)
        found = [MailExchanger(one.preference, _text_of(one.exchange)) for one in answers]
        return sorted(found, key=lambda one: (one.preference, one.host))

    def addresses(self, name: str) -> list[Address]:
        """The IPv4 and IPv6 addresses of a host. Raises LookupFailed."""
        answers = [*self._ask(name, dns.rdatatype.A), *self._ask(name, dns.rdatatype.AAAA)]
        return [ip_address(one.address) for one in answers]

    def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> list[Any]:
        try:
            question = dns.name.from_text(f"{name.rstrip('.')}.", idna_codec=dns.name.IDNA_2008_Practical)
        except (dns.exception.DNSException, UnicodeError):
            return []  # a name that cannot be has no records
        seconds = min(_ONE_QUESTION_SECONDS, self._end - time.monotonic())
        if seconds <= 0 or self._left <= 0:
            raise LookupFailed
        self._left -= 1
        try:
            answer = self._with_resolver().resolve(question, kind, lifetime=seconds, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise LookupFailed from error
        return list(answer)[:_MOST_RECORDS]

    def _with_resolver(self) -> dns.resolver.Resolver:
        """Made when it is needed, because a machine without a resolver raises an error here."""
        if self._resolver is None:
            self._resolver = resolver = dns.resolver.Resolver(configure=not self._servers)
            resolver.timeout = _ONE_TRY_SECONDS
            if self._servers:
                resolver.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in self._servers]
        return self._resolver


def _printable(text: bytes) -> str:
    """One line of printable ASCII. Other bytes are written as `\\xff`, control characters become blanks."""
    plain = text[:_MOST_CHARACTERS].decode("ascii", "backslashreplace")
    return "".join(character if character.isprintable() else " " for character in plain)


def _text_of(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""
