"""The dialer connects to hosts that others name: it checks each address first, and no step outlasts its time.

Pure of Flask and of databases. What speaks over the connection is the matter of `app.outbox.smtp` and `app.net.http`.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from threading import Thread
from typing import Any

_PROTOCOLS = IPv4Network("192.0.0.0/24")
"""Set aside by the IETF (RFC 6890); Python takes single addresses of it for public ones."""

_CLOUDS = (
    IPv4Network("168.63.129.16"),  # Azure: the host of a virtual machine, with its agent, DNS and health probes
    IPv4Network("161.26.0.0/16"),  # IBM Cloud: DNS, mirrors and other services, from inside only
    IPv4Network("166.8.0.0/14"),  # IBM Cloud: private endpoints
)
"""What clouds lead to their own insides, though it looks public. All others use private or link-local addresses."""

AddressRule = Callable[[IPv4Address | IPv6Address], bool]
"""Whether we may connect to an address."""


class AddressRefused(Exception):
    """The name leads nowhere but to addresses that the rule refuses."""


def any_address(address: IPv4Address | IPv6Address) -> bool:
    """The address rule of a server that may be anywhere."""
    return True


@dataclass(frozen=True)
class PublicOrIn:
    """The rule for a server that a portal's admin names: never inside our own network, but where the operator lets it.

    Private, loopback, link-local and metadata addresses are refused, at saving and at each connection (OWASP ASVS
    5.0, 1.3.6). Rules about the same networks are equal, so that what is kept open under one serves under the other.
    """

    networks: tuple[IPv4Network | IPv6Network, ...]

    def __call__(self, address: IPv4Address | IPv6Address) -> bool:
        return is_in(address, self.networks) or _is_public(address)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        # An IPv4 address in other clothes is judged by what is in them; site-local ones were private networks once.
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if inner:
            return _is_public(inner)
        if address.is_site_local:
            return False
    elif address in _PROTOCOLS or is_in(address, _CLOUDS):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_in(address: IPv4Address | IPv6Address, networks: Collection[IPv4Network | IPv6Network]) -> bool:
    """Whether an address lies in one of the networks."""
    return any(address in network for network in networks)


def is_permitted(host: str, permits: AddressRule, seconds: float = 5.0) -> bool:
    """Whether a host name leads somewhere, and nowhere else than where the rule lets us go."""
    try:
        addresses = [ip_of(address) for _family, address in _resolved(host, 0, seconds)]
    except (OSError, ValueError):
        return False
    return bool(addresses) and all(map(permits, addresses))


class Watch:
    """How long a piece of work may still take. `patience` is the longest single wait, in seconds."""

    def __init__(self, patience: float = float("inf")) -> None:
        self._patience = patience
        self._end = 0.0
        self._cancelled = False

    def start(self, seconds: float) -> None:
        """From now on there are so many seconds."""
        self._end = time.monotonic() + seconds

    def cancel(self) -> None:
        """There is no time left, now and for good."""
        self._cancelled = True

    def left(self) -> float:
        """Seconds until the deadline. Raises TimeoutError when there are none."""
        seconds = self._end - time.monotonic()
        if seconds <= 0 or self._cancelled:
            raise TimeoutError("the time is up")
        return seconds

    def next_wait(self) -> float:
        """Seconds that the next step may wait at most. Raises TimeoutError as `left` does."""
        return min(self._patience, self.left())


def connected(
    host: str,
    port: int,
    watch: Watch,
    permits: AddressRule,
    *,
    resolved: Callable[[], None] | None = None,
) -> socket.socket:
    """Return a socket connected to the first permitted address of `host` that answers.

    The name is asked for once, so what was looked at is what we connect to. `resolved` hears that it leads somewhere.
    Raises AddressRefused, OSError (TimeoutError too), and ValueError for a name that is none.
    """
    addresses = [
        (family, address) for family, address in _resolved(host, port, watch.next_wait()) if permits(ip_of(address))
    ]
    if addresses and resolved is not None:
        resolved()
    failure: OSError | None = None
    for family, address in addresses:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(watch.next_wait())
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure or AddressRefused


def _resolved(host: str, port: int, seconds: float) -> list[tuple[socket.AddressFamily, Any]]:
    """Return the families and socket addresses of a host name.

    Raises TimeoutError after `seconds`, and OSError or ValueError for a name that does not resolve or
    is none. The resolver cannot be interrupted: it is asked in a thread that we can stop waiting for.
    """
    found: Future[list[tuple[socket.AddressFamily, Any]]] = Future()

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            found.set_exception(error)
        else:
            found.set_result([(family, address) for family, _, _, _, address in answers])

    Thread(target=ask, daemon=True, name="resolve").start()
    try:
        return found.result(seconds)
    except TimeoutError:
        raise TimeoutError(f"{host} was not resolved in time") from None


def ip_of(socket_address: Any) -> IPv4Address | IPv6Address:
    """The IP address in a socket address; an IPv4 one in IPv6 clothes counts as what it is."""
    address = ip_address(socket_address[0])
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=8)
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Verifies certificates, by the authorities in a PEM file or by those of the system.

    Reading the authorities takes tens of milliseconds: once per file, not per connection.
    """
    return ssl.create_default_context(cafile=ca_file)
