"""A request as it arrives: how much of its body is kept, and how it is answered if the body does not arrive whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from math import inf
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import Error, RequestEntityTooLarge

from webserver import heads
from webserver.chunks import ChunkedBody


@dataclass(frozen=True)
class BodyLimit:
    """The largest body of a request, in bytes, and the longest time for its arrival, in seconds."""

    max_bytes: int
    seconds: float


FindBodyLimit = Callable[[str, str, str], BodyLimit]
"""Returns the limit for a request's method, path (as in WSGI's `PATH_INFO`) and content type."""


class Request(HTTPRequestParser):  # type: ignore[misc]
    """A request that keeps no more of its body than the limit allows.

    The rest of a larger body is read and dropped, because a browser reads no answer before it has sent everything. The
    application then gets an empty body and a Content-Length above the limit, which it refuses (413).
    """

    is_timed_out = False
    """Whether the body did not arrive in time."""
    is_incomplete = False
    """Whether the request is answered although the client may still be sending it."""
    path = ""
    """Empty until, or unless, a path can be parsed."""
    error: Error | None
    body_rcv: Any
    _limit: BodyLimit | None = None
    _is_dropped = False

    def __init__(self, adj: Any, find_limit: FindBodyLimit) -> None:
        super().__init__(adj)
        self._find_limit = find_limit

    @property
    def seconds(self) -> float:
        """The longest time for the body's arrival, in seconds."""
        return inf if self._limit is None else self._limit.seconds

    @property
    def bytes_kept(self) -> int:
        return len(self.body_rcv) if self.body_rcv is not None else 0

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(heads.plain(header_plus))
        except ValueError as error:  # a URL such as http://[
            raise ParsingError("The address cannot be read") from error
        if self.chunked:
            self.body_rcv = ChunkedBody(self.body_rcv.getbuf())
        if self.body_rcv is not None:
            self._limit = self._find_limit(self.command, self.path, self.headers.get("CONTENT_TYPE", ""))
            if self.content_length > self._limit.max_bytes:
                self._drop_body()
                if self.expect_continue:
                    # The client waits for 100 Continue, which it will not get.
                    self.answer_now()

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if self._limit is None:
            return consumed
        if not self._is_dropped and self.bytes_kept > self._limit.max_bytes:
            self._drop_body()
        if isinstance(self.error, RequestEntityTooLarge):
            # The body is larger than we are willing to drop.
            self.error = None
            self.answer_now()
        if self._is_dropped:
            self.headers["CONTENT_LENGTH"] = str(max(self.content_length, self.body_bytes_received))
        return consumed

    def answer_now(self) -> None:
        """Answer the request although it has not arrived completely. The connection is closed afterwards."""
        self.headers["CONNECTION"] = "close"
        self.expect_continue = False
        self.is_incomplete = self.completed = True

    def _drop_body(self) -> None:
        self._is_dropped = True
        self.body_rcv.getbuf().close()
        self.body_rcv.buf = _Dropped()


class _Dropped:
    """Replaces the buffer of a body that nobody will read, and drops all data."""

    def append(self, data: bytes) -> None:
        pass

    def getfile(self) -> BytesIO:
        return BytesIO()

    def close(self) -> None:
        pass

    def __len__(self) -> int:
        return 0
