"""Looks for work in all queues with one statement, so that a worker without work asks the database little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event

from flask import Flask
from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy.exc import SQLAlchemyError

from app.extensions import db
from app.jobs.schedule import Job


def look_for_work(app: Flask, polled: Sequence[Job], run_now: Callable[[str], None], stop: Event) -> None:
    """Name each of these jobs to `run_now` whenever it has work, until `stop` is set. All have a query `has_work`.

    If the database cannot be asked, every job is named: it tells what is wrong, if anything still is.
    """
    pause = min(job.interval_seconds for job in polled)
    has_work = {job.name: job.has_work for job in polled if job.has_work is not None}
    with app.app_context():
        while not stop.is_set():
            try:
                # Kept, because a connection that comes from the pool is checked with a statement of its own.
                with db.engine.connect().execution_options(single_statements=True) as connection:
                    while not stop.is_set():
                        for name in _which_have(has_work, connection):
                            run_now(name)
                        stop.wait(pause)
            except SQLAlchemyError:
                for name in has_work:
                    run_now(name)
                stop.wait(pause)


def _which_have(has_work: dict[str, ColumnElement[bool]], connection: Connection) -> list[str]:
    query = select(*(condition.label(name) for name, condition in has_work.items()))
    answer = connection.execute(query).one()
    connection.rollback()  # Sends nothing: only SQLAlchemy believes that a transaction has begun.
    return [name for name, has in zip(has_work, answer, strict=True) if has]
