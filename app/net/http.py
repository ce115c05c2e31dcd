"""An HTTP client for addresses that other people named: one request and its answer, within a time limit.

It connects only to addresses that the rule permits. It follows no redirect, uses no proxy of the environment, verifies
certificates, and uses no database.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.core.stored_texts import stored
from app.net.dialer import AddressRefused, AddressRule, Watch, connected, tls_context
from app.net.faults import certificate_fault, network_fault, tls_fault

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_UNTRUSTED = stored("The server's certificate is not trusted: %(fault)s")
_UNENCRYPTED = stored("There is no encrypted connection to the server: %(fault)s")
_NOT_REACHED = stored("The server cannot be reached: %(fault)s")
REASON_LENGTH = 300
URL_LENGTH = 2000

_HEAD_BYTES = 64 * 1024  # for an answer's status line, headers and chunk sizes; more than any honest one has
_CHUNK = 16 * 1024
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]{2,45}\]")
_PRINTABLE = re.compile(r"[!-~]*")
_OWN_HEADERS = {"User-Agent": "Imported-Clients", "Connection": "close"}


class Unreachable(Exception):
    """There was no usable answer. `reason`: one printable sentence that may be shown."""

    was_connected = False
    """Whether a connection was made, so that the request may have been processed all the same."""

    def __init__(self, reason: str) -> None:
        printable = "".join(c if c.isprintable() else " " for c in reason)
        self.reason = " ".join(printable.split())[:REASON_LENGTH]
        super().__init__(self.reason)


class BadUrl(Unreachable):
    """The address itself cannot be used, whoever answers there."""


@dataclass(frozen=True)
class Target:
    """A web address, split into its parts."""

    is_tls: bool
    host: str
    """A name in ASCII, or an IP address without brackets."""
    port: int
    path: str
    """The request target: the path with its query."""


@dataclass(frozen=True)
class Answer:
    """The answer of the other side. Any status is an answer, a redirect too."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]
    """By lower-case name. Of a repeated header, the first value."""


def target_of(url: str) -> Target:
    """Split a web address. Raises `BadUrl` if it is not a valid `http` or `https` address, or holds a password."""
    if len(url) > URL_LENGTH:
        raise BadUrl(stored("The URL is longer than %(most)s characters.") % {"most": URL_LENGTH})
    # urlsplit silently drops characters in wrong places, and none of them may reach the request line.
    if not _PRINTABLE.fullmatch(url):
        raise BadUrl(stored("The URL contains a space or a character that isn't allowed; enter it in its ASCII form."))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadUrl(stored("The URL can't be read.")) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise BadUrl(stored("The URL must start with https:// and name a host."))
    if "@" in parts.netloc:
        raise BadUrl(stored("The URL can't contain a user name or a password."))
    if parts.fragment:
        raise BadUrl(stored("The URL can't contain a fragment, since fragments are never sent."))
    if not _HOST.fullmatch(f"[{host}]" if ":" in host else host):
        raise BadUrl(stored("The URL's host name isn't valid."))
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    is_tls = parts.scheme == "https"
    return Target(is_tls, host, port if port is not None else 443 if is_tls else 80, path)


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    permits: AddressRule,
    seconds: float = 10.0,
    max_answer: int | None = 256 * 1024,
    ca_file: str | None = None,
) -> Answer:
    """Send one request and return the answer. Returns or raises within `seconds`, name and handshake included.

    `permits` is asked about each IP address of the host, and we connect to no other. `max_answer`: the most bytes that
    the answer's body may have; None if the caller needs only the status, then the body is not read. `ca_file`: the PEM
    file of the only authorities to trust.
    Raises `Unreachable`.
    """
    target = target_of(url)
    watch = Watch()
    watch.start(seconds)
    connection = _Connection(target, watch, permits, ca_file, room=_HEAD_BYTES + (max_answer or 0))
    try:
        connection.request(method, target.path, body=body or None, headers={**_OWN_HEADERS, **(headers or {})})
        answer = connection.getresponse()
        return Answer(answer.status, _body(answer, max_answer), _headers(answer))
    except Unreachable as error:
        error.was_connected = True
        raise
    except (OSError, ValueError, http.client.HTTPException, AddressRefused) as error:
        unreachable = _unreachable(error, seconds)
        unreachable.was_connected = connection.was_connected
        raise unreachable from error
    finally:
        connection.hang_up()


