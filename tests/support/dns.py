"""A DNS server on loopback that knows the records it is given, and can be told to say nothing, or that it failed.

with DnsServer({"harbour.test": {"TXT": ["v=spf1 -all"]}}) as server:
    ...  # ask server.address; server.asked has what was asked for
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = Mapping[str, Mapping[str, Sequence[str]]]
"""By name, then by type: the records' texts. Those of TXT are quoted by the server."""


class DnsServer:
    """Names that are not in the zone do not exist. `silent` ones get no answer, `failing` ones SERVFAIL; "*" is all."""

    def __init__(self, zone: Zone | None = None, *, silent: Sequence[str] = (), failing: Sequence[str] = ()) -> None:
        self.zone = dict(zone or {})
        self.silent = set(silent)
        self.failing = set(failing)
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self._thread = Thread(target=self._serve, daemon=True, name="dns")

    @property
    def setting(self) -> str:
        """The value of DNS_RESOLVERS that leads here."""
        return ":".join(map(str, self.address))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"", self.address)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            packet, caller = self._socket.recvfrom(65535)
            if not packet:
                return
            answer = self._answer(dns.message.from_wire(packet))
            if answer is not None:
                self._socket.sendto(answer, caller)

    def _answer(self, query: dns.message.Message) -> bytes | None:
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name in self.silent or "*" in self.silent:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.failing or "*" in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name not in self.zone:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif texts := self.zone[name].get(kind):
            written = [_quoted(text) if kind == "TXT" else text for text in texts]
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *written))
        return response.to_wire(max_size=65535)


def _quoted(text: str) -> str:
    """A TXT record's text in parts of at most 255 octets, as zone files write it."""
    octets = text.encode()
    parts = [octets[start : start + 255] for start in range(0, len(octets), 255)] or [b""]
    return " ".join('"' + "".join(f"\\{octet:03d}" for octet in part) + '"' for part in parts)
