"""waitress, with deadlines for everything that a client may do slowly.

One thread reads and writes on all connections, so a slow client costs a connection but no thread. A request gets a
thread only when it has arrived completely, body included.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from math import inf
from socket import SHUT_WR, socket
from time import monotonic
from typing import Any

from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer
from waitress.task import ErrorTask, WSGITask

from webserver.requests import BodyLimit, FindBodyLimit, Request

log = logging.getLogger(__name__)

TIMED_OUT = "webserver.timed_out"
"""A key in the WSGI environment: whether the body did not arrive in time. A partial body must not be used."""

_KIB, _MIB = 1024, 1024 * 1024
_MAX_HEADER_BYTES = 64 * _KIB
_MAX_DROPPED_BYTES = 32 * _MIB
"""How much of a body that is too large we read and drop. A client that announces more is answered at once."""
_IN_MEMORY_BYTES = 64 * _KIB
"""The most of one body or one answer in memory. Larger ones go to a temporary file."""
_MAX_KEPT_BYTES = 512 * _MIB
"""The most of all bodies together."""
_ROUND_SECONDS = 0.25
_LEAVING_SECONDS = 2.0
"""How long we wait for a client that is still sending when it has got its answer."""
_SPARE_CONNECTIONS = 50

_REFUSALS = {
    400: "We couldn't understand the request. Nothing was changed; please go back and try again.",
    431: "The request's headers are too large. Nothing was changed; please delete this site's cookies and try again.",
    500: "Something went wrong on our side. Check whether your change was saved before you try again.",
    501: "The request is encoded in a way that this server does not know. Nothing was changed.",
}
_REFUSAL_HEADERS = [
    ("Content-Type", "text/plain; charset=utf-8"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    # The script of our pages shows only answers with the first of these headers. The others show this one as an alert.
    ("X-Imported-Clients", "1"),
    ("HX-Retarget", "#page-alert"),
    ("HX-Reswap", "innerHTML"),
]


class _State(Enum):
    IDLE = auto()
    HEADERS = auto()
    BODY = auto()
    WORK = auto()
    ANSWER = auto()
    LEAVING = auto()


@dataclass(frozen=True)
class Deadlines:
    """How many seconds a client may be idle, send headers, and take its answer. Bodies have their own limits."""

    idle: float = 10
    headers: float = 10
    answer: float = 300

    def of(self, state: _State) -> float:
        named = {_State.IDLE: self.idle, _State.HEADERS: self.headers, _State.ANSWER: self.answer}
        return {**named, _State.LEAVING: _LEAVING_SECONDS}.get(state, inf)


class _Task(WSGITask):  # type: ignore[misc]
    def start(self) -> None:
        super().start()
        self.channel.answers_incomplete = self.request.is_incomplete
        if not self.channel.server.accepting:
            self.request.headers["CONNECTION"] = "close"

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[TIMED_OUT] = self.request.is_timed_out
        return environ


class _Refusal(ErrorTask):  # type: ignore[misc]
    """The answer if the application cannot give one, mostly to malformed requests."""

    def start(self) -> None:
        super().start()
        self.channel.answers_incomplete = True
        self.request.headers["CONNECTION"] = "close"

    def execute(self) -> None:
        error = self.request.error
        body = f"{_REFUSALS.get(error.code, _REFUSALS[400])}\n".encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend(_REFUSAL_HEADERS)
        self.content_length = len(body)
        self.write(body)


class _Connection(HTTPChannel):  # type: ignore[misc]
    task_class = _Task
    error_task_class = _Refusal
    request: Request | None
    will_close: bool
    answers_incomplete = False
    """Whether the client may still be sending the request that was answered last."""

    def __init__(self, find_limit: FindBodyLimit, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._find_limit = find_limit
        self._is_leaving = False
        self._seen: tuple[_State, Request | None] = (_State.IDLE, None)
        self._since = monotonic()

    def parser_class(self, adj: Any) -> Request:
        return Request(adj, self._find_limit)

    @property
    def state(self) -> _State:
        if self._is_leaving:
            return _State.LEAVING
        if self.total_outbufs_len:
            return _State.ANSWER
        if self.requests:
            return _State.WORK
        if self.request is None:
            return _State.IDLE
        return _State.BODY if self.request.headers_finished else _State.HEADERS

    @property
    def bytes_kept(self) -> int:
        """The size of all bodies that this connection's requests keep, in bytes."""
        with self.requests_lock:
            return sum(one.bytes_kept for one in [*self.requests, self.request] if one is not None)

    def age(self, now: float) -> float:
        """For how many seconds the connection has been in this state with this request, as of our checks."""
        seen = (self.state, self.request)
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since

    def enforce(self, deadlines: Deadlines, now: float) -> None:
        """End a request or connection that has exceeded its deadline."""
        age, (state, request) = self.age(now), self._seen
        if state is _State.BODY and request is not None:
            if age > request.seconds:
                self._answer_without_body()
        elif age > deadlines.of(state):
            # `will_close` would not work: waitress checks it only when it can write.
            self.handle_close()

    def received(self, data: bytes) -> bool:
        if self._is_leaving:
            return False
        return bool(super().received(data))

    def handle_close(self) -> None:
        if self.will_close and self.answers_incomplete and not self.total_outbufs_len and not self._is_leaving:
            # Closing with unread data would reset the connection, and the client could lose the answer.
            self._is_leaving, self.will_close = True, False
            with suppress(OSError):
                self.socket.shutdown(SHUT_WR)
            return
        if self.connected and self.state is _State.BODY:
            log.info("a connection ended before the body of its request had arrived")
        super().handle_close()

    def _answer_without_body(self) -> None:
        with self.requests_lock:
            request = self.request
            if request is None or self.requests:
                return
            request.is_timed_out = True
            request.answer_now()
            self.request = None
            self.requests.append(request)
        self.server.add_task(self)


