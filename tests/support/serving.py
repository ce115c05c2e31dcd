"""The server of the web processes, in threads of this one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

from flask import Flask

from webserver.server import Server


@dataclass
class Running:
    port: int
    server: Server
    told_to_finish: Event = field(default_factory=Event)
    cut_off: Event = field(default_factory=Event)
    finished: Event = field(default_factory=Event)

    def serve(self) -> None:
        self.server.run(lambda: not self.told_to_finish.is_set())
        self.server.finish(lambda: not self.cut_off.is_set())
        self.finished.set()


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[Running]:
    """Serve an application, ours or any of WSGI, at a port of loopback."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        if isinstance(app, Flask):
            options.setdefault("find_limit", app.extensions["body_limit"])
        running = Running(listener.getsockname()[1], Server(app, [listener], **{"threads": 2, **options}))
        thread = Thread(target=running.serve, name="server")
        thread.start()
        try:
            yield running
        finally:
            running.told_to_finish.set()
            running.cut_off.set()
            thread.join()
