"""The dialer connects to hosts that other people named. It checks each address first and bounds each step in time.

It uses neither Flask nor a database. `app.outbox.smtp` and `app.net.http` speak their protocols over its connections.
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
"""Reserved by the IETF (RFC 6890). Python considers single addresses in it public."""

_CLOUDS = (
    IPv4Network("168.63.129.16"),  # Azure: the host of a virtual machine, with its agent, DNS and health probes
    IPv4Network("161.26.0.0/16"),  # IBM Cloud: DNS, mirrors and other services, from inside only
    IPv4Network("166.8.0.0/14"),  # IBM Cloud: private endpoints
)
"""Networks that look public but lead to a cloud's inside. Other clouds use private or link-local addresses."""

AddressRule = Callable[[IPv4Address | IPv6Address], bool]
"""Whether we may connect to an address."""


class AddressRefused(Exception):
    """The name leads only to addresses that the rule refuses."""


def any_address(address: IPv4Address | IPv6Address) -> bool:
    """The rule for a server that may be anywhere."""
    return True


@dataclass(frozen=True)
class PublicOrIn:
    """The rule for a server that a portal's admin names: public addresses, and the networks that the operator allows.

    Private, loopback, link-local and metadata addresses are refused, both when the settings are saved and at each
    connection (OWASP ASVS 5.0, 1.3.6). Rules with the same networks are equal, so a connection that was opened under
    one may be used under the other.
    """

    networks: tuple[IPv4Network | IPv6Network, ...]

    def __call__(self, address: IPv4Address | IPv6Address) -> bool:
        return is_in(address, self.networks) or _is_public(address)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        # An IPv6 address that embeds an IPv4 address is judged by the latter. Site-local addresses are former private
        # ones.
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if inner:
            return _is_public(inner)
        if address.is_site_local:
            return False
    elif address in _PROTOCOLS or is_in(address, _CLOUDS):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_in(address: IPv4Address | IPv6Address, networks: Collection[IPv4Network | IPv6Network]) -> bool:
    """Whether an address is in one of the networks."""
    return any(address in network for network in networks)


def is_permitted(host: str, permits: AddressRule, seconds: float = 5.0) -> bool:
    """Whether a host name resolves, within `seconds`, to at least one address, and the rule permits all of them."""
    try:
        addresses = [ip_of(address) for _family, address in _resolved(host, 0, seconds)]
    except (OSError, ValueError):
        return False
    return bool(addresses) and all(map(permits, addresses))


class Watch:
    """The time left for a piece of work. `patience` is the longest single wait, in seconds."""

    def __init__(self, patience: float = float("inf")) -> None:
        self._patience = patience
        self._end = 0.0
        self._cancelled = False

    def start(self, seconds: float) -> None:
        """Set the deadline to this many seconds from now."""
        self._end = time.monotonic() + seconds

    def cancel(self) -> None:
        """End the time now and for good."""
        self._cancelled = True

    def left(self) -> float:
        """Seconds until the deadline. Raises TimeoutError when there are none left."""
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

    The name is resolved only once, so we connect to the very addresses that were checked. `resolved` is called when at
    least one address is permitted. Raises AddressRefused, OSError (including TimeoutError), and ValueError for a name
    that is not valid.
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
    """Return the address families and socket addresses of a host name.

    Raises TimeoutError after `seconds`, and OSError or ValueError for a name that does not resolve or is not valid. The
    resolver cannot be interrupted, so it runs in a thread that we can stop waiting for.
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
    """The IP address of a socket address. An IPv4-mapped IPv6 address counts as IPv4."""
    address = ip_address(socket_address[0])
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=8)
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """A context that verifies certificates against the authorities in a PEM file, or against those of the system.

    Reading the authorities takes tens of milliseconds, so it is done once per file, not once per connection.
    """
    return ssl.create_default_context(cafile=ca_file)
