"""What is no proper request, or could be read as two, is refused, and the application does not see it."""

from __future__ import annotations

from collections.abc import Iterator
from time import process_time
from typing import Any

import pytest
from waitress.adjustments import Adjustments

from tests.support.serving import serving
from tests.support.slow_clients import SlowClient
from webserver.requests import BodyLimit, Request

POST = b"POST /first HTTP/1.1\r\nHost: a.test\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
NEXT = b"GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n"
EMPTY = b"0\r\n\r\n"


class Echo:
    """An application that answers with the body, and remembers for which paths it was asked."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.paths.append(environ["PATH_INFO"])
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Echo, int]]:
    echo = Echo()
    with serving(echo) as running:
        yield echo, running.port


BAD_HEADS = {
    "length and coding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + EMPTY,
    "coding and length": CHUNKED + b"content-length: 5\r\n\r\n" + EMPTY,
    "no length and coding": CHUNKED + b"Content-Length: 0\r\n\r\n" + EMPTY,
    "coding in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n\r\n" + EMPTY,
    "blank before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + EMPTY,
    "blank before the name": POST + b" Transfer-Encoding: chunked\r\n\r\n" + EMPTY,
    "value in the next line": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + EMPTY,
    "value goes on": POST + b"X: a\r\n\tb\r\n\r\n",
    "bare line feed": POST + b"X: a\nTransfer-Encoding: chunked\r\n\r\n" + EMPTY,
    "bare return": POST + b"X: a\rTransfer-Encoding: chunked\r\n\r\n" + EMPTY,
    "bare return at the end": b"GET /first HTTP/1.1\r\r\nHost: a.test\r\n\r\n",
    "NUL": POST + b"X: a\0b\r\n\r\n",
    "no name": POST + b": a\r\n\r\n",
    "no colon": POST + b"Transfer-Encoding chunked\r\n\r\n",
    "two hosts": b"GET /first HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
    "two hosts in one": b"GET /first HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n",
    "no host": b"GET /first HTTP/1.1\r\n\r\n",
    "host with a path": b"GET /first HTTP/1.1\r\nHost: a.test/x\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "two lengths in one": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "negative length": POST + b"Content-Length: -3\r\n\r\nabc",
    "negative length, waiting for leave": POST + b"Expect: 100-continue\r\nContent-Length: -3\r\n\r\nabc",
    "plus": POST + b"Content-Length: +3\r\n\r\nabc",
    "underscore": POST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "hexadecimal length": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "empty length": POST + b"Content-Length:\r\n\r\n",
    "endless length": POST + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\n",
    "no version": b"GET /first\r\n\r\n",
    "other version": b"GET /first HTTP/1.2\r\nHost: a.test\r\n\r\n",
    "newer version": b"GET /first HTTP/2.0\r\nHost: a.test\r\n\r\n",
    "0xFF in the path": b"GET /\xff HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "tab in the path": b"GET /a\tb HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "half an address": b"GET http://[::1/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "small letters": b"get /first HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "nonsense": b"nonsense\r\n\r\n",
}
BAD_CODINGS = [
    b"gzip",
    b"gzip, chunked",
    b"chunked, chunked",
    b"chunked,",
    b"identity",
    b"",
    b"xchunked",
    b"chunked;q=1",
]
BAD_CHUNKS = {
    "bare line feed after the size": b"5\n\r\nhello\r\n" + EMPTY,
    "bare line feed instead": b"5\nhello\r\n" + EMPTY,
    "bare line feed in an extension": b"5;a\n\r\nhello\r\n" + EMPTY,
    "bare return": b"5\rhello\r\n" + EMPTY,
    "empty line": b"\r\n5\r\nhello\r\n" + EMPTY,
    "longer than its size": b"3\r\nhello\r\n" + EMPTY,
    "negative": b"-5\r\nhello\r\n" + EMPTY,
    "0x": b"0x5\r\nhello\r\n" + EMPTY,
    "underscore": b"0_5\r\nhello\r\n" + EMPTY,
    "blank": b" 5\r\nhello\r\n" + EMPTY,
    "huge": b"f" * 16 + b"\r\nhello\r\n" + EMPTY,
    "bare line feed at the end": b"0\r\n\n",
    "bare line feed in the trailer": b"0\r\nX: a\n\r\n",
    "no trailer": b"0\r\nGET /second HTTP/1.1\r\n\r\n",
}
BAD = (
    [(400, one) for one in BAD_HEADS.values()]
    + [(501, POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + EMPTY) for coding in BAD_CODINGS]
    + [(501, CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n" + EMPTY)]
    + [(400, CHUNKED + b"\r\n" + one) for one in BAD_CHUNKS.values()]
    + [(431, POST + b"Cookie: " + b"a" * 70_000 + b"\r\n\r\n")]
)
NAMES = [
    *BAD_HEADS,
    *[f"coding {one.decode()!r}" for one in BAD_CODINGS],
    "two codings",
    *[f"chunks, {name}" for name in BAD_CHUNKS],
    "too long",
]


@pytest.mark.parametrize("status, request_", BAD, ids=NAMES)
def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_closed(
    served: tuple[Echo, int], caplog: pytest.LogCaptureFixture, status: int, request_: bytes
) -> None:
    echo, port = served
    echo.paths.clear()
    with SlowClient(port) as client:
        client.send(request_ + NEXT)
        refused = client.answer()
        text = refused.read().decode()
        assert client.read_little() == b""
    assert (refused.status, refused.headers["Connection"]) == (status, "close")
    assert "Nothing was changed" in text
    assert "waitress" not in f"{refused.headers}{text}"
    headers = {"X-Imported-Clients": "1", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    assert {name: refused.headers[name] for name in headers} == headers
    assert echo.paths == []
    assert not [record for record in caplog.records if record.name != "waitress.queue"]


GOOD = {
    "chunks": (CHUNKED + b"\r\n5\r\nhello\r\n7;a=b\r\n there\n\r\n" + EMPTY, b"hello there\n"),
    "another case": (POST + b"transfer-encoding: \t Chunked \r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n", b"hello"),
    "extensions": (CHUNKED + b'\r\n5 ; a="b;c"\r\nhello\r\n00\r\n\r\n', b"hello"),
    "a length": (POST + b"Content-Length: 5\r\nX:\r\n\r\nhello", b"hello"),
    "nothing": (POST + b"\r\n", b""),
    "an older version": (
        POST.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
    ),
}


@pytest.mark.parametrize("request_, body", GOOD.values(), ids=list(GOOD))
def test_a_proper_request_is_served_and_so_is_the_next(served: tuple[Echo, int], request_: bytes, body: bytes) -> None:
    echo, port = served
    echo.paths.clear()
    with SlowClient(port) as client:
        client.send(request_)
        answer = client.answer()
        assert (answer.status, answer.read(), answer.headers["Server"]) == (200, body, None)
        client.send(NEXT)
        assert client.answer().status == 200
    assert echo.paths == ["/first", "/second"]


def read(data: bytes, piece: int = 65_536) -> Request:
    """The first request of the data, which comes in pieces of so many bytes."""
    request = Request(Adjustments(), lambda *_: BodyLimit(2_000_000, 30))
    at = 0
    while not request.completed:
        at += request.received(data[at : at + piece])
    return request


@pytest.mark.parametrize("request_, body", GOOD.values(), ids=list(GOOD))
def test_a_request_is_the_same_wherever_the_network_divides_it(request_: bytes, body: bytes) -> None:
    for length in range(1, len(request_)):
        request = read(request_ + NEXT, length)
        assert (request.error, request.get_body_stream().read()) == (None, body)
        request.close()


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"X:" + b" " * 65_000 + b"a\r\n\r\n",
        POST + b"X: a" + b" \t" * 32_000 + b"\0\r\n\r\n",
        CHUNKED + b"\r\n" + b"1\r\na\r\n" * 150_000 + EMPTY,
        CHUNKED + b"\r\n1;" + b" " * 1000 + b"\0" + b"a" * 900_000,
    ],
    ids=["blanks before", "blanks within", "small chunks", "an extension"],
)
def test_no_request_takes_long_to_read(request_: bytes) -> None:
    began = process_time()
    read(request_).close()
    assert process_time() - began < 3
