"""The worker class of `gunicorn.conf.py`."""

from __future__ import annotations

import os
from time import monotonic
from typing import Any

from gunicorn.workers.base import Worker as BaseWorker

from webserver.server import Deadlines, Server

_WITHOUT_EFFECT = ("certfile", "keyfile", "accesslog", "max_requests")


class Worker(BaseWorker):  # type: ignore[misc]
    """Serves the application with `webserver.server`.

    Of gunicorn's worker settings, `threads`, `worker_connections`, `keepalive`, `timeout` and `graceful_timeout` apply.
    `app.extensions["body_limit"]` decides how large a body may be and how long it may take.
    """

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        for name in _WITHOUT_EFFECT:
            if getattr(cfg, name):
                log.warning("The setting %s has no effect with this worker class.", name)

    def run(self) -> None:
        extensions = getattr(self.wsgi, "extensions", {})
        limits = {"find_limit": extensions["body_limit"]} if "body_limit" in extensions else {}
        server = Server(
            self.wsgi,
            [listener.sock for listener in self.sockets],
            threads=self.cfg.threads,
            max_connections=self.cfg.worker_connections,
            deadlines=Deadlines(idle=self.cfg.keepalive),
            **limits,
        )
        server.run(self._goes_on)
        deadline = monotonic() + self.cfg.graceful_timeout
        server.finish(lambda: self._tell_alive() and monotonic() < deadline)

    def _goes_on(self) -> bool:
        self._tell_alive()
        # An orphaned worker must end, because nobody would ever stop it.
        return bool(self.alive) and os.getppid() == self.ppid

    def _tell_alive(self) -> bool:
        self.notify()
        return True