class Server:
    """Serves an application on sockets that are already listening."""

    def __init__(
        self,
        application: Any,
        sockets: Sequence[socket],
        *,
        threads: int,
        find_limit: FindBodyLimit = lambda *_: BodyLimit(_MIB, 30),
        max_connections: int = 400,
        deadlines: Deadlines | None = None,
    ) -> None:
        """`threads` is the number of requests handled at a time. Further requests wait."""
        self._max_connections = max_connections
        self._deadlines = deadlines or Deadlines()
        self._next_look = 0.0
        self._map: dict[int, Any] = {}
        # waitress warns whenever a request waits for a thread, which is normal here.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._server = create_server(
            application,
            map=self._map,
            sockets=list(sockets),
            threads=threads,
            ident=None,
            backlog=2048,
            recv_bytes=64 * _KIB,
            inbuf_overflow=_IN_MEMORY_BYTES,
            outbuf_overflow=_IN_MEMORY_BYTES,
            connection_limit=max_connections + _SPARE_CONNECTIONS,
            log_socket_errors=False,
            max_request_header_size=_MAX_HEADER_BYTES,
            max_request_body_size=_MAX_DROPPED_BYTES,
            # The application knows how many proxies to trust.
            clear_untrusted_proxy_headers=False,
        )
        self._listeners = [one for one in self._map.values() if isinstance(one, BaseWSGIServer)]
        for listener in self._listeners:
            listener.channel_class = partial(_Connection, find_limit)

    def run(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Serve while `goes_on` returns true. It is called several times a second."""
        while goes_on():
            self._do_round()

    def finish(self, goes_on: Callable[[], bool]) -> None:
        """Accept no more connections, answer the requests that have begun to arrive, and close.

        Whatever is unfinished when `goes_on` returns false is cut off.
        """
        for listener in self._listeners:
            listener.accepting = False
        while self._connections and goes_on():
            for connection in self._connections:
                if connection.state is _State.IDLE:
                    connection.handle_close()
            self._do_round()
        if goes_on():
            # The connection may be gone while its thread is still finishing and needs what we close below.
            self._server.task_dispatcher.shutdown(cancel_pending=False, timeout=_LEAVING_SECONDS)
        wasyncore.close_all(self._map)

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    @property
    def _connections(self) -> list[_Connection]:
        return [one for one in list(self._map.values()) if isinstance(one, _Connection)]

    def _do_round(self) -> None:
        wasyncore.loop(timeout=_ROUND_SECONDS, use_poll=True, map=self._map, count=1)
        now = monotonic()
        if now >= self._next_look:
            self._next_look = now + _ROUND_SECONDS
            connections = self._connections
            for connection in connections:
                connection.enforce(self._deadlines, now)
            self._make_room(connections, now)

    def _make_room(self, connections: list[_Connection], now: float) -> None:
        """Close connections while there are too many of them or too much data: idle ones first, then the oldest."""
        too_many = len(connections) - self._max_connections
        too_much = sum(connection.bytes_kept for connection in connections) - _MAX_KEPT_BYTES
        if too_many <= 0 and too_much <= 0:
            return
        waiting = [one for one in connections if one.state is not _State.WORK]
        waiting.sort(key=lambda one: (one.state is not _State.IDLE, -one.age(now)))
        dropped = 0
        for connection in waiting:
            if too_many <= 0 and too_much <= 0:
                break
            too_many -= 1
            too_much -= connection.bytes_kept
            connection.handle_close()
            dropped += 1
        log.warning("too many connections or bodies at once: %d that waited longest were closed", dropped)
