"""A strict parser for request heads (RFC 9112).

A proxy in front of us parses the head, too. If we disagree with it about where a request ends, the rest counts as
somebody else's next request (request smuggling). So we refuse whatever can be parsed in two ways. waitress gets the
head in one plain form, because its own patterns take quadratic time for many blanks in a row.
"""

from __future__ import annotations

import re

from waitress.parser import ParsingError, TransferEncodingNotImplemented

FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t -~\x80-\xff]*)")
"""A line with a header field. Line folding is not allowed."""
_FIRST_LINE = re.compile(rb"[!-~]+ [!-~]+ HTTP/(1\.[01])")
_HOST = re.compile(rb"[0-9A-Za-z._~:\[\]%-]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")

_Values = dict[bytes, list[bytes]]


def plain(head: bytes) -> bytes:
    """A request's first line and header fields, in a form that can be parsed in only one way.

    Raises waitress's `ParsingError` (400) or `TransferEncodingNotImplemented` (501).
    """
    first_line, *lines = head.split(b"\r\n")
    found = _FIRST_LINE.fullmatch(first_line)
    if found is None:
        raise ParsingError("The first line is none of HTTP/1.0 or HTTP/1.1")
    fields = [_field(line) for line in lines if line]
    values: _Values = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value)
    _check_host(values, found[1])
    _check_framing(values, found[1])
    return b"\r\n".join([first_line, *(name + b": " + value for name, value in fields), b"", b""])


def _field(line: bytes) -> tuple[bytes, bytes]:
    found = FIELD.fullmatch(line)
    if found is None:
        raise ParsingError("A line is no header field")
    return found[1], found[2].strip(b" \t")


def _check_host(values: _Values, version: bytes) -> None:
    hosts = values.get(b"host", [])
    if len(hosts) != 1 and (hosts or version == b"1.1"):
        raise ParsingError("Host is not there once")
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ParsingError("Host is no name and port")


def _check_framing(values: _Values, version: bytes) -> None:
    """Check that at most one header defines where the body ends. Raises as `plain` does."""
    lengths = values.get(b"content-length", [])
    codings = values.get(b"transfer-encoding", [])
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
        raise ParsingError("Content-Length is no number")
    if codings and (lengths or version != b"1.1"):
        raise ParsingError("Transfer-Encoding is there besides Content-Length, or in HTTP/1.0")
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        raise TransferEncodingNotImplemented("Transfer-Encoding is not exactly chunked")
