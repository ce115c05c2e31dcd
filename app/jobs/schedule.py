"""Which jobs there are and how often they run.

Every job is safe to run anywhere, at any time, by any number of processes: all state is in our own tables, and
what must happen once is decided by the database. So the scheduler keeps nothing but intervals, in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from flask import Flask

from app import throttle
from app.clients.expiry import track_expiry
from app.database import transaction
from app.identity.services import prune_sessions
from app.outbox.flush import flush


@dataclass(frozen=True)
class Job:
    """A job by its name; `run` takes the app and an event that asks it to stop early. Interval in seconds."""

    name: str
    what: str
    interval_seconds: float
    run: Callable[[Flask, Event], None]


def jobs(app: Flask) -> list[Job]:
    """All jobs, with the intervals of the app's settings."""
    settings = app.config["SETTINGS"]
    return [
        Job("flush-outbox", "send the mails that are due", settings.outbox_interval_seconds, flush),
        Job("track-expiry", "write lapsed links into the history", 60, _track_expiry),
        Job("prune", "delete ended sign-ins and old counts", 60 * 60, _prune),
    ]


def run_job(app: Flask, name: str) -> None:
    """Run one job once, to its end. Raises `KeyError` for an unknown name."""
    {job.name: job for job in jobs(app)}[name].run(app, Event())


def _track_expiry(app: Flask, stop: Event) -> None:
    with app.app_context():
        track_expiry()


def _prune(app: Flask, stop: Event) -> None:
    with app.app_context(), transaction():
        prune_sessions()
        throttle.prune()
