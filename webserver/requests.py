"""A request as it arrives: how much of its body is kept, and what is answered when not all of it comes."""

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
    """How large a request's body may be, in bytes, and how long it may take to arrive, in seconds."""

    max_bytes: int
    seconds: float


FindBodyLimit = Callable[[str, str, str], BodyLimit]
"""The limit for a request: its method, its path (as in WSGI's `PATH_INFO`), its content type."""


class Request(HTTPRequestParser):  # type: ignore[misc]
    """A request that keeps no more of its body than the limit allows.

    Of a body that is larger the rest is read and dropped, since a browser looks at no answer before it has sent all.
    The application then gets an empty body and a Content-Length above the limit, which it refuses (413).
    """

    is_timed_out = False
    """Whether the body did not arrive in time."""
    is_incomplete = False
    """Whether it is answered though the client may still be sending."""
    path = ""
    """Also where there is none that can be read."""
    error: Error | None
    body_rcv: Any
    _limit: BodyLimit | None = None
    _is_dropped = False

    def __init__(self, adj: Any, find_limit: FindBodyLimit) -> None:
        super().__init__(adj)
        self._find_limit = find_limit

    @property
    def seconds(self) -> float:
        """How long the body may take."""
        return inf if self._limit is None else self._limit.seconds

    @property
    def bytes_kept(self) -> int:
        return len(self.body_rcv) if self.body_rcv is not None else 0

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(heads.plain(header_plus))
        except ValueError as error:  # an address such as http://[
            raise ParsingError("The address cannot be read") from error
        if self.chunked:
            self.body_rcv = ChunkedBody(self.body_rcv.getbuf())
        if self.body_rcv is not None:
            self._limit = self._find_limit(self.command, self.path, self.headers.get("CONTENT_TYPE", ""))
            if self.content_length > self._limit.max_bytes:
                self._drop_body()
                if self.expect_continue:
                    # It waits for leave to send, which it does not get.
                    self.answer_now()

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if self._limit is None:
            return consumed
        if not self._is_dropped and self.bytes_kept > self._limit.max_bytes:
            self._drop_body()
        if isinstance(self.error, RequestEntityTooLarge):
            # So much is not even dropped.
            self.error = None
            self.answer_now()
        if self._is_dropped:
            self.headers["CONTENT_LENGTH"] = str(max(self.content_length, self.body_bytes_received))
        return consumed

    def answer_now(self) -> None:
        """Answer it though it has not arrived as a whole; the connection is closed afterwards."""
        self.headers["CONNECTION"] = "close"
        self.expect_continue = False
        self.is_incomplete = self.completed = True

    def _drop_body(self) -> None:
        self._is_dropped = True
        self.body_rcv.getbuf().close()
        self.body_rcv.buf = _Dropped()


class _Dropped:
    """In place of the buffer of a body that nobody will read."""

    def append(self, data: bytes) -> None:
        pass

    def getfile(self) -> BytesIO:
        return BytesIO()

    def close(self) -> None:
        pass

    def __len__(self) -> int:
        return 0
