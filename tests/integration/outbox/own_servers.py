"""Portals with mail servers of their own on this machine, many clients to invite, and the flush job beside the test."""

from __future__ import annotations

from threading import Event, Thread

from flask import Flask

from app.jobs.schedule import jobs
from app.models import TlsMode
from app.outbox.server_settings import OwnServer, save_own_server
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.factories import forget_server_notices, import_file


class Flushing:
    """The flush job, running beside the test."""

    def __init__(self, app: Flask) -> None:
        (job,) = [job for job in jobs(app) if job.name == "flush-outbox"]
        self._stop = Event()
        self._thread = Thread(target=job.run, args=(app, self._stop))

    def __enter__(self) -> Flushing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


def use(app_driver: AppDriver, portal_id: str, port: int, **settings: object) -> None:
    """Give a portal a mail server of its own on this machine, of which no mail tells."""
    sender = f"{portal_id.capitalize()} <clients@{portal_id}.test>"
    server = OwnServer("127.0.0.1", port, TlsMode.NONE, sender, **settings)  # type: ignore[arg-type]
    app_driver.do(save_own_server, portal_id, server)
    app_driver.do(forget_server_notices)


def invite_many(app_driver: AppDriver, count: int, portal_id: str = HARBOUR) -> list[str]:
    """By one file: what is done later with each mail is the same as if its client had been added by hand."""
    emails = [f"client{n}@{portal_id}-client.test" for n in range(count)]
    app_driver.do(import_file, portal_id, *emails)
    return emails
