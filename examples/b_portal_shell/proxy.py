"""A small reverse proxy. It passes requests below a path prefix to another server, and streams the answers back."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import IO
from urllib.parse import quote

from flask import Request, Response
from werkzeug.datastructures import Headers

_CHUNK = 64 * 1024
_SECONDS = 60
# Hop-by-hop headers (RFC 9110, 7.6.1), which a proxy must not forward.
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
# Headers that we set ourselves, whatever the browser has sent.
_OURS = {
    "host",
    "cookie",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-prefix",
}


def pass_on(request: Request, path: str, *, prefix: str, port: int, own_cookie: str) -> Response:
    """Forward a request for `path` below our `prefix` to the server at a port of this machine. Returns its answer.

    The cookie named `own_cookie` is ours, so it is not forwarded. Answers 502 if the server does not answer.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    query = request.query_string.decode("latin-1")
    target = quote(f"/{path}", safe="/:@!$&'()*+,;=~-._") + (f"?{query}" if query else "")
    headers = _kept(request.headers, _HOP_BY_HOP | _OURS | _named(request.headers.get("Connection", "")))
    headers["X-Forwarded-For"] = request.remote_addr or ""
    headers["X-Forwarded-Proto"] = request.scheme
    headers["X-Forwarded-Host"] = request.host
    headers["X-Forwarded-Prefix"] = prefix
    cookies = request.headers.get("Cookie", "").split("; ")
    headers["Cookie"] = "; ".join(cookie for cookie in cookies if cookie.partition("=")[0] != own_cookie)
    try:
        connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in [("Host", f"127.0.0.1:{port}"), *headers.items()]:
            connection.putheader(name, value)
        connection.endheaders()
        _send(connection, request.stream, request.content_length or 0)
        answer = connection.getresponse()
    except (OSError, HTTPException):
        connection.close()
        return Response("Imported Clients does not answer.\n", 502, mimetype="text/plain")
    response = Response(_body(connection, answer), answer.status)
    received = Headers(answer.getheaders())
    response.headers = _kept(received, _HOP_BY_HOP | _named(received.get("Connection", "")))
    return response


def _kept(headers: Headers, dropped: set[str]) -> Headers:
    """The headers except the dropped ones. Repeated headers, such as Set-Cookie, stay repeated."""
    return Headers([(name, value) for name, value in headers if name.lower() not in dropped])


def _named(connection_header: str) -> set[str]:
    return {name.strip().lower() for name in connection_header.split(",")}


def _send(connection: HTTPConnection, body: IO[bytes], length: int) -> None:
    while length > 0 and (chunk := body.read(min(length, _CHUNK))):
        connection.send(chunk)
        length -= len(chunk)


def _body(connection: HTTPConnection, answer: HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := answer.read1(_CHUNK):
            yield chunk
    finally:
        connection.close()