def _body(answer: http.client.HTTPResponse, most: int | None) -> bytes:
    if most is None:
        return b""
    content = answer.read(most + 1)
    if len(content) > most:
        raise Unreachable(stored("The answer is larger than %(most)s bytes.") % {"most": most})
    if answer.length:
        raise Unreachable(stored("The connection was lost before the answer was complete."))
    return content


def _headers(answer: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in reversed(answer.getheaders())}


class _Connection(http.client.HTTPConnection):
    """http.client's connection, made to a checked address. None of its steps outlasts the watch."""

    def __init__(self, target: Target, watch: Watch, permits: AddressRule, ca_file: str | None, *, room: int) -> None:
        super().__init__(target.host, target.port)
        self.default_port = 443 if target.is_tls else 80  # so that http.client leaves the port out of the Host header
        self._target = target
        self._watch = watch
        self._permits = permits
        self._ca_file = ca_file
        self._room = room
        self._plug: socket.socket | None = None
        self.was_connected = False

    def connect(self) -> None:
        self._plug = connected(self._target.host, self._target.port, self._watch, self._permits)
        if self._target.is_tls:
            self._plug.settimeout(self._watch.left())
            self._plug = tls_context(self._ca_file).wrap_socket(self._plug, server_hostname=self._target.host)
        self.sock = _Line(self._plug, self._watch, self._room)
        self.was_connected = True

    def hang_up(self) -> None:
        """Close the socket, even if somebody still reads. There is no TLS farewell, for which there is no time."""
        if self._plug is not None:
            with suppress(OSError):
                self._plug.close()


class _Line:
    """The socket as http.client sees it: every step ends in time, and at most `room` bytes are read.

    A socket's own timeout begins anew with each byte, so a server that sends one now and then would hold us for ever.
    """

    def __init__(self, plug: socket.socket, watch: Watch, room: int) -> None:
        self._plug = plug
        self._watch = watch
        self._room = room

    def sendall(self, data: bytes) -> None:
        for start in range(0, len(data), _CHUNK):
            self._plug.settimeout(self._watch.left())
            self._plug.sendall(data[start : start + _CHUNK])

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self))

    def receive(self, buffer: WriteableBuffer) -> int:
        """Read what is available, as `socket.recv_into` does."""
        self._plug.settimeout(self._watch.left())
        size = self._plug.recv_into(buffer)
        self._room -= size
        if self._room < 0:
            raise Unreachable(stored("The answer is too large."))
        return size

    def close(self) -> None:
        """Do nothing; `hang_up` closes. http.client closes a socket from which it goes on reading."""


class _Incoming(io.RawIOBase):
    """The stream that http.client reads answers from."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._line.receive(buffer)


def _unreachable(
    error: OSError | ValueError | http.client.HTTPException | AddressRefused, seconds: float
) -> Unreachable:
    """Turn an error into a sentence."""
    match error:
        case AddressRefused():
            return Unreachable(stored("The address is not allowed."))
        case TimeoutError():
            return Unreachable(stored("There was no answer within %(seconds)s seconds.") % {"seconds": f"{seconds:g}"})
        case socket.gaierror() | UnicodeError():
            return Unreachable(stored("The name of the host was not found."))
        case ConnectionRefusedError():
            return Unreachable(stored("The connection was refused: nothing is listening there."))
        case ssl.SSLCertVerificationError():
            return Unreachable(_UNTRUSTED % {"fault": certificate_fault(error)})
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return Unreachable(stored("The connection was lost before the answer was complete."))
        case ssl.SSLError():
            return Unreachable(_UNENCRYPTED % {"fault": tls_fault(error)})
        case http.client.RemoteDisconnected() | http.client.IncompleteRead() | ConnectionError():
            return Unreachable(stored("The connection was lost before the answer was complete."))
        case http.client.HTTPException():
            return Unreachable(stored("The answer is not HTTP, or is malformed."))
        case OSError():
            return Unreachable(_NOT_REACHED % {"fault": network_fault(error)})
        case _:
            return Unreachable(stored("The request could not be made. Check the URL."))
